"""Creates and migrates what a deployment keeps in databases: ledger, Dagster's history, MLflow's runs.

Belongs here: the order of it, and what an administrator must grant. Does not belong here: any table of ours
(``ledger`` and ``warehouse`` make theirs), any of Dagster's or MLflow's (they make theirs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError

from bentleybot_assets.deployment import mysql_account, open_dagster, resources_of
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.settings import Settings

SUFFIXES = {"tables": "", "dagster": "_dagster", "mlflow": "_mlflow"}
"""What is kept in a database to how that is called after ``$MYSQL_DATABASE``."""

_NEEDED = {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER"} | {
    "CREATE TEMPORARY TABLES"
}
_MAY_NOT_CREATE = frozenset({1044, 1142, 1227})
_NO_TRUST = 1419
"""A server with a binary log lets only its administrators make triggers."""


def upgrade(settings: Settings) -> Iterator[str]:
    """Bring every database to this release; says what it did, step by step.

    Raises:
        bentleybot_assets.mysql.MySqlError: the server refuses; for a missing database the message has the statements
            that an administrator must run.
        bentleybot_assets.ledger.engines.LedgerError: the ledger cannot be migrated.
    """
    resources = resources_of(settings)
    server = mysql_account(settings).server() if settings.profile == "production" else None
    if server:
        yield from create_missing(server)
    resources["ledger"].open().bring_up_to_date()
    yield "ledger: up to date"
    with open_dagster(settings) as instance, _named_errors(server, "dagster"):
        instance.upgrade()
    yield "Dagster's history: up to date"
    with _named_errors(server, "mlflow"):
        resources["mlflow"].upgrade()
    yield "MLflow's runs: up to date"


@contextmanager
def _named_errors(server: MySqlServer | None, kept: str) -> Iterator[None]:
    """Say server and remedy of errors in migrations: a look at a table's columns switches ``mysql_engine`` off."""
    try:
        yield
    except DBAPIError as error:
        if server is None or error.orig is None:
            raise
        database = server.at(f"{server.database}{SUFFIXES[kept]}")
        raise database.explained(error.orig, f"of {kept}'s migrations") from error


def create_missing(server: MySqlServer) -> Iterator[str]:
    """Create the databases of a desk that are not there; says of each what it found.

    Raises:
        bentleybot_assets.mysql.MySqlError: this user may not; the message has the statements for an administrator. Or
            it may make no triggers.
    """
    names = [f"{server.database}{suffix}" for suffix in SUFFIXES.values()]
    with (
        closing(server.at("information_schema").connect(table="SCHEMATA")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT SCHEMA_NAME FROM SCHEMATA")
        present = {name for (name,) in cursor.fetchall()}
        for name, kept in as_kept(cursor, names).items():
            if kept in present:
                lacking = _NEEDED - _granted(cursor, kept)
                yield f"database {name}: there" + (f", but {_lacking(server, name, lacking)}" if lacking else "")
                continue
            try:
                with server.named_errors("SCHEMATA"):
                    cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            except MySqlError as error:
                if error.code not in _MAY_NOT_CREATE:
                    raise
                raise MySqlError(_grant(server, names), error.code) from error
            yield f"database {name}: created"
    _try_trigger(server.at(names[-1]))


def _try_trigger(server: MySqlServer) -> None:
    """See that MLflow's migration may make its trigger: it could never be finished after a refusal."""
    with closing(server.connect(table="secrets")) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TRIGGERS")
        if cursor.fetchone():
            return
        try:
            with server.named_errors("secrets"):
                # Whether this user may is looked at before whether the table is there, which it never is.
                cursor.execute("CREATE TRIGGER trial BEFORE UPDATE ON bentleybot_trial FOR EACH ROW SET @trial = 1")
        except MySqlError as error:
            if error.code == _NO_TRUST:
                raise


def as_kept(cursor: Any, names: Iterable[str]) -> dict[str, str]:
    """Names of databases, each with what the server calls it: some keep all of them in small letters."""
    cursor.execute("SELECT @@lower_case_table_names")
    is_folded = cursor.fetchone()[0] == 1
    return {name: name.lower() if is_folded else name for name in names}


def inspected(server: MySqlServer) -> Iterator[tuple[str, str | None, str | None]]:
    """Each database of a desk, with why it cannot be opened, and with what this user may lack; None: nothing."""
    for suffix in SUFFIXES.values():
        name = f"{server.database}{suffix}"
        try:
            with (
                closing(server.at(name).connect(table="SCHEMA_PRIVILEGES")) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("USE information_schema")
                (kept,) = as_kept(cursor, [name]).values()
                lacking = _NEEDED - _granted(cursor, kept)
        except MySqlError as error:
            yield name, str(error), None
        else:
            yield name, None, _lacking(server, name, lacking) if lacking else None


def _granted(cursor: Any, name: str) -> set[str]:
    """What this user may do in a database, as far as it was not given by a role."""
    cursor.execute(
        "SELECT PRIVILEGE_TYPE FROM USER_PRIVILEGES UNION "
        "SELECT PRIVILEGE_TYPE FROM SCHEMA_PRIVILEGES WHERE %s LIKE TABLE_SCHEMA",
        (name,),
    )
    return {privilege for (privilege,) in cursor.fetchall()}


def _lacking(server: MySqlServer, name: str, privileges: set[str]) -> str:
    return (
        f"{server.user} was not granted {', '.join(sorted(privileges))} on it, unless by a role. If it is refused, an "
        f"administrator must run (with its host in place of %): {_grant_on(server, name)}"
    )


def _grant_on(server: MySqlServer, name: str) -> str:
    # In a GRANT an underscore stands for any letter.
    pattern, user = name.replace("_", "\\_"), server.user.replace("\\", "\\\\").replace("'", "''")
    return f"GRANT {', '.join(sorted(_NEEDED))} ON `{pattern}`.* TO '{user}'@'%';"


def _grant(server: MySqlServer, names: list[str]) -> str:
    statements = [
        *(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;" for name in names),
        *(_grant_on(server, name) for name in names),
    ]
    return (
        f"{server.shown}: this user may not create databases. An administrator must run (with the host that the user "
        "connects from in place of %), then the command be run again:\n" + "\n".join(statements)
    )
