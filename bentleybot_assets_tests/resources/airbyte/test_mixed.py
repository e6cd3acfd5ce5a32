"""Connections of a server and connections of this process make one desk."""

from __future__ import annotations

import pytest

from bentleybot_assets.connectors.portfolio.sample import NAMES
from bentleybot_assets.contracts.raw.portfolio import Accounts
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.airbyte.mixed import MixedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.resources.airbyte.server_desk import (
    LOG,
    STREAMS,
    desk_at,
)

PORTFOLIO = "bentleybot_assets.connectors.portfolio.source:PortfolioSource"


@pytest.fixture
def airbyte(fake, tmp_path):
    server = desk_at(fake, tmp_path / "airbyte.json")
    server.refresh(["market"])
    return MixedAirbyte(server, EmbeddedAirbyte({"portfolio": Connection(PORTFOLIO, {"mode": "sample"})}))


def test_each_connection_is_read_where_it_belongs(fake, airbyte, tmp_path):
    warehouse = ParquetWarehouse(tmp_path / "warehouse")
    asked = len(fake.requests)
    assert airbyte.check("portfolio") is None
    read = airbyte.sync("portfolio", {"accounts": Accounts}, warehouse, LOG)
    assert read.streams["accounts"].records >= len(NAMES)
    assert len(fake.requests) == asked
    assert airbyte.check("market") is None
    assert airbyte.sync("market", STREAMS, warehouse, LOG).more["airbyte_job"] == 1


def test_a_connection_of_neither_is_not_there(airbyte):
    assert [airbyte.has(name) for name in ("market", "portfolio", "broker")] == [True, True, False]
