"""Both warehouses, empty, for the tests that hold for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse


@pytest.fixture(params=["parquet", "mysql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty warehouse of each kind."""
    if request.param == "parquet":
        return ParquetWarehouse(tmp_path / "warehouse")
    server: MySqlServer = request.getfixturevalue("mysql_server")
    return MySqlWarehouse(server)
