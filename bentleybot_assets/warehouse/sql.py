"""DuckDB over the embedded warehouse: one view per table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bentleybot_assets.warehouse.parquet import ParquetWarehouse

if TYPE_CHECKING:
    import duckdb


def open_sql(root: Path) -> duckdb.DuckDBPyConnection:
    """A connection with a view for each table in the warehouse at ``root``, for instance ``market__daily_bars``."""
    import duckdb

    connection = duckdb.connect()
    renew_views(connection, root)
    return connection


def renew_views(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Point the views to the versions of the tables that are current now; those of before may be removed any time."""
    for name, pattern in ParquetWarehouse(root).sql_views().items():
        quoted = pattern.replace("'", "''")
        connection.execute(f"CREATE OR REPLACE VIEW \"{name}\" AS SELECT * FROM read_parquet('{quoted}')")  # noqa: S608
