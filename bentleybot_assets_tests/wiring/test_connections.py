"""A connection's streams as assets: what they declare, and what a sync of some of them says."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.raw.news import Articles
from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource, WarehouseResource
from bentleybot_assets.wiring import published
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.io_manager import WarehouseIOManager
from bentleybot_assets.wiring.published import PublishedTable
from bentleybot_assets_tests.resources.airbyte import scripted_source
from bentleybot_assets_tests.resources.airbyte.raw_bars import bar

STREAMS = (Stream(DailyBars), Stream(CorporateActions))
BARS = dg.AssetKey(["raw", "market", "daily_bars"])
ACTIONS = dg.AssetKey(["raw", "market", "corporate_actions"])


def sync(
    context: dg.AssetExecutionContext, airbyte: dg.ResourceParam[Airbyte], warehouse: WarehouseResource
) -> Iterator[Any]:
    yield from sync_streams(context, "market", STREAMS, airbyte, warehouse)


ASSETS = connection_assets("market", STREAMS)(sync)


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    return ParquetWarehouseResource(folder=str(tmp_path), data_mode="sample")


SAMPLE = Connection(
    source="bentleybot_assets.connectors.market.source:MarketSource", config={"mode": "sample", "symbols": ["FB"]}
)

SCRIPTED = Connection(source=f"{scripted_source.__name__}:ScriptedSource", config={"api_key": "hunter2-hunter2"})


def run(
    warehouse: WarehouseResource,
    *keys: dg.AssetKey,
    connection: Connection | None = SAMPLE,
    downstream: Sequence[dg.AssetsDefinition] = (),
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [ASSETS, *downstream],
        selection=[*keys, *(key for assets in downstream for key in assets.keys)],
        resources={
            "airbyte": EmbeddedAirbyte(connections={"market": connection} if connection else {}),
            "warehouse": warehouse,
            "warehouse_io": WarehouseIOManager(warehouse=warehouse),
        },
        raise_on_error=False,
    )


def materialise(warehouse: WarehouseResource, *keys: dg.AssetKey) -> dict[dg.AssetKey, dict[str, Any]]:
    """Metadata of what was materialised."""
    result = run(warehouse, *keys)
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


def test_a_stream_of_which_there_is_nothing_to_read_is_of_its_connections_mode(warehouse: WarehouseResource) -> None:
    feeds = [{"name": "posts", "kind": "stocktwits", "symbols": ["KO"]}]
    connection = Connection(
        source="bentleybot_assets.connectors.news.source:NewsSource", config={"mode": "feeds", "feeds": feeds}
    )
    articles = Stream(Articles)

    def sync_news(
        context: dg.AssetExecutionContext, airbyte: dg.ResourceParam[Airbyte], warehouse: WarehouseResource
    ) -> Iterator[Any]:
        yield from sync_streams(context, "news", [articles], airbyte, warehouse)

    result = dg.materialize(
        [connection_assets("news", [articles])(sync_news)],
        resources={
            "airbyte": EmbeddedAirbyte(connections={"news": connection}),
            "warehouse": warehouse,
            "warehouse_io": WarehouseIOManager(warehouse=warehouse),
        },
    )
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["data_mode"].value == "feeds"
    assert event.materialization.metadata["state"].value == {}


def test_a_stream_whose_connection_has_no_mode_does_not_borrow_one(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted_source, "SCRIPT", {"daily_bars": [[bar()]]})
    (event,) = run(warehouse, BARS, connection=SCRIPTED).get_asset_materialization_events()
    assert event.materialization.metadata["data_mode"].value == "unknown"


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


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def test_a_sync_shows_its_time_its_deliveries_and_the_state_it_reached(warehouse: WarehouseResource) -> None:
    shown = materialise(warehouse, BARS)[BARS]
    assert shown["sync_seconds"] > 0
    assert shown["deliveries"] == 1
    marks = {"FB": {"session": "2013-03-01", "start_date": "1990-01-01"}}
    assert shown["state"] == {
        "mode": "sample",
        "marks": marks,
        "problems": {},
        "fields": {"FB": []},
        "new_fields": {},
    }


def test_a_state_that_is_long_is_shown_by_its_size(warehouse: WarehouseResource) -> None:
    many = Connection(source=SAMPLE.source, config={"mode": "sample", "symbols": ["FB", "IBM", "KO"]})
    with patch("bentleybot_assets.wiring.connections._LONGEST_STATE", 100):
        (event,) = run(warehouse, BARS, connection=many).get_asset_materialization_events()
    assert event.materialization.metadata["state"].value == {
        "mode": "sample",
        "marks": "3 entries",
        "problems": "0 entries",
        "fields": "3 entries",
        "new_fields": "0 entries",
    }


def test_a_sync_that_reads_all_passes_its_own_checks(warehouse: WarehouseResource) -> None:
    checks = checks_of(run(warehouse, BARS))
    for name in ("contract", "last_sync_succeeded", "schema_has_not_drifted", "nothing_was_left_out"):
        assert checks[name].passed, name


def test_a_symbol_that_cannot_be_read_is_reported_and_the_others_are_there(warehouse: WarehouseResource) -> None:
    connection = Connection(source=SAMPLE.source, config={"mode": "sample", "symbols": ["FB", "TYPO"]})
    result = run(warehouse, BARS, connection=connection)
    assert result.success
    check = checks_of(result)["nothing_was_left_out"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "TYPO: The sample has no symbol TYPO. Take it out of `symbols`" in str(check.description)
    assert warehouse.open().row_count(DailyBars) == 196


def test_a_field_without_a_column_is_reported_and_kept(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted_source, "SCRIPT", {"daily_bars": [[bar(vwap=10.1)]]})
    check = checks_of(run(warehouse, BARS, connection=SCRIPTED))["schema_has_not_drifted"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "new_fields vwap (kept in extra)"
    assert warehouse.open().read(DailyBars)["extra"].to_list() == ['{"vwap": 10.1}']


def test_a_sync_that_fails_says_so_in_a_check_of_each_stream(warehouse: WarehouseResource) -> None:
    broken = Connection(source="nowhere.to_be:Found", config={})
    result = run(warehouse, BARS, ACTIONS, connection=broken)
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert {(check.asset_key, check.check_name) for check in failed} == {
        (BARS, "last_sync_succeeded"),
        (ACTIONS, "last_sync_succeeded"),
    }
    assert all("its source nowhere.to_be:Found cannot be loaded" in str(check.description) for check in failed)


@pytest.fixture
def _no_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are there; corporate actions cannot be read."""
    script = {"daily_bars": [[bar()]], "corporate_actions": [RuntimeError("part PEP: the feed hung up. Sync later.")]}
    monkeypatch.setattr(scripted_source, "SCRIPT", script)


@dg.asset(deps=[BARS])
def of_bars() -> None:
    """Computed from a stream that can be read."""


@dg.asset(deps=[ACTIONS])
def of_actions() -> None:
    """Computed from a stream that cannot."""


def orders_on(key: dg.AssetKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let orders be computed from a table alone."""
    orders = dg.AssetKey(["trading", "orders"])
    tables = {
        key: PublishedTable(key, frozenset(), (), is_by_session=False),
        orders: PublishedTable(orders, frozenset({key}), (), is_by_session=True),
    }
    monkeypatch.setattr(published, "_tables", tables)


def ran(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_node_events if event.is_step_success}


def materialised(result: dg.ExecuteInProcessResult) -> set[dg.AssetKey | None]:
    return {event.asset_key for event in result.get_asset_materialization_events()}


@pytest.mark.usefixtures("_no_actions")
def test_a_stream_that_fails_and_that_no_order_stands_on_fails_alone(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders_on(BARS, monkeypatch)
    result = run(warehouse, BARS, ACTIONS, connection=SCRIPTED, downstream=[of_bars, of_actions])
    assert result.success
    assert materialised(result) == {BARS, *of_bars.keys}
    assert ran(result) == {"market_connection", "of_bars"}
    failed = {
        (check.asset_key, check.check_name): check for check in result.get_asset_check_evaluations() if not check.passed
    }
    assert failed.keys() == {(ACTIONS, "last_sync_succeeded")}
    (check,) = failed.values()
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert "market, stream corporate_actions: " in str(check.description)
    assert "part PEP: the feed hung up. Sync later." in str(check.description)
    assert warehouse.open().row_count(DailyBars) == 1
    assert warehouse.open().row_count(CorporateActions) is None


@pytest.mark.usefixtures("_no_actions")
def test_a_stream_that_fails_and_that_orders_stand_on_fails_the_step_and_the_others_are_there(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders_on(ACTIONS, monkeypatch)
    result = run(warehouse, BARS, ACTIONS, connection=SCRIPTED, downstream=[of_bars, of_actions])
    assert not result.success
    assert materialised(result) == {BARS}
    assert ran(result) == set()
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    said = str(failure.step_failure_data.error.cause.message)
    assert "not read to the end: corporate_actions; materialised: daily_bars. market, stream corporate_actions" in said
    assert "part PEP: the feed hung up. Sync later." in said


@pytest.mark.usefixtures("_no_actions")
def test_a_sync_of_which_nothing_could_be_read_fails(warehouse: WarehouseResource) -> None:
    result = run(warehouse, ACTIONS, connection=SCRIPTED)
    assert not result.success
    assert materialised(result) == set()


def test_the_next_sync_brings_a_stream_that_failed(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: dict[str, Any] = {"daily_bars": [RuntimeError("the feed hung up")], "corporate_actions": []}
    monkeypatch.setattr(scripted_source, "SCRIPT", script)
    assert materialised(run(warehouse, BARS, ACTIONS, connection=SCRIPTED)) == {ACTIONS}
    script["daily_bars"] = [[bar()]]
    result = run(warehouse, BARS, ACTIONS, connection=SCRIPTED)
    assert materialised(result) == {BARS, ACTIONS}
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_a_connection_that_the_settings_leave_out_is_not_read(warehouse: WarehouseResource) -> None:
    result = run(warehouse, BARS, ACTIONS, connection=None)
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert result.get_asset_check_evaluations() == []
