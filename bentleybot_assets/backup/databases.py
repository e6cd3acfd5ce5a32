"""The databases of a desk: dumped and loaded by the server's own programs, and told where their files are now.

Does not belong here: archives (``archive``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bentleybot_assets.backup.archive import DATABASES, BackupError
from bentleybot_assets.databases import SUFFIXES, as_kept, create_missing
from bentleybot_assets.deployment import mysql_account
from bentleybot_assets.mysql import RESTORING, MySqlError, MySqlServer
from bentleybot_assets.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

_DUMP = ("mariadb-dump", "mysqldump")
CLIENT = ("mariadb", "mysql")
_ALL = "of the desk's databases"
_SANDBOX = b"/*M!999999\\- enable the sandbox mode */"

_DEFINER = re.compile(rb"(/\*!\d+ )DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ?")
"""Whose rights triggers and views have. Left out, those of whoever restores: only an administrator may name others."""

_LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow's database states folders of this machine."""


@dataclass(frozen=True)
class Databases:
    """The databases of a production desk."""

    server: MySqlServer
    has_mlflow: bool

    @classmethod
    def of(cls, settings: Settings) -> Databases:
        """Those that the settings name; nothing is opened."""
        return cls(mysql_account(settings).server(), has_mlflow=settings.mlflow_url is None)

    def name(self, dump: str) -> str:
        """What the server calls the database of a dump."""
        return f"{self.server.database}{SUFFIXES[dump]}"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The server's errors as ours."""
        from sqlalchemy.exc import DBAPIError

        try:
            yield
        except MySqlError as error:
            raise BackupError(str(error)) from error
        except DBAPIError as error:
            cause = error.orig or error
            raise BackupError(str(self.server.explained(cause, "of MLflow"))) from error

    def engine(self, dump: str) -> Engine:
        """For SQLAlchemy, in the database of a dump."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        server = self.server.at(self.name(dump))
        return create_engine(server.sqlalchemy_url(), poolclass=NullPool, connect_args=server.arguments())

    def present(self) -> dict[str, list[str]]:
        """Each database that exists, with its tables."""
        marks = ", ".join(["%s"] * len(SUFFIXES))
        with self._administering() as cursor:
            cursor.execute(
                "SELECT s.schema_name, t.table_name FROM information_schema.schemata s "  # noqa: S608 - placeholders
                "LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name "
                f"WHERE s.schema_name IN ({marks}) ORDER BY s.schema_name, t.table_name",
                [self.name(dump) for dump in SUFFIXES],
            )
            found: dict[str, list[str]] = {}
            for database, table in cursor.fetchall():
                found.setdefault(database, []).extend([] if table is None else [table])
            names = as_kept(cursor, (self.name(dump) for dump in SUFFIXES))
            return {name: found[kept] for name, kept in names.items() if kept in found}

    @contextmanager
    def _administering(self) -> Iterator[Any]:
        """A cursor in none of the desk's databases, so that an unfinished restore does not keep it out."""
        with (
            self.explained(),
            closing(self.server.at("information_schema").connect(table=_ALL)) as connection,
            self.server.named_errors(_ALL),
            connection.cursor() as cursor,
        ):
            yield cursor

    def to_dump(self) -> dict[str, str]:
        """Dump to database, for every one that the desk uses."""
        present = self.present()
        wanted = {dump: self.name(dump) for dump in SUFFIXES}
        if not self.has_mlflow and wanted["mlflow"] not in present:
            del wanted["mlflow"]
        for database in wanted.values():
            if database not in present:
                raise BackupError(
                    f"{self.server.shown}: there is no database {database}, or this user may not see it. Check "
                    "MYSQL_DATABASE; `bentleybot db upgrade` creates what is missing, or prints the GRANT."
                )
        with self.explained():
            self.server.connect(table=_ALL).close()  # refused if it is half restored
        if not present[wanted["tables"]]:
            raise BackupError(
                f"{self.server.shown}: database {wanted['tables']} has no table, so there is nothing to back up. "
                "Check MYSQL_DATABASE, or run `bentleybot run` first."
            )
        return wanted

    def require_empty(self) -> None:
        """Refuse databases that have a table, unless an interrupted restore put it there.

        Raises:
            BackupError: one has.
        """
        present = self.present()
        if RESTORING not in present.get(self.server.database, []):
            self._require_no_table(present)

    def _require_no_table(self, present: dict[str, list[str]]) -> None:
        for database, tables in present.items():
            if others := [table for table in tables if table != RESTORING]:
                raise BackupError(
                    f"{self.server.shown}: database {database} is not empty: it has table {others[0]}. A restore "
                    "overwrites nothing: set MYSQL_DATABASE to another name, or let an administrator drop the database."
                )

    @contextmanager
    def restoring(self) -> Iterator[bool]:
        """Fill the databases inside; until that has succeeded, nobody opens them. Tells whether one was interrupted.

        Table :data:`RESTORING` keeps others out. A row in it says that the databases were empty when it was there
        already: whatever they hold then is of a restore, and goes when the next one begins.

        Raises:
            BackupError: another restore is at work, or the databases hold something else; or what is inside failed.
        """
        with self.explained():
            for _ in create_missing(self.server):
                pass
        marker = f"`{self.server.database}`.`{RESTORING}`"
        with self._administering() as cursor:
            cursor.execute("SET SESSION wait_timeout = 604800")  # it is silent while others load
            self._require_alone(cursor)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {marker} (begun_at DATETIME NOT NULL) ENGINE=InnoDB")
            cursor.execute(f"SELECT COUNT(*) FROM {marker}")  # noqa: S608 - the name is checked
            if is_again := bool(cursor.fetchone()[0]):
                self._empty(cursor)
            else:
                try:
                    self._require_no_table(self.present())
                except BackupError:
                    cursor.execute(f"DROP TABLE {marker}")
                    raise
                cursor.execute(f"INSERT INTO {marker} VALUES (UTC_TIMESTAMP())")  # noqa: S608 - as above
            try:
                with self.explained():
                    yield is_again
                    cursor.execute(f"DROP TABLE {marker}")
            except (BackupError, OSError) as error:
                raise BackupError(
                    f"{error} Until a restore has succeeded, nothing opens the databases "
                    f"{', '.join(map(self.name, SUFFIXES))}; the next one begins anew."
                ) from error

    def _require_alone(self, cursor: Any) -> None:
        """Have no other restore at work: not for as long as the cursor's connection, nor what a killed one left."""
        from pymysql.err import MySQLError

        cursor.execute("SELECT GET_LOCK(%s, 0)", (f"{self.server.database}.restore",))
        if cursor.fetchone()[0] != 1:
            raise BackupError(f"{self.server.shown}: another restore is at work there. Wait for it to end.")
        # The client program outlives a restore that is killed.
        cursor.execute("SELECT IS_USED_LOCK(%s)", (self.loading,))
        if (connection := cursor.fetchone()[0]) is not None:
            with suppress(MySQLError):  # it has just ended
                cursor.execute(f"KILL {connection}")
        cursor.execute("SELECT GET_LOCK(%s, %s)", (self.loading, self.server.lock_seconds))
        if cursor.fetchone()[0] != 1:
            raise BackupError(
                f"{self.server.shown}: connection {connection} still loads what a restore that was killed gave it. End "
                f"it (KILL {connection}), then run again."
            )
        cursor.execute("SELECT RELEASE_LOCK(%s)", (self.loading,))

    @property
    def loading(self) -> str:
        """The server's lock that a client holds while it loads a dump."""
        return f"{self.server.database}.loading"

    def _empty(self, cursor: Any) -> None:
        """Remove all that a restore put into the databases."""
        cursor.execute("SET SESSION foreign_key_checks = 0")  # or tables that others refer to could not be dropped
        for database in map(self.name, SUFFIXES):
            cursor.execute(
                "SELECT table_name, table_type FROM information_schema.tables "
                "WHERE table_schema = %s AND table_name <> %s",
                (database, RESTORING),
            )
            for table, kind in cursor.fetchall():
                name = table.replace("`", "``")
                cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{database}`.`{name}`")


def dumped(settings: Settings, scratch: Path) -> dict[str, Path]:
    """The databases as SQL files without their names, all of one moment."""
    databases = Databases.of(settings)
    program = program_of(_DUMP)
    wanted = databases.to_dump()
    options = options_file(databases.server, program, scratch)
    command = [
        program,
        f"--defaults-file={options}",
        "--single-transaction",
        "--skip-lock-tables",
        "--skip-add-drop-table",  # a restore must not drop
        "--skip-add-locks",  # nor need a right beyond creating and filling tables
        "--no-create-db",
        "--no-tablespaces",
        "--hex-blob",
        "--quick",
        "--max-allowed-packet=1G",
        "--default-character-set=utf8mb4",
        *([] if _is_mariadb(program) else ["--set-gtid-purged=OFF", "--column-statistics=0"]),
        "--databases",
        *wanted.values(),
    ]
    starts = {f"USE `{database}`;".encode(): dump for dump, database in wanted.items()}
    files = {dump: scratch / f"{dump}.sql" for dump in wanted}
    header: list[bytes] = []
    with (scratch / "errors").open("w+b") as said, ExitStack() as opened:
        dumping = opened.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env={}))  # noqa: S603 - no shell; names are checked
        assert dumping.stdout is not None  # noqa: S101 - asked for above
        target: IO[bytes] | None = None
        # Line breaks inside values are escaped: what begins a line was written by the program.
        for line in dumping.stdout:
            if (dump := starts.get(line.rstrip())) is not None:
                target = opened.enter_context(files[dump].open("wb"))
                target.writelines(header)
            elif target is not None:
                target.write(_DEFINER.sub(rb"\1", line) if line.startswith(b"/*!500") else line)
            elif line.rstrip() != _SANDBOX:  # which MySQL's own client cannot read
                header.append(line)
        status = dumping.wait()
        options.unlink()
        if status != 0:
            said.seek(0)
            raise _refused(databases.server, program, said.read())
    if missing := [wanted[dump] for dump, file in files.items() if not file.exists()]:
        raise BackupError(f"{databases.server.shown}: {program} wrote nothing of {', '.join(missing)}. Report this.")
    return files


def load(databases: Databases, program: str, workshop: Path) -> None:
    """Fill the databases from the dumps that were unpacked in ``workshop``."""
    options = options_file(databases.server, program, workshop)
    for dump in SUFFIXES:
        file = workshop / DATABASES / f"{dump}.sql"
        if not file.exists():
            continue
        command = [
            program,
            f"--defaults-file={options}",
            f"--init-command=DO GET_LOCK('{databases.loading}', 0)",
            "--skip-reconnect",  # or it would go on without that lock
            "--binary-mode",  # the file is SQL: no command of the client in it is obeyed
            "--max-allowed-packet=1G",
            "--default-character-set=utf8mb4",
            databases.name(dump),
        ]
        with file.open("rb") as sql:
            done = subprocess.run(command, stdin=sql, capture_output=True, check=False, env={})  # noqa: S603 - as above
        if done.returncode != 0:
            raise _refused(databases.server.at(databases.name(dump)), program, done.stderr)
    options.unlink()


def _refused(server: MySqlServer, program: str, said: bytes) -> BackupError:
    words = " ".join(said.decode(errors="replace").split())
    if server.password:
        words = words.replace(server.password, "****")
    return BackupError(
        f"{server.shown}: {Path(program).name} failed: {words or 'it said nothing'}. Mend that, then run again."
    )


def sqlite_engine(file: Path) -> Engine:
    """For SQLAlchemy, on a file."""
    from sqlalchemy import URL, create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(URL.create("sqlite", database=str(file)), poolclass=NullPool)


def move_artifacts(engine: Engine, old: str, new: str) -> None:
    """Say in MLflow's database that what was below folder ``old`` is below ``new``."""
    import sqlalchemy as sa

    if old == new:
        return
    with engine.begin() as connection:
        present = sa.inspect(connection).get_table_names()
        for table, columns in _LOCATIONS.items():
            if table not in present:
                continue
            for name in columns:
                column = sa.column(name, sa.String)
                moved = sa.literal(new, sa.String) + sa.func.substr(column, len(old) + 1, type_=sa.String)
                is_below = sa.func.substr(column, 1, len(old) + 1) == f"{old}/"
                connection.execute(
                    sa.update(sa.table(table, column)).where(is_below | (column == old)).values({name: moved})
                )


def program_of(names: Sequence[str]) -> str:
    """The first of the programs that this machine has."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise BackupError(
        f"Neither {' nor '.join(names)} is on this machine's PATH. Install the package mariadb-client (or MySQL's own, "
        "mysql-client), then run again."
    )


def _is_mariadb(program: str) -> bool:
    told = subprocess.run([program, "--version"], capture_output=True, check=False, env={}).stdout  # noqa: S603 - ours
    return b"MariaDB" in told


def options_file(server: MySqlServer, program: str, folder: Path) -> Path:
    """The account, in a file that nobody else can read: command lines are there for all to see."""
    lines = {"user": server.user, "password": server.password}
    if server.host.startswith("/"):
        lines["socket"] = server.host
    else:
        lines |= {"host": server.host, "port": str(server.port), "protocol": "tcp"}
    lines |= {name.replace("_", "-"): file for name, file in server.tls_files.items()}
    if "connect_timeout" in server.options:
        lines["loose-connect-timeout"] = server.options["connect_timeout"]
    content = [
        "[client]",
        *(f"{name}={_quoted(value)}" for name, value in lines.items()),
        *_tls(program, server.ssl_mode),
    ]
    file = folder / "account.cnf"
    file.touch(mode=0o600)
    file.write_text("\n".join(content) + "\n", encoding="utf-8")
    return file


def _tls(program: str, mode: str | None) -> list[str]:
    # MariaDB's client is not told to look at the CA alone: from 11.4 on that may turn off all verification.
    if not _is_mariadb(program):
        return [f"ssl-mode={mode.upper()}"] if mode else []
    if mode == "disabled":
        return ["skip-ssl"]
    verified = mode in ("verify_ca", "verify_identity")
    return [*(["ssl"] if mode else []), "ssl-verify-server-cert" if verified else "skip-ssl-verify-server-cert"]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
