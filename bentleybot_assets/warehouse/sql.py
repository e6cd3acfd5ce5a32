"""DuckDB over the embedded warehouse: one view per table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bentleybot_assets.warehouse.parquet import ParquetWarehouse

if TYPE_CHECKING:
    import duckdb


def open_sql(root: Path) -> duckdb.DuckDBPyConnection:
    """A connection with a view for each table in the warehouse at ``root``, for instance ``market__daily_bars``.

    Views show the versions of the tables that were current when the connection was opened.
    """
    import duckdb

    connection = duckdb.connect()
    for name, pattern in ParquetWarehouse(root).sql_views().items():
        quoted = pattern.replace("'", "''")
        connection.execute(f"CREATE VIEW \"{name}\" AS SELECT * FROM read_parquet('{quoted}')")  # noqa: S608
    return connection
