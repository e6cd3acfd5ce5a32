"""A connection's streams as assets: what they declare, and what a sync of some of them says."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource, WarehouseResource
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.io_manager import WarehouseIOManager

STREAMS = (Stream(DailyBars), Stream(CorporateActions))
BARS = dg.AssetKey(["raw", "market", "daily_bars"])
ACTIONS = dg.AssetKey(["raw", "market", "corporate_actions"])


def sync(context: dg.AssetExecutionContext, airbyte: EmbeddedAirbyte, warehouse: WarehouseResource) -> Iterator[Any]:
    yield from sync_streams(context, "market", STREAMS, airbyte, warehouse)


ASSETS = connection_assets("market", STREAMS)(sync)


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    return ParquetWarehouseResource(folder=str(tmp_path), data_mode="sample")


def materialise(warehouse: WarehouseResource, *keys: dg.AssetKey) -> dict[dg.AssetKey, dict[str, Any]]:
    """Metadata of what was materialised."""
    source = "bentleybot_assets.connectors.market.source:MarketSource"
    connection = Connection(source=source, config={"mode": "sample", "symbols": ["FB"]})
    result = dg.materialize(
        [ASSETS],
        selection=list(keys),
        resources={
            "airbyte": EmbeddedAirbyte(connections={"market": connection}),
            "warehouse": warehouse,
            "warehouse_io": WarehouseIOManager(warehouse=warehouse),
        },
    )
    return {
        event.asset_key: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def test_only_the_streams_that_a_run_asks_for_are_synced(warehouse: WarehouseResource) -> None:
    assert set(materialise(warehouse, BARS)) == {BARS}
    assert warehouse.open().row_count(CorporateActions) is None
    assert set(materialise(warehouse, ACTIONS, BARS)) == {ACTIONS, BARS}


def test_a_log_shows_what_came_last_and_where_it_came_from(warehouse: WarehouseResource) -> None:
    shown = materialise(warehouse, BARS)[BARS]
    assert (shown["dagster/row_count"], shown["records_synced"]) == (196, 196)
    assert (shown["first_cursor"], shown["last_cursor"]) == ("2012-05-18", "2013-03-01")
    assert shown["data_mode"] == "sample"
    rows = [line for line in shown["preview"].splitlines() if line.startswith("| FB")]
    assert len(rows) == 8
    assert "2013-03-01" in rows[-1]


def test_a_log_says_how_to_query_it_and_where_it_lies(warehouse: WarehouseResource) -> None:
    shown = materialise(warehouse, BARS)[BARS]
    assert shown["sql"] == '`bentleybot sql "SELECT * FROM raw__market__daily_bars LIMIT 10"`'
    folder = Path(shown["location"])
    assert len(list(folder.glob("*/daily_bars.parquet"))) == 1


def test_a_stream_refers_to_the_function_that_syncs_it() -> None:
    for key in (BARS, ACTIONS):
        metadata = ASSETS.metadata_by_key[key]
        (reference,) = metadata["dagster/code_references"].code_references
        assert (reference.file_path, reference.label) == (__file__, "sync")
        assert reference.line_number == inspect.getsourcelines(sync)[1]
        assert metadata["dagster/table_name"] == "__".join(key.path)
