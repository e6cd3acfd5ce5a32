"""The whole desk in one file, and back: ``bentleybot backup`` and ``bentleybot restore``.

An archive holds the files of ``home`` and, for the production profile, a dump of its three databases; its last member
is a manifest with the SHA-256 of every other. A restore verifies all of them before anything is put in place, builds
the new home beside the old name and renames it there, and only ever fills what is empty.

Does not belong here: what any of the files means (``warehouse``, ``ledger``, ``resources``).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import posixpath
import shutil
import sqlite3
import stat
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bentleybot_assets.deployment import dagster_storage
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.resources.processes import alone
from bentleybot_assets.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

FORMAT = 1
"""Of the archive; a restore reads no other."""

_MANIFEST = "manifest.json"
_HOME = "home"
_DATABASES = "databases"
_SUFFIXES = {"tables": "", "mlflow": "_mlflow", "dagster": "_dagster"}
"""Dump to what its database is called after ``$MYSQL_DATABASE``."""

_LOADED_LAST = ("dagster", "mlflow", "tables")
"""Orders come last, so that databases which are half there do not pass for a desk without any."""

_IN_ORDER = ("warehouse", "reports", "ledger.db", "mlflow.db", "dagster", "mlflow")
"""What a run that nobody could stop adds meanwhile is added in this order, so nothing refers to what is missing."""

_LOOKS = 20
_COMPRESSION = 3
_CHUNK = 2**20
_SQLITE = b"SQLite format 3\x00"
_JOURNALS = ("-journal", "-shm", "-wal")
_LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow's database states folders of this machine."""

_DUMP = ("mariadb-dump", "mysqldump")
_CLIENT = ("mariadb", "mysql")
_ALL = "of the desk's databases"
_SANDBOX = b"/*M!999999\\- enable the sandbox mode */"


class BackupError(RuntimeError):
    """A backup cannot be taken or restored. The message names what, where and the fix."""


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Attributes:
        members: files and databases in the archive.
        size_bytes: of the archive.
        left_out: what this desk keeps where a backup does not reach, in words.
    """

    members: int
    size_bytes: int
    left_out: tuple[str, ...]


def back_up(settings: Settings, file: Path, *, before_waiting: Callable[[str], None]) -> Outcome:
    """Put the desk in a new ``file``, while no ``bentleybot run`` is at work.

    Args:
        settings: the desk.
        file: ends in ``.tar.gz``; must not exist.
        before_waiting: told who is at work, if somebody is.

    Raises:
        BackupError: it cannot be done; ``file`` does not exist then.
    """
    file, home = file.expanduser().absolute(), settings.home.resolve()
    _require_new(file, home)
    is_embedded = settings.profile == "embedded"
    if is_embedded and not _is_filled(home):
        raise BackupError(
            f"{home} holds nothing to back up. Run `bentleybot run` first, or set `home` in bentleybot.yaml to the "
            "folder that has the desk's state."
        )
    left_out = elsewhere(settings)
    with (
        _disk_errors_named(file),
        alone(home / ".run.lock", "a backup", before_waiting=before_waiting),
        tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as scratch,  # nobody else may look in
    ):
        unfinished = Path(scratch, "archive")
        with unfinished.open("wb") as handle:
            with tarfile.open(fileobj=handle, mode="w:gz", compresslevel=_COMPRESSION) as archive:
                writer = _Writer(archive)
                if not is_embedded:
                    for name, dump in _dumped(settings, Path(scratch)).items():
                        writer.add(dump, f"{_DATABASES}/{name}.sql")
                _add_home(writer, home, Path(scratch))
                writer.finish(
                    {
                        "format": FORMAT,
                        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
                        "profile": settings.profile,
                        "data_mode": settings.data_mode,
                        "mlflow_artifacts": (home / "mlflow").as_uri(),
                        "left_out": left_out,
                    }
                )
            handle.flush()
            os.fsync(handle.fileno())
        unfinished.chmod(stat.S_IRUSR | stat.S_IWUSR)
        unfinished.rename(file)
    return Outcome(len(writer.members), file.stat().st_size, left_out)


def restore_from(settings: Settings, file: Path) -> Outcome:
    """Make the desk of an archive this one: its folder must be empty or missing, and its databases empty.

    MLflow states folders in full: they are changed to this home, which may be another than the one backed up.

    Raises:
        BackupError: it cannot be done. Nothing was changed, unless the message says so.
    """
    file, home = file.expanduser().absolute(), settings.home.resolve()
    if _is_filled(home):
        first = min(path.name for path in home.iterdir())
        raise BackupError(
            f"{home} is not empty: it has {first}. A restore overwrites nothing: move the folder away, or set `home` "
            "in bentleybot.yaml to another one."
        )
    if home.is_mount():
        raise BackupError(
            f"{home} is a mount point, which a restored folder cannot replace. Set `home` in bentleybot.yaml to a "
            "folder below it."
        )
    with _opened(file) as archive:
        manifest = _verified(archive, file)
        _require_same_kind(manifest, settings, file)
        # Asked before the long work, and again by the server when a table is created.
        databases = _Databases.of(settings) if settings.profile == "production" else None
        if databases is not None:
            client = _program(_CLIENT)
            databases.require_empty()
        with _disk_errors_named(home), _workshop(home) as workshop:
            archive.extractall(workshop, filter="data")
            restored = workshop / _HOME
            restored.mkdir(exist_ok=True)
            old, new = manifest["mlflow_artifacts"], (home / "mlflow").as_uri()
            if databases is not None:
                databases.create_missing()
            with _half_done_named(databases):
                if databases is not None:
                    _load(databases, client, workshop)
                    if (workshop / _DATABASES / "mlflow.sql").exists():
                        _move_artifacts(databases.engine("mlflow"), old, new)
                elif (restored / "mlflow.db").exists():
                    _move_artifacts(_sqlite_engine(restored / "mlflow.db"), old, new)
                os.sync()
                # Over nothing or an empty folder; the kernel refuses any other.
                restored.rename(home)
    return Outcome(len(manifest["members"]), file.stat().st_size, (*manifest["left_out"], *elsewhere(settings)))


def elsewhere(settings: Settings) -> tuple[str, ...]:
    """What this desk keeps outside of its home and its databases."""
    found = []
    if settings.mlflow_url:
        from sqlalchemy.engine import make_url

        shown = make_url(settings.mlflow_url).render_as_string(hide_password=True)
        found.append(f"MLflow's runs and models are kept by {shown} (MLFLOW_TRACKING_URI): back that up by itself.")
    history = _dagster_folder(settings)
    if history is not None and history.resolve() != (settings.home / "dagster").resolve():
        found.append(
            f"Dagster's history is kept in {history}, not in {settings.home / 'dagster'} (dagster.yaml, DAGSTER_HOME): "
            "back that up by itself."
        )
    return tuple(found)


def _dagster_folder(settings: Settings) -> Path | None:
    """Where Dagster keeps its history; None if that is a database."""
    from dagster._core.instance.ref import InstanceRef

    here = Path.cwd()
    base = settings.dagster_home or settings.home / "dagster"
    # Dagster wants a folder that exists, which is not so before the first run.
    existing = base if base.is_dir() else here
    config = here if settings.dagster_home is None and (here / "dagster.yaml").exists() else existing
    overrides = {} if settings.dagster_home else dagster_storage(settings)
    storage = InstanceRef.from_dir(str(existing), config_dir=str(config), overrides=overrides).storage_data
    if "sqlite" not in storage.module_name:
        return None
    stated = str(storage.config_dict.get("base_dir", existing))
    return base if stated == str(existing) else here / stated


class _Writer:
    """Adds members to an archive and keeps their hashes."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.members: dict[str, dict[str, str]] = {}

    def add(self, path: Path, name: str) -> None:
        with path.open("rb") as handle:
            self.add_open(handle, name)

    def add_open(self, handle: IO[bytes], name: str) -> None:
        """As many bytes as the file has now, if it grows meanwhile."""
        info = _anonymous(self._archive.gettarinfo(arcname=name, fileobj=handle))
        reader = _HashingReader(handle)
        # Two names of one file are two members, so that each has its bytes.
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = os.fstat(handle.fileno()).st_size
        self._archive.addfile(info, reader)  # type: ignore[arg-type] - it reads, and that is all that is done
        self.members[name] = {"sha256": reader.digest.hexdigest()}

    def add_link(self, path: Path, name: str, target: str) -> None:
        info = _anonymous(self._archive.gettarinfo(path, arcname=name))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._archive.addfile(info)
        self.members[name] = {"link": target}

    def finish(self, manifest: Mapping[str, Any]) -> None:
        content = json.dumps({**manifest, "members": self.members}, indent=1).encode()
        info = tarfile.TarInfo(_MANIFEST)
        info.size = len(content)
        self._archive.addfile(info, io.BytesIO(content))


@dataclass
class _HashingReader:
    handle: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int) -> bytes:
        chunk = self.handle.read(size)
        self.digest.update(chunk)
        return chunk


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """The archive need not tell who owned the files."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _add_home(writer: _Writer, home: Path, scratch: Path) -> None:
    rooms = {path.name for path in home.iterdir()}
    ordered = [name for name in _IN_ORDER if name in rooms]
    for name in (*ordered, *sorted(rooms.difference(ordered))):
        _add(writer, home, Path(name), scratch)


def _add(writer: _Writer, home: Path, relative: Path, scratch: Path) -> None:
    """A file, or all below a folder. What begins with a dot is a lock, unfinished, or a table's version.

    Files that a working process removes meanwhile are not missed.
    """
    path, name = home / relative, f"{_HOME}/{relative.as_posix()}"
    if path.name.startswith(".") or path.name.endswith(_JOURNALS):
        return
    if path.is_symlink():
        if relative.parts[0] != "warehouse" or not path.resolve().is_relative_to(home):
            raise BackupError(
                f"{path} is a link to {path.readlink()}, which a backup would not hold. Put the files themselves there."
            )
        _add_version(writer, home, path, name)
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            _add(writer, home, relative / child.name, scratch)
    elif path.is_file():
        with suppress(FileNotFoundError):
            if _is_sqlite(path):
                writer.add(_copied(path, scratch), name)
            else:
                writer.add(path, name)


def _add_version(writer: _Writer, home: Path, link: Path, name: str) -> None:
    """A table and the version it is now. Open files stay readable, whatever a writer removes meanwhile."""
    with ExitStack() as opened:
        for look in range(_LOOKS):
            target = link.readlink()
            version = link.parent / target
            try:
                handles = [opened.enter_context(file.open("rb")) for file in sorted(version.iterdir())]
            except FileNotFoundError:
                if look == _LOOKS - 1:
                    raise
            else:
                break
        inside = version.resolve().relative_to(home).as_posix()
        for handle in handles:
            writer.add_open(handle, f"{_HOME}/{inside}/{Path(handle.name).name}")
        writer.add_link(link, name, target.as_posix())


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_SQLITE)) == _SQLITE


def _copied(database: Path, scratch: Path) -> Path:
    """A consistent copy of a SQLite file that others may be writing to, whatever is still in its journal."""
    copy = scratch / "copy.db"
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(
            f"{database} cannot be copied: {error}. End what is writing to it, or restore an earlier backup if it is "
            "damaged."
        ) from error
    return copy


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """An archive to read; what shows that it is none, or damaged, is said in words."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            yield archive
    except FileNotFoundError as error:
        if error.filename != str(file):
            raise
        raise BackupError(f"There is no file {file}. Name an archive that `bentleybot backup` wrote.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        # Of gzip: its own kind has no number.
        if error.errno is not None:
            raise
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, what: str) -> BackupError:
    return BackupError(f"{file} is damaged or no backup: {what}. Nothing was restored; use another copy of it.")


def _verified(archive: tarfile.TarFile, file: Path) -> dict[str, Any]:
    """The manifest, every member being as it says, in its place, and none beside."""
    found: dict[str, dict[str, str]] = {}
    manifest: dict[str, Any] = {}
    for member in archive:
        if member.name in found:
            raise _damaged(file, f"it holds {member.name} twice")
        # As extraction checks again: refused before anything is written.
        tarfile.data_filter(member, str(Path(tempfile.gettempdir(), "nowhere")))
        if member.name == _MANIFEST and member.isreg():
            manifest = _read_manifest(_content(archive, member).read(), file)
        else:
            found[member.name] = _fingerprint(archive, member, file)
    # To the very end, where gzip keeps the checksum of all, so of the manifest too.
    assert archive.fileobj is not None  # noqa: S101 - it was opened
    while archive.fileobj.read(_CHUNK):
        pass
    if not manifest:
        raise _damaged(file, f"it has no {_MANIFEST}")
    members = manifest["members"]
    links = {name for name, value in found.items() if "link" in value}
    for name in sorted(members.keys() | found.keys()):
        if members.get(name) != found.get(name):
            how = "was added" if name not in members else "is missing" if name not in found else "was changed"
            raise _damaged(file, f"{name} {how}")
        if any(str(parent) in links for parent in Path(name).parents):
            raise _damaged(file, f"{name} lies behind a link")
    return manifest


def _fingerprint(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> dict[str, str]:
    """A member as the manifest describes it."""
    if not member.name.startswith((f"{_HOME}/", f"{_DATABASES}/")):
        raise _damaged(file, f"{member.name} has no place in a desk")
    if member.isreg():
        return {"sha256": hashlib.file_digest(_content(archive, member), "sha256").hexdigest()}  # type: ignore[arg-type]
    if not member.issym():
        raise _damaged(file, f"{member.name} is neither a file nor a link")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    if not target.startswith(f"{_HOME}/"):
        raise _damaged(file, f"{member.name} leads out of it, to {member.linkname}")
    return {"link": member.linkname}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # noqa: S101 - a regular file has content
    return content


def _read_manifest(content: bytes, file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        version = manifest["format"]
        is_whole = version != FORMAT or all(
            name in manifest for name in ("profile", "data_mode", "mlflow_artifacts", "left_out", "members")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(file, f"{_MANIFEST} cannot be read") from error
    if not is_whole:
        raise _damaged(file, f"{_MANIFEST} is not whole")
    if version != FORMAT:
        raise BackupError(f"{file} has format {version}; this bentleybot reads format {FORMAT}. Use the one it is of.")
    return dict(manifest)


def _require_same_kind(manifest: Mapping[str, Any], settings: Settings, file: Path) -> None:
    if manifest["profile"] != settings.profile:
        raise BackupError(
            f"{file} is of profile {manifest['profile']}, and this desk's is {settings.profile}. Set `profile` in "
            f"bentleybot.yaml (or BENTLEYBOT_PROFILE) to {manifest['profile']}."
        )
    if manifest["data_mode"] != settings.data_mode:
        raise BackupError(
            f"{file} holds {manifest['data_mode']} data, and this desk's mode is {settings.data_mode}. Set "
            f"`connections.market.config.mode` in bentleybot.yaml to {manifest['data_mode']}."
        )


def _require_new(file: Path, home: Path) -> None:
    if not file.name.endswith((".tar.gz", ".tgz")):
        raise BackupError(f"{file} will be a gzipped tar archive: give it a name that ends in .tar.gz.")
    if file.exists():
        raise BackupError(f"{file} exists, and a backup overwrites nothing: name another file, or move it away.")
    if not file.parent.is_dir():
        raise BackupError(f"{file.parent} is not a folder: make it, or name a file in another one.")
    if file.resolve().is_relative_to(home):
        raise BackupError(
            f"{file} is inside {home}, which it is a backup of: name a file outside, best on a disk apart."
        )


def _is_filled(home: Path) -> bool:
    if home.exists() and not home.is_dir():
        raise BackupError(f"{home} is not a folder. Move it away, or set `home` in bentleybot.yaml to a folder.")
    return home.is_dir() and any(home.iterdir())


@contextmanager
def _disk_errors_named(place: Path) -> Iterator[None]:
    """Name the place in errors that do not: a full disk has no file name."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        at = f" ({error.filename})" if error.filename else ""
        raise BackupError(f"{place}: {error.strerror}{at}. Mend that, or choose a place on another disk.") from error


@contextmanager
def _workshop(home: Path) -> Iterator[Path]:
    """A folder beside ``home``, for one restore at a time; what a killed one left there goes."""
    home.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BackupError(f"Another restore is at work beside {home}: wait for it to end.") from error
    workshop = home.with_name(f"{home.name}.restoring")
    try:
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(mode=0o700)
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        os.close(descriptor)


def _sqlite_engine(file: Path) -> Engine:
    from sqlalchemy import URL, create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(URL.create("sqlite", database=str(file)), poolclass=NullPool)


def _move_artifacts(engine: Engine, old: str, new: str) -> None:
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


@dataclass(frozen=True)
class _Databases:
    """The databases of a production desk."""

    server: MySqlServer
    has_mlflow: bool

    @classmethod
    def of(cls, settings: Settings) -> _Databases:
        password = settings.mysql_password
        server = MySqlServer(
            str(settings.mysql_host),
            settings.mysql_port,
            str(settings.mysql_user),
            password.get_secret_value() if password else "",
            str(settings.mysql_database),
            dict(settings.mysql),
        )
        return cls(server, has_mlflow=settings.mlflow_url is None)

    def name(self, dump: str) -> str:
        return f"{self.server.database}{_SUFFIXES[dump]}"

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
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        server = self.server.at(self.name(dump))
        return create_engine(server.sqlalchemy_url(), poolclass=NullPool, connect_args=server.arguments())

    def present(self) -> dict[str, str | None]:
        """Each database that exists, with its first table if it has one."""
        names = [self.name(dump) for dump in _SUFFIXES]
        marks = ", ".join(["%s"] * len(names))
        with (
            self.explained(),
            closing(self.server.at("information_schema").connect(table=_ALL)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT s.schema_name, MIN(t.table_name) FROM information_schema.schemata s "  # noqa: S608 - placeholders
                "LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name "
                f"WHERE s.schema_name IN ({marks}) GROUP BY s.schema_name",
                names,
            )
            return dict(cursor.fetchall())

    def to_dump(self) -> dict[str, str]:
        """Dump to database, for every one that the desk uses."""
        present = self.present()
        wanted = {dump: self.name(dump) for dump in _SUFFIXES}
        if not self.has_mlflow and wanted["mlflow"] not in present:
            del wanted["mlflow"]
        for database in wanted.values():
            if database not in present:
                raise BackupError(
                    f"{self.server.shown}: there is no database {database}, or this user may not see it. Check "
                    "MYSQL_DATABASE; `bentleybot db upgrade` creates what is missing, or prints the GRANT."
                )
        if present[wanted["tables"]] is None:
            raise BackupError(
                f"{self.server.shown}: database {wanted['tables']} has no table, so there is nothing to back up. "
                "Check MYSQL_DATABASE, or run `bentleybot run` first."
            )
        return wanted

    def require_empty(self) -> None:
        for database, table in sorted(self.present().items()):
            if table is not None:
                raise BackupError(
                    f"{self.server.shown}: database {database} is not empty: it has table {table}. A restore "
                    "overwrites nothing: set MYSQL_DATABASE to another name, or, if this is what an interrupted "
                    f"restore left, let an administrator DROP DATABASE `{database}` and run again."
                )

    def create_missing(self) -> None:
        present = self.present()
        for dump in _SUFFIXES:
            if (database := self.name(dump)) in present:
                continue
            statement = f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4"
            try:
                with (
                    closing(self.server.at("information_schema").connect(table=_ALL)) as connection,
                    self.server.named_errors(_ALL),
                ):
                    connection.cursor().execute(statement)
            except MySqlError as error:
                raise BackupError(
                    f"{self.server.shown}: there is no database {database}, and this user may not create it "
                    f"(error {error.code}). Let an administrator run: {statement}; GRANT ALL ON `{database}`.* TO the "
                    "user of MYSQL_USER."
                ) from error


def _dumped(settings: Settings, scratch: Path) -> dict[str, Path]:
    """The databases as SQL files without their names, all of one moment."""
    databases = _Databases.of(settings)
    program = _program(_DUMP)
    wanted = databases.to_dump()
    options = _options_file(databases.server, program, scratch)
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
                target.write(line)
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


@contextmanager
def _half_done_named(databases: _Databases | None) -> Iterator[None]:
    """Say what is left in databases, which unlike folders cannot be put in place at once."""
    if databases is None:
        yield
        return
    try:
        with databases.explained():
            yield
    except (BackupError, OSError) as error:
        names = ", ".join(databases.name(dump) for dump in _SUFFIXES)
        raise BackupError(
            f"{error} The databases {names} are half restored: run nothing on them; let an administrator drop and "
            "create them, mend that, and restore again."
        ) from error


def _load(databases: _Databases, program: str, workshop: Path) -> None:
    options = _options_file(databases.server, program, workshop)
    for dump in _LOADED_LAST:
        file = workshop / _DATABASES / f"{dump}.sql"
        if not file.exists():
            continue
        command = [
            program,
            f"--defaults-file={options}",
            "--binary-mode",  # the file is SQL: no command of the client in it is obeyed
            "--max-allowed-packet=1G",
            "--default-character-set=utf8mb4",
            databases.name(dump),
        ]
        with file.open("rb") as sql:
            done = subprocess.run(command, stdin=sql, capture_output=True, check=False, env={})  # noqa: S603 - as above
        if done.returncode != 0:
            raise _refused(databases.server.at(databases.name(dump)), program, done.stderr)


def _refused(server: MySqlServer, program: str, said: bytes) -> BackupError:
    words = " ".join(said.decode(errors="replace").split())
    if server.password:
        words = words.replace(server.password, "****")
    return BackupError(
        f"{server.shown}: {Path(program).name} failed: {words or 'it said nothing'}. Mend that, then run again."
    )


def _program(names: Sequence[str]) -> str:
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


def _options_file(server: MySqlServer, program: str, folder: Path) -> Path:
    """The account, in a file that nobody else can read: command lines are there for all to see."""
    lines = {"user": server.user, "password": server.password}
    if server.host.startswith("/"):
        lines["socket"] = server.host
    else:
        lines |= {"host": server.host, "port": str(server.port), "protocol": "tcp"}
    options = server.options
    lines |= {name.replace("_", "-"): options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in options}
    if "connect_timeout" in options:
        lines["loose-connect-timeout"] = options["connect_timeout"]
    mode = options.get("ssl_mode", "required" if "ssl_ca" in options else None)
    content = ["[client]", *(f"{name}={_quoted(value)}" for name, value in lines.items()), *_tls(program, mode)]
    file = folder / "account.cnf"
    file.touch(mode=0o600)
    file.write_text("\n".join(content) + "\n", encoding="utf-8")
    return file


def _tls(program: str, mode: str | None) -> list[str]:
    if not _is_mariadb(program):
        return [f"ssl-mode={mode.upper()}"] if mode else []
    if mode == "disabled":
        return ["skip-ssl"]
    verified = mode in ("verify_ca", "verify_identity")
    return [*(["ssl"] if mode else []), "ssl-verify-server-cert" if verified else "skip-ssl-verify-server-cert"]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
