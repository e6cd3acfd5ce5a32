"""The ledger: facts written once, in one transaction, however often and by however many processes they are told.

Every write is an insert-if-absent on a unique key, a compare-and-set or a count that the database itself raises;
nothing is read, changed and written back.
Does not belong here: what to order or when to refuse (``core``), or telling people (``resources``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import Any, Literal, TypeVar

import polars as pl
from sqlalchemy import Connection, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.ledger import tables
from bentleybot_assets.ledger.decisions import Account, Decision
from bentleybot_assets.ledger.engines import LedgerError, place_of
from bentleybot_assets.mysql import MySqlServer

_T = TypeVar("_T")
_LONGEST_EVIDENCE = 8_000
"""Characters: a column of MySQL's type TEXT holds them whatever they are. A stop is recorded however much it says."""

REFUSALS: dict[str, pl.DataType | type[pl.DataType]] = {
    "refusal_id": pl.String,
    "session": pl.Date,
    "code": pl.String,
    "check_name": pl.String,
    "table_name": pl.String,
    "evidence": pl.String,
    "dagster_run_id": pl.String,
    "cleared_by_run_id": pl.String,
    "times_met": pl.Int64,
}
"""Columns of a frame of refusals.

``cleared_by_run_id`` is null while the refusal is open. ``times_met`` counts the runs that met the fault, not how often
a run told of it; ``dagster_run_id`` is the last of them.
"""


class DecisionConflictError(LedgerError):
    """The session was already decided for another kind of account or data."""


class Ledger:
    """One ledger database, created and brought up to date at first use.

    Args:
        where: url of a SQLite file, ``sqlite:///path/to/ledger.db`` (missing folders are created), or a MySQL server.

    Raises:
        ValueError: the url does not name a SQLite file.
    """

    def __init__(self, where: str | MySqlServer) -> None:
        self._place = place_of(where)
        self._is_current = False

    # Orders

    def record_orders(
        self, decision: Decision, intents: pl.DataFrame, account: Account, *, run_id: str
    ) -> pl.DataFrame:
        """Record a session's decision unless it is recorded already; return what stands.

        A decision is a fact: the first recording of (strategy, session, revision) wins, also when it held no order.
        Later intents, whatever they say, add and change nothing. Whoever records has found that nothing stops the
        session any more, so its open refusals are cleared in the same transaction, except those that ``run_id`` met.

        Args:
            decision: what is decided.
            intents: columns of ``trading/orders``, all of this decision; no rows means the decision to place no order.
            account: what it was decided on.
            run_id: the run in whose name refusals are cleared.

        Returns:
            All orders of the session, as :meth:`orders`.

        Raises:
            ValueError: the intents lack a column, belong to another decision or name a symbol twice.
            DecisionConflictError: the session was decided for another account mode or data mode.
            LedgerError: the ledger cannot be written.
        """
        row = asdict(decision)
        _require_one_decision(intents, row)

        def write(connection: Connection) -> pl.DataFrame:
            try:
                connection.execute(insert(tables.decisions).values(row))
            except IntegrityError:
                if not self._is_recorded(connection, decision):
                    raise
            else:
                _insert_account(connection, decision, account)
                if not intents.is_empty():
                    connection.execute(insert(tables.orders), intents.to_dicts())
            _clear_refusals(connection, decision.session, run_id)
            return _read_orders(connection, decision.session)

        return self._in_transaction("write", "orders", write)

    def recorded_orders(self, decision: Decision, *, run_id: str) -> pl.DataFrame | None:
        """What :meth:`record_orders` returns and does if the decision is recorded already, else None.

        Raises:
            DecisionConflictError: the session was decided for another account mode or data mode.
            LedgerError: the ledger cannot be written.
        """

        def write(connection: Connection) -> pl.DataFrame | None:
            if not self._is_recorded(connection, decision):
                return None
            _clear_refusals(connection, decision.session, run_id)
            return _read_orders(connection, decision.session)

        return self._in_transaction("write", "orders", write)

    def decided(self, sessions: Collection[date], strategy: str) -> set[date]:
        """Which of the sessions a strategy has decided, also with no order.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        rows = tables.decisions
        query = select(rows.c.session).where(rows.c.strategy == strategy, rows.c.session.in_(sessions))
        return self._in_transaction("read", "decisions", lambda connection: set(connection.execute(query).scalars()))

    def orders(self, session: date) -> pl.DataFrame:
        """The session's recorded orders: columns of ``trading/orders``, sorted by order id; empty if none are.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._in_transaction("read", "orders", lambda connection: _read_orders(connection, session))

    def account(self, session: date, strategy: str) -> Account | None:
        """What a strategy's first decision of a session was made for; None if there is none, or it is not known.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        accounts, positions = tables.decided_accounts, tables.decided_positions
        key = (accounts.c.session == session, accounts.c.strategy == strategy)

        def read(connection: Connection) -> Account | None:
            first = connection.execute(select(accounts).where(*key).order_by(accounts.c.revision)).mappings().first()
            if first is None:
                return None
            same = [positions.c[name] == first[name] for name in ("strategy", "session", "revision")]
            held = connection.execute(select(positions.c.symbol, positions.c.quantity).where(*same)).all()
            return Account(first["cash_usd"], dict(map(tuple, held)))

        return self._in_transaction("read", "decided_accounts", read)

    def _is_recorded(self, connection: Connection, decision: Decision) -> bool:
        wanted = asdict(decision)
        key = [column == wanted[column.name] for column in tables.decisions.primary_key]
        recorded = connection.execute(select(tables.decisions).where(*key)).mappings().first()
        if recorded is not None and dict(recorded) != wanted:
            raise DecisionConflictError(
                f"Session {decision.session} of strategy {decision.strategy}, revision {decision.revision}, "
                f"was decided for a {recorded['account_mode']} account on {recorded['data_mode']} data and stands so "
                f"in table decisions of ledger {self._place.shown}; this run is for a {decision.account_mode} account "
                f"on {decision.data_mode} data. Give the run a ledger of its own, or another revision."
            )
        return recorded is not None

    # Refusals

    def record_refusal(
        self, session: date, *, check: str, table: str, evidence: str, dagster_run_id: str, code: str = "HALT"
    ) -> str:
        """Record that a fault stopped a session; the same fault met again by another run is counted in its one row.

        A fault that was cleared and is met by another run opens again. Told again by a run that told of it before,
        whoever did in between, it neither opens nor counts.

        Args:
            session: session whose decision was stopped.
            check: name of the check that failed.
            table: asset key of the table it failed on, ``market/daily_bars``.
            evidence: what was found; equal for equal faults (no run id or time in it). A very long one is cut.
            dagster_run_id: the run that met it.
            code: what the refusal means for trading.

        Returns:
            The refusal's id: hash of session, table, check and evidence.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        if len(evidence) > _LONGEST_EVIDENCE:
            evidence = f"{evidence[:_LONGEST_EVIDENCE]} … ({len(evidence) - _LONGEST_EVIDENCE:,} more characters)"
        identity = json.dumps([session.isoformat(), table, check, evidence], ensure_ascii=False)
        refusal_id = hashlib.sha256(identity.encode()).hexdigest()[:32]
        rows = tables.refusals

        first_met = insert(rows).values(
            refusal_id=refusal_id,
            session=session,
            code=code,
            check_name=check,
            table_name=table,
            evidence=evidence,
            dagster_run_id=dagster_run_id,
        )
        met_again = (
            update(rows)
            .where(rows.c.refusal_id == refusal_id)
            .values(dagster_run_id=dagster_run_id, cleared_by_run_id=None, times_met=rows.c.times_met + 1)
        )
        runs = tables.refusal_runs
        meeting = {"refusal_id": refusal_id, "dagster_run_id": dagster_run_id}
        told_before = select(runs).filter_by(**meeting)

        def write(connection: Connection) -> None:
            # A run tells again when a commit's answer was lost, or a sensor reports it once more: others came between.
            try:
                connection.execute(insert(runs).values(meeting))
            except IntegrityError:
                if connection.execute(told_before).first() is None:
                    raise
                return
            # The update first: on MySQL an insert that fails holds a lock which every other writer must wait for.
            if connection.execute(met_again).rowcount:
                return
            try:
                connection.execute(first_met)
            except IntegrityError:
                if not connection.execute(met_again).rowcount:
                    raise

        self._in_transaction("write", "refusals", write)
        return refusal_id

    def refusals(self, session: date) -> pl.DataFrame:
        """All refusals of the session, open or cleared: columns ``REFUSALS``, sorted by table, check and id.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        rows = tables.refusals
        query = (
            select(rows)
            .where(rows.c.session == session)
            .order_by(rows.c.table_name, rows.c.check_name, rows.c.refusal_id)
        )
        found = self._in_transaction("read", "refusals", lambda connection: connection.execute(query).all())
        return pl.DataFrame([tuple(row) for row in found], schema=REFUSALS, orient="row")

    def open_refusals(self, session: date) -> pl.DataFrame:
        """The session's refusals that no run has cleared; as :meth:`refusals`."""
        return self.refusals(session).filter(pl.col("cleared_by_run_id").is_null())

    # Transactions

    def _in_transaction(self, verb: Literal["read", "write"], table: str, work: Callable[[Connection], _T]) -> _T:
        """Carry out ``work`` in a transaction; again from its start if the database asks for that."""
        try:
            for attempt in self._place.attempts():
                with attempt, self._connection(is_read=verb == "read") as connection:
                    result = work(connection)
        except DBAPIError as error:
            raise self._place.explained(error, table, verb) from error
        return result

    @contextmanager
    def _connection(self, *, is_read: bool) -> Iterator[Connection]:
        """A transaction on a ledger that is up to date."""
        if not self._is_current:
            self.bring_up_to_date()
        with (
            self._place.engine.connect().execution_options(is_read=is_read) as connection,
            self._place.watched(connection),
            connection.begin(),
        ):
            yield connection

    def bring_up_to_date(self) -> None:
        """Create or migrate the tables; the first use of a ledger does it too.

        Raises:
            LedgerError: the ledger is from a newer release, or cannot be opened.
        """
        self._place.prepare()
        with self._place.engine.connect().execution_options(is_read=True) as connection, connection.begin():
            version = _schema_version(connection)
        if version != tables.SCHEMA_VERSION:
            self._upgrade()
        self._is_current = True

    def _upgrade(self) -> None:
        from alembic.util import CommandError

        from bentleybot_assets.ledger.migrations import upgrade_to_head

        with self._place.migrating() as connection:
            try:
                upgrade_to_head(connection)
            except CommandError as error:
                raise LedgerError(
                    f"Ledger {self._place.shown} says in table {tables.version.name} that it is at version "
                    f"{_schema_version(connection)}, which this release (version {tables.SCHEMA_VERSION}) does not "
                    "know. Use the newer release that wrote it, or another ledger."
                ) from error


def _schema_version(connection: Connection) -> str | None:
    # Not has_table: MariaDB writes what that asks for to its disk, which may be full.
    if tables.version.name not in inspect(connection).get_table_names():
        return None
    return connection.execute(select(tables.version.c.version_num)).scalar_one_or_none()


def _insert_account(connection: Connection, decision: Decision, account: Account) -> None:
    row = asdict(decision)
    key = {column.name: row[column.name] for column in tables.decisions.primary_key}
    connection.execute(insert(tables.decided_accounts).values(key | {"cash_usd": account.cash_usd}))
    if account.positions:
        connection.execute(
            insert(tables.decided_positions),
            [key | {"symbol": symbol, "quantity": quantity} for symbol, quantity in account.positions.items()],
        )


def _clear_refusals(connection: Connection, session: date, run_id: str) -> None:
    rows = tables.refusals
    connection.execute(
        update(rows)
        .where(rows.c.session == session, rows.c.cleared_by_run_id.is_(None), rows.c.dagster_run_id != run_id)
        .values(cleared_by_run_id=run_id)
    )


def _read_orders(connection: Connection, session: date) -> pl.DataFrame:
    schema = Orders.polars_schema()
    columns = [tables.orders.c[name] for name in schema]
    query = select(*columns).where(tables.orders.c.session == session).order_by(tables.orders.c.order_id)
    return pl.DataFrame([tuple(row) for row in connection.execute(query)], schema=schema, orient="row")


def _require_one_decision(intents: pl.DataFrame, decision: dict[str, Any]) -> None:
    expected = Orders.polars_schema()
    if intents.schema != expected:
        raise ValueError(
            f"Order intents must have the columns of trading/orders, {list(expected)} with their types, "
            f"but have {dict(intents.schema)}."
        )
    for name, value in decision.items():
        foreign = intents.filter(pl.col(name) != value)
        if not foreign.is_empty():
            row = foreign.row(0, named=True)
            raise ValueError(
                f"Order intents of one decision share their {name}, but {row['symbol']} has {row[name]!r} "
                f"where {value!r} is being recorded. Record each decision by itself."
            )
    repeated = intents.filter(pl.col("symbol").is_duplicated())["symbol"]
    if not repeated.is_empty():
        raise ValueError(f"Order intents name {repeated[0]} more than once. Give each symbol one order.")
