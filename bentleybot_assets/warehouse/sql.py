"""DuckDB over a warehouse: one view per table, ``market__daily_bars``, and its quarantine, if there is any.

Parquet files are read by DuckDB itself, the columns and rows that a query needs. Of any other warehouse the tables that
a query names are read first, and whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from bentleybot_assets.contracts._base import contracts
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse

if TYPE_CHECKING:
    import duckdb


def open_sql() -> duckdb.DuckDBPyConnection:
    """A DuckDB that holds nothing yet, and shows instants in UTC wherever it is."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def view_names(warehouse: Warehouse) -> list[str]:
    """What may be queried; of a warehouse that is not in files, every table, published or not."""
    if isinstance(warehouse, ParquetWarehouse):
        return list(warehouse.sql_views())
    return [contract.table_name() for contract in contracts()]


def ask(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, query: str) -> duckdb.DuckDBPyRelation | None:
    """The answer to a query on the tables as they are now; None where it gives no rows.

    Raises:
        MissingTableError: it names a table that was never published.
        duckdb.Error: DuckDB cannot answer it.
    """
    if isinstance(warehouse, ParquetWarehouse):
        # Each time, as the files of earlier versions may be removed any time.
        for name, pattern in warehouse.sql_views().items():
            quoted = pattern.replace("'", "''")
            rows = f"SELECT * FROM read_parquet('{quoted}', union_by_name = true)"  # noqa: S608 - our own file names
            connection.execute(f'CREATE OR REPLACE VIEW "{name}" AS {rows}')
    else:
        tables = _tables(warehouse)
        # Any word that is a table's name: DuckDB's own answer, get_table_names, fails on a join by USING.
        for name in tables.keys() & set(re.findall(r"\w+", query.lower())):
            connection.register(name, tables[name]())
    return connection.sql(query)


def _tables(warehouse: Warehouse) -> dict[str, Callable[[], pl.DataFrame]]:
    """View name to what reads it."""
    tables: dict[str, Callable[[], pl.DataFrame]] = {}
    for contract in contracts():
        tables[contract.table_name()] = partial(warehouse.read, contract)
        tables[f"quarantine__{contract.table_name()}"] = partial(warehouse.read_quarantine, contract)
    return tables
