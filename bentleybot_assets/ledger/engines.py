"""Where a ledger is kept: a SQLite file or a MySQL database, and how each begins, migrates and fails.

Does not belong here: what a ledger records (``ledger``), its tables (``tables``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bentleybot_assets.mysql import MySqlError, MySqlServer, attempts, watched

_LOCK_TIMEOUT_SECONDS = 30

_REMEDIES = {
    "database is locked": "Another process is writing to it: wait for that run to end, then run again.",
    "unable to open": "Check that the folder exists and that this user may write to it.",
    "readonly": "Make the file and its folder writable for this user.",
    "disk is full": "Free some disk space, then run again: nothing was written.",
    "not a database": "The file is not a ledger: point the ledger's url at another file, or restore a copy.",
    "malformed": "The file is damaged: restore a copy.",
}


class LedgerError(RuntimeError):
    """The ledger could not be read or written. The message names where it is, the table and the fix."""


class Place(Protocol):
    """A database that can hold a ledger.

    Attributes:
        shown: where it is, without a password.
        engine: opens a connection per transaction, so a ledger needs no closing and survives a fork.
    """

    shown: str
    engine: Engine

    def prepare(self) -> None:
        """Make what must be there before a connection can be opened."""
        ...

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A connection on which nobody else migrates at the same time."""
        ...

    def attempts(self) -> Iterable[AbstractContextManager[Any]]:
        """Attempts at a transaction: more than one where another process or a lost server stood in its way."""
        ...

    def watched(self, connection: Connection) -> AbstractContextManager[None]:
        """While a transaction of ``connection`` is open, end what will not end by itself."""
        ...

    def explained(self, error: DBAPIError, table: str, verb: str) -> LedgerError:
        """A database error in words, with its remedy."""
        ...


class SqliteFile:
    """A file of this machine, made where it is missing.

    Args:
        url: ``sqlite:///path/to/ledger.db``.

    Raises:
        ValueError: the url does not name a SQLite file.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.shown = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            raise ValueError(f"The ledger's url must name a SQLite file, as in sqlite:///ledger.db, not {self.shown}.")
        self._folder = Path(parsed.database).parent
        self.engine = create_engine(parsed, poolclass=NullPool, connect_args={"timeout": _LOCK_TIMEOUT_SECONDS})
        event.listen(self.engine, "connect", _leave_transactions_to_sqlalchemy)
        event.listen(self.engine, "begin", _begin)

    def prepare(self) -> None:
        """See :class:`Place`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"Cannot create folder {self._folder} for ledger {self.shown}: {error.strerror}. "
                f"{_REMEDIES['unable to open']}"
            ) from error

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See :class:`Place`. The write lock is taken first: of two processes, the second finds nothing left to do.

        SQLite's DDL is transactional, so a killed migration leaves the old schema.
        """
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def attempts(self) -> Iterable[AbstractContextManager[Any]]:
        """See :class:`Place`. One: SQLite itself waits for other writers."""
        return (nullcontext(),)

    def watched(self, connection: Connection) -> AbstractContextManager[None]:
        """See :class:`Place`. Nothing: SQLite waits for locks alone, and for so long."""
        del connection
        return nullcontext()

    def explained(self, error: DBAPIError, table: str, verb: str) -> LedgerError:
        """See :class:`Place`."""
        cause = str(error.orig)
        remedy = next((fix for sign, fix in _REMEDIES.items() if sign in cause), "Nothing was written.")
        return LedgerError(f"Cannot {verb} table {table} of ledger {self.shown}: {cause}. {remedy}")


class MySqlDatabase:
    """A database of a MySQL server.

    Args:
        server: an account that may create tables in it.
    """

    def __init__(self, server: MySqlServer) -> None:
        self._server = server
        self.shown = server.shown
        self.engine = create_engine(
            server.sqlalchemy_url(),
            poolclass=NullPool,
            connect_args=server.arguments(),
            # Each statement sees what is committed: nothing here reads, changes and writes back.
            isolation_level="READ COMMITTED",
        )
        event.listen(self.engine, "do_connect", _guarded)

    def prepare(self) -> None:
        """See :class:`Place`. The server's version is looked at once."""
        try:
            self._server.connect(table="ledger_alembic_version").close()
        except MySqlError as error:
            raise LedgerError(f"Cannot open the ledger: {error}") from error

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See :class:`Place`. Steps are of a kind that may be taken again: MySQL commits each as it is done."""
        lock = {"name": f"{self._server.database}.ledger", "seconds": self._server.lock_seconds}
        with self.engine.connect() as connection:
            if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), lock).scalar() != 1:
                said = f"Ledger {self.shown} is being migrated by another process: wait, then run again."
                raise LedgerError(said) from MySqlError(said, 1205)
            connection.commit()
            with connection.begin():
                yield connection
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), lock)

    def attempts(self) -> Iterator[AbstractContextManager[Any]]:
        """See :class:`Place`. Writers that wait for each other are told apart by the server: one starts again."""
        try:
            yield from attempts(self._server, self._as_servers)
        except MySqlError as error:
            raise LedgerError(f"Cannot open the ledger: {error}") from error

    def watched(self, connection: Connection) -> AbstractContextManager[None]:
        """See :class:`Place`. A wait for disk space."""
        driver: Any = connection.connection.driver_connection
        return watched(self._server, driver, "of the ledger", gives_up=False)

    def explained(self, error: DBAPIError, table: str, verb: str) -> LedgerError:
        """See :class:`Place`."""
        if error.orig is None:
            return LedgerError(f"Cannot {verb} table {table} of ledger {self.shown}: {error}.")
        return LedgerError(f"Cannot {verb} the ledger: {self._server.explained(error.orig, table)}")

    def _as_servers(self, error: Exception) -> MySqlError | None:
        if isinstance(error, DBAPIError) and error.orig is not None:
            return self._server.explained(error.orig, "of the ledger")
        # From before there was a connection.
        return error.__cause__ if isinstance(error.__cause__, MySqlError) else None


def _guarded(_dialect: object, _record: object, _positional: object, named: dict[str, Any]) -> Any:
    """A connection that sends its server no file."""
    from bentleybot_assets.mysql.guarded import GuardedConnection

    return GuardedConnection(**named)


def place_of(where: str | MySqlServer) -> Place:
    """The database that a url or a server names."""
    return MySqlDatabase(where) if isinstance(where, MySqlServer) else SqliteFile(where)


def _leave_transactions_to_sqlalchemy(connection: Any, _record: Any) -> None:
    """Keep Python's driver from opening transactions itself: it would commit before each DDL statement."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    """Writers lock at the start: two that had both read first could not wait for each other."""
    is_read = connection.get_execution_options().get("is_read", False)
    connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")
