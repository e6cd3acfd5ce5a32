"""What holds of a sync through an Airbyte server holds of each connection of this package, with all of its streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.resources.airbyte.fake_server import FakeAirbyte, Script, serving
from bentleybot_assets_tests.resources.airbyte.server_desk import (
    LOG,
    desk_at,
    digest,
    empty_raw_database,
    log_of,
)


@dataclass(frozen=True)
class Sample:
    """A connection of the desk, reading its sample."""

    name: str
    source: str
    config: Mapping[str, Any]
    contracts: tuple[type[RawContract], ...]

    @property
    def streams(self) -> dict[str, type[RawContract]]:
        return {contract.asset_key()[-1]: contract for contract in self.contracts}


MARKET = {"symbols": ["FB", "IBM"], "start_date": "2009-01-02"}
SAMPLES = (
    Sample("market", "MarketSource", MARKET, (DailyBars, CorporateActions, HourlyBars, FxRates, RiskFreeRates)),
    Sample("portfolio", "PortfolioSource", {}, (Accounts, Balances, Positions, Transactions)),
    Sample("news", "NewsSource", {}, (Articles, SocialPosts)),
)


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.name)
def sample(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(sample, tmp_path_factory):
    """What a desk gets that reads the same source in process: the sync's result, and its log."""
    path = f"bentleybot_assets.connectors.{sample.name}.source:{sample.source}"
    airbyte = EmbeddedAirbyte({sample.name: Connection(path, {"mode": "sample", **sample.config})})
    warehouse = ParquetWarehouse(tmp_path_factory.mktemp("undisturbed"))
    result = airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    return result, log_of(warehouse, sample.streams)


@pytest.fixture
def fake(sample, mariadb, mysql_server):
    empty_raw_database(mariadb)
    with serving(FakeAirbyte(mariadb)) as server:
        server.add_connection(sample.name, {"mode": "sample", **sample.config}, sample.streams)
        yield server


@pytest.fixture
def airbyte(sample, fake, tmp_path):
    desk = desk_at(fake, tmp_path / "airbyte.json")
    desk.refresh([sample.name])
    return desk


@pytest.fixture
def warehouse(tmp_path):
    return ParquetWarehouse(tmp_path / "warehouse")


def assert_same(warehouse, sample, undisturbed, *, has_duplicates=False):
    """Each record is in the log once; or, where it was delivered again, at least once."""
    for name, log in log_of(warehouse, sample.streams).items():
        found = log.unique(maintain_order=True) if has_duplicates else log
        assert found.height > 0, name
        assert found.equals(undisturbed[1][name]), name


def test_a_sync_lands_what_an_embedded_one_does_and_the_next_nothing(airbyte, warehouse, sample, undisturbed):
    result = airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    assert_same(warehouse, sample, undisturbed)
    assert result.streams == undisturbed[0].streams
    before = digest(warehouse)
    assert airbyte.sync(sample.name, sample.streams, warehouse, LOG).deliveries == 0
    assert digest(warehouse) == before


@pytest.mark.parametrize("keeps_state", [True, False])
def test_a_failed_sync_and_then_a_whole_one_are_one_sync(*, keeps_state, fake, airbyte, warehouse, sample, undisturbed):
    """All of it was loaded and only then did the job fail; or every other record was, and the STATE is lost."""
    step = 1 if keeps_state else 2
    fake.script = Script(("queued", "running", "failed"), changed=lambda rows: rows[::step], keeps_state=keeps_state)
    with pytest.raises(SyncError, match=rf"^{sample.name} \(http://\S+\): Airbyte job 1 ended as failed\."):
        airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    assert digest(warehouse) == {}
    fake.script = Script()
    airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    assert_same(warehouse, sample, undisturbed, has_duplicates=not keeps_state)


def test_a_stream_that_was_not_loaded_is_loaded_by_the_next_sync(fake, airbyte, warehouse, sample, undisturbed):
    last = list(sample.streams)[-1]
    fake.script = Script(changed=lambda rows: [row for row in rows if row["stream"] != last], keeps_state=False)
    result = airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    assert [name for name, stream in result.streams.items() if stream.records == 0] == [last]
    fake.script = Script()
    airbyte.sync(sample.name, sample.streams, warehouse, LOG)
    assert_same(warehouse, sample, undisturbed, has_duplicates=True)
