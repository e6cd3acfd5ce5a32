"""Frames to and from MySQL in bulk: LOAD DATA, columnar reads.

Belongs here: how values are written and read, so that they come back bit for bit. Does not belong here: which rows,
and when (``warehouse``).

MySQL's DOUBLE has no NaN and no infinity. Where a contract lets them through (raw values are kept as delivered), the
column is null and the column ``_non_finite`` says what stood there. It has no minus zero either: that becomes zero,
which is equal to it.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.mysql import BEAT_SECONDS, MySqlError, MySqlServer, watched
from bentleybot_assets.warehouse.mysql.ddl import NON_FINITE, non_finite_columns, quoted

if TYPE_CHECKING:
    import pymysql

_logger = logging.getLogger(__name__)

_LOAD = (
    "LOAD DATA LOCAL INFILE %s INTO TABLE {table} CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' "
    "OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n' ({columns})"
)
_AS_SENT: dict[Any, pl.DataType] = {pl.Boolean: pl.Int64(), pl.Datetime: pl.Datetime("us")}
"""What the server makes of types that it lacks."""

_LOCAL_IS_FORBIDDEN = frozenset({1148, 2068, 3948, 3950, 4166})
_NOT_TAKEN = 1265
_ROWS_AT_ONCE = 1_000
LONGEST_SECONDS = 3600
"""A connection that has not answered for so long is taken for one that is dead, though the server answers others."""


def load(connection: pymysql.Connection[Any], table: str, frame: pl.DataFrame) -> None:
    """Append ``frame`` to a table whose columns bear the same names: all of it, or an error.

    Raises:
        pymysql.err.MySQLError: a row was not taken as it is; the transaction should be rolled back.
    """
    from pymysql.err import DataError

    if frame.is_empty():
        return
    written = frame.with_columns(
        pl.col(pl.Boolean).cast(pl.UInt8),
        *(
            pl.col(name).dt.replace_time_zone(None)
            for name, dtype in frame.schema.items()
            if isinstance(dtype, pl.Datetime)
        ),
    )
    with connection.cursor() as cursor:
        loaded = _load_data(cursor, table, written)
        if loaded is None:
            loaded = _insert(cursor, table, written)
        # LOCAL turns errors into warnings, and rows that break a key are left out with one.
        cursor.execute("SHOW WARNINGS LIMIT 1")
        warning = cursor.fetchone()
    if loaded != frame.height or warning:
        _, code, reason = warning or ("", _NOT_TAKEN, f"{loaded} of {frame.height} rows were taken")
        raise DataError(code, reason)


def _load_data(cursor: Any, table: str, written: pl.DataFrame) -> int | None:
    """Rows loaded by LOAD DATA; None if the server forbids it."""
    from pymysql.err import MySQLError

    statement = _LOAD.format(table=quoted(table), columns=", ".join(map(quoted, written.columns)))
    with tempfile.TemporaryDirectory(prefix="bentleybot-load-") as folder:
        file = Path(folder, "rows.csv")
        written.write_csv(
            file,
            include_header=False,
            null_value="NULL",
            quote_style="non_numeric",
            datetime_format="%Y-%m-%d %H:%M:%S%.6f",
        )
        try:
            with cursor.connection.offering(file):
                return int(cursor.execute(statement, (str(file),)))
        except MySQLError as error:
            if error.args[0] not in _LOCAL_IS_FORBIDDEN:
                raise
            _logger.warning("%s: rows are inserted in batches, because the server says: %s", table, error.args[-1])
            return None


def _insert(cursor: Any, table: str, written: pl.DataFrame) -> int:
    columns = ", ".join(map(quoted, written.columns))
    places = ", ".join(["%s"] * written.width)
    statement = f"INSERT INTO {quoted(table)} ({columns}) VALUES ({places})"  # noqa: S608 - names are allow-listed
    return sum(int(cursor.executemany(statement, part.rows())) for part in written.iter_slices(_ROWS_AT_ONCE))


def read(server: MySqlServer, query: str, schema: Mapping[str, pl.DataType], *, table: str) -> pl.DataFrame:
    """The rows of ``query`` in columns, with the types of ``schema``.

    Args:
        server: who is asked.
        query: names and values are the caller's to check.
        schema: the columns of the query, in its order.
        table: named in errors.

    Raises:
        MySqlError: the server refuses, or does not answer in time.
    """
    if server.shows_certificate:
        # connectorx has none to show: where a client needs one, rows are read one by one.
        frame = _read_rows(server, query, schema, table)
    else:
        frame = _read_columns(server, query, table)
    return frame.select(_as_declared(name, dtype) for name, dtype in schema.items())


def _as_declared(name: str, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone(dtype.time_zone)
    return pl.col(name).cast(dtype)


def _read_rows(server: MySqlServer, query: str, schema: Mapping[str, pl.DataType], table: str) -> pl.DataFrame:
    """Read through the driver that statements use."""
    connection = server.connect(table=table, read_timeout=LONGEST_SECONDS)
    try:
        with watched(server, connection, table), server.named_errors(table), connection.cursor() as cursor:
            cursor.execute(query)
            rows = cursor.fetchall()
    finally:
        connection.close()
    sent = {name: _AS_SENT.get(dtype.base_type(), dtype) for name, dtype in schema.items()}
    return pl.DataFrame(list(rows), schema=sent, orient="row")


def _read_columns(server: MySqlServer, query: str, table: str) -> pl.DataFrame:
    """Read in a thread that is given up on once the server answers nobody: connectorx itself would wait for ever."""
    import connectorx

    def work() -> Any:
        return connectorx.read_sql(server.connectorx_url(), query, return_type="arrow")

    pool = ThreadPool(1)
    until = time.monotonic() + LONGEST_SECONDS
    answer = pool.apply_async(work)
    try:
        while not answer.ready():
            left = until - time.monotonic()
            if left <= 0:
                raise MySqlError(
                    f"{server.shown}, table {table}: no answer within {LONGEST_SECONDS} s. Check the server and the "
                    "network, then run again: nothing was changed.",
                    2013,
                ) from TimeoutError()
            answer.wait(min(BEAT_SECONDS, left))
            if not answer.ready():
                server.require_answer(table)
        return pl.DataFrame(pl.from_arrow(answer.get()))
    except RuntimeError as error:
        raise server.explained(error, table) from error
    finally:
        # Its thread is a daemon: one that still waits does not keep the process.
        pool.close()


def with_non_finite_aside(contract: type[Contract], frame: pl.DataFrame) -> pl.DataFrame:
    """Replace NaN and infinities by null, and note them in the column ``_non_finite``."""
    names = non_finite_columns(contract)
    if not names:
        return frame
    is_odd = [pl.col(name).is_not_null() & ~pl.col(name).is_finite() for name in names]
    odd = frame.with_row_index("_at").filter(pl.any_horizontal(is_odd)).select("_at", *names)
    notes: list[str | None] = [None] * frame.height
    for row in odd.iter_rows(named=True):
        values = {name: str(row[name]) for name in names if row[name] is not None and not math.isfinite(row[name])}
        notes[row["_at"]] = json.dumps(values, sort_keys=True)
    return frame.with_columns(
        *(pl.when(~odd_here).then(pl.col(name)).alias(name) for name, odd_here in zip(names, is_odd, strict=True)),
        pl.Series(NON_FINITE, notes, dtype=pl.String),
    )


def with_non_finite_back(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Undo :func:`with_non_finite_aside` for the columns asked for."""
    names = [name for name in columns if frame.schema[name] == pl.Float64]
    if not names or frame[NON_FINITE].null_count() == frame.height:
        return frame.select(columns)
    notes = pl.col(NON_FINITE).str.json_decode(pl.Struct(dict.fromkeys(names, pl.String)))
    noted = {name: pl.coalesce(name, notes.struct.field(name).cast(pl.Float64)) for name in names}
    return frame.select(noted.get(name, pl.col(name)) for name in columns)
