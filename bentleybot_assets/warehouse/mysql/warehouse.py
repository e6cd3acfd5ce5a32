"""The production warehouse: one MySQL table per contract.

A whole table is replaced by a merge of what changed, or, where most of it did, by a new table that is renamed into its
place; slices are replaced in one transaction. Readers see the old version or the new one, and wait for no rows; a table
that is renamed waits for those who are reading it, and keeps new ones waiting for a second at a time. One writer per
table at a time holds a lock that the server releases when the connection dies.

Does not belong here: judging content (``core.audit``), how values travel (``transfer``), types (``ddl``).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.mysql import MySqlServer, attempts, watched
from bentleybot_assets.warehouse.base import MissingTableError, SchemaMismatchError, names_a_session
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets.warehouse.mysql.ddl import (
    DELIVERY,
    NON_FINITE,
    ROW,
    Column,
    Table,
    may_hold_non_finite,
    quarantine_of,
    quoted,
    table_of,
)
from bentleybot_assets.warehouse.mysql.pushdown import session_condition

if TYPE_CHECKING:
    import pymysql

    from bentleybot_assets.mysql.guarded import GuardedConnection

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_DELIVERIES = Table(
    "airbyte_deliveries",
    (
        Column("connection", "varchar(64)", is_nullable=False, comment="Airbyte connection"),
        Column(DELIVERY, "bigint", is_nullable=False, comment="Number of the delivery"),
        Column("state", "longtext", is_nullable=False, comment="STATE of all its streams, JSON"),
    ),
    ("connection", DELIVERY),
    comment="Committed deliveries of each connection",
)
_LOCK_TIMED_OUT, _SECOND = 1205, 2
_NEXT, _OLD, _STAGE, _CHANGED, _GONE = "__next", "__old", "__stage", "__changed", "__gone"
_MOST_MERGED = 0.2
"""A larger share of changed rows is cheaper to load anew."""
WRITER_PATIENCE_SECONDS = 600
"""How long a writer waits for another one of the same table: as long as the largest loads take."""
READER_PATIENCE_SECONDS = 60
"""How long a table that is to be renamed or altered waits for whoever is reading it."""


class MySqlWarehouse:
    """Implements :class:`bentleybot_assets.warehouse.base.Warehouse` on a database.

    Args:
        server: where the database is; nothing is opened before it is needed.
    """

    def __init__(self, server: MySqlServer) -> None:
        self.server = server
        self._known: MySqlServer | None = None

    def read(
        self,
        contract: type[Contract],
        sessions: Collection[date] | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See :class:`Warehouse`."""
        columns = list(contract.polars_schema() if columns is None else columns)
        order = (DELIVERY, ROW) if contract.rules().is_log else contract.rules().grain
        return self._again(lambda: self._select(contract, columns, _sessions_sql(sessions), order))

    def scan(self, contract: type[Contract]) -> pl.LazyFrame:
        """See :class:`Warehouse`. Asks the server for the columns and sessions that are wanted."""
        from polars.io.plugins import register_io_source

        self._again(lambda: self._require(contract))
        schema = contract.polars_schema()

        def source(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            del batch_size
            wanted = with_columns or list(schema)
            needed = wanted if predicate is None else [*dict.fromkeys([*wanted, *predicate.meta.root_names()])]
            condition = "" if predicate is None else session_condition(predicate)
            frame = self._again(lambda: self._select(contract, needed, condition, ()))
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame.select(wanted) if n_rows is None else frame.select(wanted).head(n_rows)

        return register_io_source(source, schema=schema)

    def row_count(self, contract: type[Contract], sessions: Collection[date] | None = None) -> int | None:
        """See :class:`Warehouse`."""
        count: int | None = self._calculated(contract, "COUNT(*)", _sessions_sql(sessions))
        return count

    def newest_session(self, contract: type[Contract]) -> date | None:
        """See :class:`Warehouse`."""
        newest: date | None = self._calculated(contract, f"MAX({quoted('session')})", "")
        return newest

    def location(self, contract: type[Contract]) -> str:
        """See :class:`Warehouse`: server, database and table."""
        return f"mysql://{self.server.shown}/{contract.table_name()}"

    def publish(self, contract: type[Contract], frame: pl.DataFrame, sessions: Collection[date] | None = None) -> None:
        """See :class:`Warehouse`."""
        table = table_of(contract)
        written = transfer.with_non_finite_aside(contract, frame)
        self._written(table, lambda connection: self._put(connection, table, contract, written, sessions))

    def quarantine(
        self, contract: type[Contract], rows: pl.DataFrame, sessions: Collection[date] | None = None
    ) -> None:
        """See :class:`Warehouse`. Kept as ``quarantine__<table>``; nothing is written while there is none."""
        table = quarantine_of(contract)

        def changed() -> pl.DataFrame | None:
            old = self.read_quarantine(contract)
            kept = old.clear() if sessions is None else old.filter(~names_a_session(sessions))
            new = pl.concat([kept, rows]).sort(old.columns)
            return None if new.equals(old) else new

        def put(connection: pymysql.Connection[Any]) -> None:
            _ensure(connection, table)
            # Looked at again under the lock: another writer may have set rows of other sessions aside.
            if (new := changed()) is not None:
                with _transaction(connection) as cursor:
                    cursor.execute(f"DELETE FROM {quoted(table.name)}")  # noqa: S608
                    transfer.load(connection, table.name, new)

        if changed() is not None:
            self._written(table, put)

    def read_quarantine(self, contract: type[Contract]) -> pl.DataFrame:
        """See :class:`Warehouse`."""
        table = quarantine_of(contract)
        schema = {name: pl.String() for name in QUARANTINE}
        query = f"SELECT {_names(schema)} FROM {quoted(table.name)}"  # noqa: S608

        def read() -> pl.DataFrame:
            with self._connection(table.name) as connection:
                if not _exists(connection, table.name):
                    return pl.DataFrame(schema=QUARANTINE)
            return transfer.read(self._settled(table.name), query, schema, table=table.name).sort(*QUARANTINE)

        return self._again(read)

    def append_delivery(
        self, connection: str, records: Mapping[type[Contract], pl.DataFrame], state: Mapping[str, Any]
    ) -> int:
        """See :class:`Warehouse`."""
        numbers: list[int] = []
        text = json.dumps(state, sort_keys=True)

        def put(server: pymysql.Connection[Any]) -> None:
            _ensure(server, _DELIVERIES)
            for contract in records:
                _ensure(server, table_of(contract))
            with _transaction(server) as cursor:
                cursor.execute(
                    f"SELECT COALESCE(MAX({quoted(DELIVERY)}), 0) + 1 FROM {quoted(_DELIVERIES.name)} "  # noqa: S608
                    "WHERE connection = %s",
                    (connection,),
                )
                number = int(cursor.fetchone()[0])
                for contract, frame in records.items():
                    written = transfer.with_non_finite_aside(contract, frame)
                    written = written.with_row_index(ROW).with_columns(pl.lit(number).alias(DELIVERY))
                    transfer.load(server, contract.table_name(), written)
                cursor.execute(
                    f"INSERT INTO {quoted(_DELIVERIES.name)} VALUES (%s, %s, %s)",  # noqa: S608
                    (connection, number, text),
                )
            numbers.append(number)

        self._written(_DELIVERIES, put, lock=f"raw__{connection}")
        return numbers[-1]

    def connection_state(self, connection: str) -> dict[str, Any]:
        """See :class:`Warehouse`."""

        def read() -> str:
            with self._connection(_DELIVERIES.name) as server:
                if not _exists(server, _DELIVERIES.name):
                    return "{}"
                with server.cursor() as cursor:
                    cursor.execute(
                        f"SELECT state FROM {quoted(_DELIVERIES.name)} WHERE connection = %s "  # noqa: S608
                        f"ORDER BY {quoted(DELIVERY)} DESC LIMIT 1",
                        (connection,),
                    )
                    found = cursor.fetchone()
            return found[0] if found else "{}"

        state: dict[str, Any] = json.loads(self._again(read))
        return state

    # --- reading

    def _again(self, read: Callable[[], _T]) -> _T:
        """Carry out a read; again from its start if the connection was lost."""
        for attempt in attempts(self.server):
            with attempt:
                result = read()
        return result

    def _select(
        self, contract: type[Contract], columns: Sequence[str], condition: str, order: Sequence[str]
    ) -> pl.DataFrame:
        """Rows and columns of a contract's table, sorted here (the server would do it slower)."""
        self._require(contract)
        types = contract.polars_schema() | {DELIVERY: pl.Int64(), ROW: pl.Int64(), NON_FINITE: pl.String()}
        odd = (NON_FINITE,) if may_hold_non_finite(contract) else ()
        names = dict.fromkeys([*columns, *order, *odd])
        schema = {name: types[name] for name in names}
        query = f"SELECT {_names(schema)} FROM {quoted(contract.table_name())}{condition}"  # noqa: S608
        server = self._settled(contract.table_name())
        frame = transfer.read(server, query, schema, table=contract.table_name())
        if order:
            frame = frame.sort(order)
        return transfer.with_non_finite_back(frame, columns) if odd else frame.select(columns)

    def _calculated(self, contract: type[Contract], aggregate: str, condition: str) -> Any:
        """What the server makes of a table's rows; None if it was never published."""
        name = contract.table_name()

        def ask() -> Any:
            with (
                self._connection(name, read_timeout=transfer.LONGEST_SECONDS) as connection,
                watched(self.server, connection, name),
                connection.cursor() as cursor,
            ):
                if not _exists(connection, name):
                    return None
                cursor.execute(f"SELECT {aggregate} FROM {quoted(name)}{condition}")  # noqa: S608
                ((value,),) = cursor.fetchall()
                return value

        return self._again(ask)

    def _require(self, contract: type[Contract]) -> None:
        """See that a table is there.

        Raises:
            MissingTableError: it was never published.
        """
        name = contract.table_name()
        with self._connection(name) as connection:
            if not _exists(connection, name):
                raise MissingTableError(contract, self.server.shown)

    # --- writing

    def _put(
        self,
        connection: pymysql.Connection[Any],
        table: Table,
        contract: type[Contract],
        written: pl.DataFrame,
        sessions: Collection[date] | None,
    ) -> None:
        if sessions is not None:
            _ensure(connection, table)
            _replace_slices(connection, table, written, sessions)
            return
        if not _exists(connection, table.name):
            _replace_whole(connection, table, written)
            return
        _ensure(connection, table)
        names, grain = list(contract.polars_schema()), contract.rules().grain
        with _kept_while_idle(connection):
            current = transfer.with_non_finite_aside(contract, self._select(contract, names, "", grain))
            new, changed, gone = _difference(current, written, table.primary_key)
        differing = new.height + changed.height + gone.height
        if differing == 0:
            return
        if differing <= _MOST_MERGED * max(current.height, 1):
            _merge(connection, table, new, changed, gone)
        else:
            _replace_whole(connection, table, written)

    def _written(
        self,
        table: Table,
        put: Callable[[pymysql.Connection[Any]], None],
        *,
        lock: str | None = None,
    ) -> None:
        """Carry out a write under the table's lock; again from its start if the connection was lost or contended.

        Each write is whole or not done at all, and doing it twice is doing it once (a delivery that was committed
        although the answer was lost is delivered again: the log is at least once).
        """
        for attempt in attempts(self.server):
            with (
                attempt,
                self._connection(table.name, read_timeout=transfer.LONGEST_SECONDS, local_infile=True) as connection,
                watched(self.server, connection, table.name),
                self.server.named_errors(table.name),
                _lock(connection, f"{self.server.database}.{lock or table.name}"),
            ):
                try:
                    put(connection)
                except SchemaMismatchError as error:
                    raise SchemaMismatchError(f"{self.server.shown}: {error}") from None

    def _settled(self, table: str) -> MySqlServer:
        """The server, once it is known whether it offers TLS."""
        if self._known is None:
            self._known = self.server.settled(table)
        return self._known

    @contextmanager
    def _connection(self, table: str, **how: Any) -> Iterator[GuardedConnection]:
        connection = self._settled(table).connect(table=table, **how)
        try:
            with self.server.named_errors(table):
                yield connection
        finally:
            if connection.open:
                connection.close()


def _replace_whole(connection: pymysql.Connection[Any], table: Table, written: pl.DataFrame) -> None:
    """Load a new table and rename it into the place of the old one."""
    from pymysql.err import MySQLError

    following, former = table.name + _NEXT, table.name + _OLD
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {quoted(following)}, {quoted(former)}")
        cursor.execute(table.create(following))
        try:
            # In the order of its key each row goes behind the last one, instead of into a page somewhere.
            transfer.load(connection, following, written.sort(table.primary_key))
            if not _exists(connection, table.name):
                cursor.execute(f"RENAME TABLE {quoted(following)} TO {quoted(table.name)}")
                return
            exchange = (
                f"RENAME TABLE {quoted(table.name)} TO {quoted(former)}, {quoted(following)} TO {quoted(table.name)}"
            )
            _once_nobody_reads(cursor, exchange)
        except BaseException:
            # It would stand there until the next time; and on a full disk its room is needed.
            with suppress(MySQLError):
                cursor.execute(f"DROP TABLE IF EXISTS {quoted(following)}")
            raise
        cursor.execute(f"DROP TABLE {quoted(former)}")


def _once_nobody_reads(cursor: Any, statement: str) -> None:
    """Carry out a statement that needs a table for itself. It waits a second at a time, as new readers wait behind it.

    Raises:
        pymysql.err.OperationalError: somebody kept the table open for too long.
    """
    import stamina
    from pymysql.err import OperationalError

    def is_held(error: Exception) -> bool:
        return isinstance(error, OperationalError) and error.args[0] == _LOCK_TIMED_OUT

    cursor.execute("SET SESSION lock_wait_timeout = 1")
    try:
        for attempt in stamina.retry_context(
            on=is_held, attempts=None, timeout=READER_PATIENCE_SECONDS, wait_initial=0.1, wait_max=2
        ):
            if attempt.num == _SECOND:
                _log.warning("Waiting up to %d s for whoever is reading: %s", READER_PATIENCE_SECONDS, statement)
            with attempt:
                cursor.execute(statement)
    except OperationalError as error:
        if not is_held(error):
            raise
        said = f"somebody has been reading it for more than {READER_PATIENCE_SECONDS} s"
        raise OperationalError(_LOCK_TIMED_OUT, said) from TimeoutError()  # waited for long enough


def _replace_slices(
    connection: pymysql.Connection[Any], table: Table, written: pl.DataFrame, sessions: Collection[date]
) -> None:
    """Replace sessions in one transaction, from a staging table that took every row."""
    stage = _staged(connection, table, _STAGE, written)
    with _transaction(connection) as cursor:
        cursor.execute(f"DELETE FROM {quoted(table.name)}{_sessions_sql(sessions)}")  # noqa: S608
        _insert_staged(cursor, table, stage, written.columns)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TEMPORARY TABLE {quoted(stage)}")


def _merge(
    connection: pymysql.Connection[Any], table: Table, new: pl.DataFrame, changed: pl.DataFrame, gone: pl.DataFrame
) -> None:
    """Remove, change and add rows in one transaction.

    A new row is inserted and nothing else: the server refuses one whose key it takes for that of a row which is there.
    """
    parts = ((_GONE, gone), (_CHANGED, changed), (_STAGE, new))
    leaving, changing, coming = (_staged(connection, table, suffix, frame) for suffix, frame in parts)
    with _transaction(connection) as cursor:
        if not gone.is_empty():
            same = " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in table.primary_key)
            cursor.execute(f"DELETE t FROM {quoted(table.name)} AS t JOIN {quoted(leaving)} AS s ON {same}")
        if not changed.is_empty():
            # UPDATE with a join costs the server 1.6 times as much.
            values = [quoted(name) for name in changed.columns if name not in table.primary_key]
            updates = ", ".join(f"{value} = s.{value}" for value in values)
            rows = ", ".join(f"s.{quoted(name)}" for name in changed.columns)
            cursor.execute(
                f"INSERT INTO {quoted(table.name)} ({_names(changed.columns)}) SELECT {rows} "  # noqa: S608
                f"FROM {quoted(changing)} AS s ON DUPLICATE KEY UPDATE {updates}"
            )
        _insert_staged(cursor, table, coming, new.columns)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TEMPORARY TABLE {_names((leaving, changing, coming))}")


def _staged(connection: pymysql.Connection[Any], table: Table, suffix: str, frame: pl.DataFrame) -> str:
    """A temporary table, of this connection alone, that holds ``frame``."""
    name = table.name + suffix
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TEMPORARY TABLE IF EXISTS {quoted(name)}")
        cursor.execute(f"CREATE TEMPORARY TABLE {quoted(name)} LIKE {quoted(table.name)}")
    transfer.load(connection, name, frame)
    return name


def _insert_staged(cursor: Any, table: Table, stage: str, columns: Sequence[str]) -> None:
    names = _names(columns)
    cursor.execute(f"INSERT INTO {quoted(table.name)} ({names}) SELECT {names} FROM {quoted(stage)}")  # noqa: S608


def _difference(
    current: pl.DataFrame, wanted: pl.DataFrame, key: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Rows that are new, rows that are changed, and rows whose keys are no longer there."""
    values = [name for name in wanted.columns if name not in key]
    both = wanted.join(current.with_columns(_is_there=True), on=list(key), how="left", suffix="__now")
    is_new = pl.col("_is_there").is_null()
    # A table that is nothing but its key has no value that could differ.
    differs = pl.any_horizontal(pl.lit(value=False), *(pl.col(n).ne_missing(pl.col(f"{n}__now")) for n in values))
    return (
        both.filter(is_new).select(wanted.columns),
        both.filter(~is_new & differs).select(wanted.columns),
        current.join(wanted, on=list(key), how="anti"),
    )


def _ensure(connection: pymysql.Connection[Any], table: Table) -> None:
    """Create a table, or add the nullable columns that are new in its contract."""
    with connection.cursor() as cursor:
        if not _exists(connection, table.name):
            cursor.execute(table.create(table.name))
            return
        for statement in table.upgrades(*_declared(connection, table.name)):
            _once_nobody_reads(cursor, statement)


def _exists(connection: pymysql.Connection[Any], name: str) -> bool:
    """Whether there is a table; asked so that MariaDB does not write its answer to its disk, which may be full."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s", (name,)
        )
        return cursor.fetchone() is not None


def _declared(connection: pymysql.Connection[Any], name: str) -> tuple[dict[str, Column], frozenset[str]]:
    """The columns that a table has in the database, and which of them are its primary key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
            (name,),
        )
        found = cursor.fetchall()
    # MariaDB tells the display width of integers, MySQL 8 only that of tinyint(1).
    columns = {
        column: Column(column, kind.split("(")[0] if kind.startswith("bigint") else kind, null == "YES")
        for column, kind, null, _ in found
    }
    return columns, frozenset(column for column, _, _, key in found if key == "PRI")


@contextmanager
def _transaction(connection: pymysql.Connection[Any]) -> Iterator[Any]:
    with connection.cursor() as cursor:
        connection.begin()
        try:
            yield cursor
        except BaseException:
            if connection.open:
                connection.rollback()
            raise
        connection.commit()


@contextmanager
def _kept_while_idle(connection: pymysql.Connection[Any]) -> Iterator[None]:
    """Have the server keep a connection, and the lock that it holds, while a table is read on another one."""
    with connection.cursor() as cursor:
        cursor.execute("SET @idle = @@SESSION.wait_timeout")
        cursor.execute("SET SESSION wait_timeout = %s", (transfer.LONGEST_SECONDS,))
        yield
        cursor.execute("SET SESSION wait_timeout = @idle")


@contextmanager
def _lock(connection: pymysql.Connection[Any], name: str) -> Iterator[None]:
    """One writer at a time; the server releases the lock of a connection that ends, however it ends."""
    from pymysql.err import MySQLError, OperationalError

    short = hashlib.sha256(name.encode()).hexdigest()[:40]
    with connection.cursor() as cursor:
        if not _is_locked(cursor, short, 1):
            _log.warning("%s: waiting up to %d s for the connection that is writing it", name, WRITER_PATIENCE_SECONDS)
            if not _is_locked(cursor, short, WRITER_PATIENCE_SECONDS):
                said = f"another connection has been writing it for more than {WRITER_PATIENCE_SECONDS} s"
                raise OperationalError(_LOCK_TIMED_OUT, said) from TimeoutError()  # waited for long enough
    yield
    # What was written stands: a connection that is lost now is no reason to write it again.
    with suppress(MySQLError), connection.cursor() as cursor:
        cursor.execute("SELECT RELEASE_LOCK(%s)", (short,))


def _is_locked(cursor: Any, name: str, seconds: int) -> bool:
    """Take a lock within so many seconds, if it can be had."""
    cursor.execute("SELECT GET_LOCK(%s, %s)", (name, seconds))
    return bool(cursor.fetchone()[0] == 1)


def _sessions_sql(sessions: Collection[date] | None) -> str:
    """`` WHERE session IN (...)``; dates are written by us and need no escaping."""
    if sessions is None:
        return ""
    days = ", ".join(f"'{day.isoformat()}'" for day in sorted(sessions)) or "NULL"
    return f" WHERE {quoted('session')} IN ({days})"


def _names(columns: Collection[str]) -> str:
    return ", ".join(map(quoted, columns))
