"""The in-process runner: what a source delivers reaches the raw log whole, once per STATE, or not at all."""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates
from bentleybot_assets.resources.airbyte import delivery as runner
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.delivery import Deliveries
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.base import MissingTableError
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.connectors.market.yahoo_replay import chart, replay_of
from bentleybot_assets_tests.resources.airbyte import scripted_source
from bentleybot_assets_tests.resources.airbyte.raw_bars import bar

LOG = logging.getLogger("test.runner")
MARKET = "bentleybot_assets.connectors.market.source:MarketSource"
SCRIPTED = f"{scripted_source.__name__}:ScriptedSource"
STREAMS = {"daily_bars": DailyBars, "corporate_actions": CorporateActions}
BARS = {"daily_bars": DailyBars}
SECRET = "hunter2-hunter2"  # noqa: S105 - a made-up one


@pytest.fixture
def warehouse(tmp_path):
    return ParquetWarehouse(tmp_path / "warehouse")


@pytest.fixture
def script(monkeypatch):
    script = {}
    monkeypatch.setattr(scripted_source, "SCRIPT", script)
    return script


@pytest.fixture
def small_deliveries(monkeypatch):
    monkeypatch.setattr(runner, "DELIVERY_RECORDS", 1)


def market(**config):
    return EmbeddedAirbyte(connections={"market": Connection(source=MARKET, config={"mode": "sample"} | config)})


def scripted(api_key=SECRET, source=SCRIPTED):
    return EmbeddedAirbyte(connections={"market": Connection(source=source, config={"api_key": api_key})})


def digest(warehouse):
    """Every file of the warehouse: path and content."""
    files = sorted(path for path in warehouse.root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def log_of(warehouse, contract=DailyBars):
    return warehouse.read(contract).sort(contract.rules().grain)


def deliveries(warehouse):
    return sorted(path.name for path in (warehouse.root / "raw" / "market").glob("[0-9]*"))


# The market connection, end to end.


def test_the_whole_sample_reaches_the_log_with_its_state(warehouse):
    result = market().sync("market", STREAMS, warehouse, LOG)
    assert result.passed
    assert result.deliveries == len(deliveries(warehouse)) == 4
    bars, actions = result.streams["daily_bars"], result.streams["corporate_actions"]
    assert (bars.records, bars.first, bars.last) == (191_507, date(1990, 1, 2), date(2022, 12, 28))
    assert (actions.records, actions.first, actions.last) == (52, date(2000, 5, 8), date(2013, 2, 6))
    assert set(bars.versions) == {
        "bokeh_sampledata/stocks",
        "skfolio/factors_dataset",
        "skfolio/sp500_dataset",
        "skfolio/sp500_index",
    }
    log = warehouse.read(DailyBars)
    assert (log.height, dict(log.schema)) == (191_507, DailyBars.polars_schema())
    assert warehouse.row_count(CorporateActions) == 52
    state = warehouse.connection_state("market")
    assert len(state["daily_bars"]["marks"]) == 29
    assert state["corporate_actions"]["marks"]["IBM"]["ex_date"] == "2013-02-06"


def test_a_sync_with_nothing_new_commits_nothing(warehouse):
    airbyte = market(symbols=["FB", "IBM"])
    airbyte.sync("market", STREAMS, warehouse, LOG)
    before = digest(warehouse)
    result = airbyte.sync("market", STREAMS, warehouse, LOG)
    assert result.passed
    assert (result.deliveries, result.streams["daily_bars"].records) == (0, 0)
    assert digest(warehouse) == before


def test_two_machines_have_the_same_log(tmp_path):
    logs = []
    for name in ("one", "two"):
        warehouse = ParquetWarehouse(tmp_path / name)
        market(symbols=["FB", "IBM"]).sync("market", STREAMS, warehouse, LOG)
        logs.append(list(digest(warehouse).values()))
    assert logs[0] == logs[1]


def test_a_symbol_added_later_joins_with_its_history(warehouse):
    market(symbols=["IBM"]).sync("market", STREAMS, warehouse, LOG)
    result = market(symbols=["FB", "IBM"]).sync("market", STREAMS, warehouse, LOG)
    assert result.streams["daily_bars"].records == 196
    assert log_of(warehouse)["symbol"].value_counts(sort=True).rows() == [("IBM", 3270), ("FB", 196)]


def test_a_sync_broken_off_between_deliveries_goes_on_and_ends_the_same(tmp_path, monkeypatch, small_deliveries):
    airbyte = market(symbols=["FB", "GOOG", "IBM", "MTUM"])
    undisturbed = ParquetWarehouse(tmp_path / "undisturbed")
    total = airbyte.sync("market", STREAMS, undisturbed, LOG).deliveries
    assert total == 5
    for survivors in range(total):
        warehouse = ParquetWarehouse(tmp_path / f"after-{survivors}")
        with monkeypatch.context() as patch:
            patch.setattr(warehouse, "append_delivery", _breaking_off(warehouse, survivors))
            with pytest.raises(KeyboardInterrupt):
                airbyte.sync("market", STREAMS, warehouse, LOG)
        airbyte.sync("market", STREAMS, warehouse, LOG)
        for contract in STREAMS.values():
            assert log_of(warehouse, contract).equals(log_of(undisturbed, contract))
        assert warehouse.connection_state("market") == undisturbed.connection_state("market")


def _breaking_off(warehouse, survivors):
    append, done = warehouse.append_delivery, []

    def append_delivery(*arguments):
        if len(done) == survivors:
            raise KeyboardInterrupt
        done.append(append(*arguments))
        return done[-1]

    return append_delivery


def test_a_selection_of_streams_reads_and_advances_only_those(warehouse):
    airbyte = market(symbols=["IBM"])
    airbyte.sync("market", BARS, warehouse, LOG)
    assert set(warehouse.connection_state("market")) == {"daily_bars"}
    with pytest.raises(MissingTableError):
        warehouse.read(CorporateActions)
    result = airbyte.sync("market", {"corporate_actions": CorporateActions}, warehouse, LOG)
    assert result.streams["corporate_actions"].records == 52
    assert set(warehouse.connection_state("market")) == {"daily_bars", "corporate_actions"}
    assert airbyte.sync("market", STREAMS, warehouse, LOG).deliveries == 0


def test_a_stream_without_records_is_an_empty_table_and_not_a_missing_one(warehouse):
    airbyte = market(symbols=["FB"])
    airbyte.sync("market", STREAMS, warehouse, LOG)
    assert warehouse.read(CorporateActions).equals(CorporateActions.empty_frame())
    assert airbyte.sync("market", STREAMS, warehouse, LOG).deliveries == 0


def test_yahoo_reaches_the_log_through_the_same_runner(warehouse):
    with replay_of({"TEST": chart()}) as replay:
        airbyte = market(mode="yahoo", symbols=["TEST"], base_url=replay.url, start_date="2024-01-01")
        assert airbyte.sync("market", STREAMS, warehouse, LOG).streams["daily_bars"].records == 7
        before = digest(warehouse)
        assert airbyte.sync("market", STREAMS, warehouse, LOG).deliveries == 0
        assert digest(warehouse) == before
        replay.charts.clear()
        result = airbyte.sync("market", STREAMS, warehouse, LOG)
    for name, stream in result.streams.items():
        assert str(stream.failure).startswith(f"market, stream {name}: Yahoo has no daily bars for TEST")
    assert log_of(warehouse)["close"].to_list() == [100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0]


def test_a_pair_that_yahoo_does_not_have_costs_no_bar(warehouse):
    streams = {"fx_rates": FxRates, **STREAMS}
    with replay_of({"TEST": chart()}) as replay:
        airbyte = market(
            mode="yahoo", symbols=["TEST"], fx_pairs=["USDJPY"], base_url=replay.url, start_date="2024-01-01"
        )
        result = airbyte.sync("market", streams, warehouse, LOG)
    said = r"market, stream fx_rates: Yahoo has no daily bars for USDJPY=X .* mend or remove it in `fx_pairs`\."
    assert re.match(said, result.streams["fx_rates"].failure)
    assert [result.streams[name].failure for name in STREAMS] == [None, None]
    assert warehouse.row_count(DailyBars) == 7
    assert warehouse.row_count(FxRates) is None


# Deliveries that must be refused.


def missing_column():
    record = bar(symbol="KO")
    del record["currency"]
    return [record]


REFUSED = {
    "missing column": (missing_column(), ("column_exists", "currency", "symbol=KO", "is missing")),
    "wrong type": ([bar(symbol="KO", close="x")], ("column_type", "close", "symbol=KO", "'x'", "a number")),
    "unknown basis": (
        [bar(symbol="KO", price_basis="guessed")],
        ("isin", "price_basis", "symbol=KO", "guessed"),
    ),
    "null key": ([bar(symbol=None)], ("is not null", "symbol", "symbol=null", "breaks the rule")),
    "conflict": (
        [bar(symbol="KO", close=1.0), bar(symbol="KO", close=2.0)],
        ("one_row_per_key", "close", "symbol=KO", "1.0, 2.0"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_corrupted_delivery_is_refused_whole_and_says_why(case, warehouse, script):
    records, (rule, column, *said) = REFUSED[case]
    script["daily_bars"] = [[bar()]]
    scripted().sync("market", BARS, warehouse, LOG)
    before = digest(warehouse)

    script["daily_bars"] = [[bar()], [bar(symbol="XOM"), *records]]
    result = scripted().sync("market", BARS, warehouse, LOG)

    assert not result.passed
    assert (result.deliveries, result.streams["daily_bars"].records) == (0, 0)
    (fault,) = result.streams["daily_bars"].faults
    assert fault.rule.startswith(rule)
    assert fault.column == column
    for words in ("raw__market__daily_bars", "test/bars", column, *said):
        assert words in fault.message
    assert digest(warehouse) == before

    script["daily_bars"] = [[bar()], [bar(symbol="XOM")]]
    assert scripted().sync("market", BARS, warehouse, LOG).passed
    assert log_of(warehouse)["symbol"].to_list() == ["PEP", "XOM"]


def test_identical_duplicates_are_kept_as_delivered(warehouse, script):
    script["daily_bars"] = [[bar(), bar(), bar(symbol="KO")]]
    assert scripted().sync("market", BARS, warehouse, LOG).passed
    assert warehouse.read(DailyBars)["symbol"].to_list() == ["PEP", "PEP", "KO"]


def test_a_fault_in_one_stream_refuses_the_delivery_of_all(warehouse, script):
    script["daily_bars"] = [[bar()]]
    script["corporate_actions"] = [[{"symbol": "PEP"}]]
    result = scripted().sync("market", STREAMS, warehouse, LOG)
    assert result.streams["daily_bars"].passed
    assert result.streams["daily_bars"].records == 0
    assert not result.streams["corporate_actions"].passed
    assert deliveries(warehouse) == []


def test_deliveries_before_a_refused_one_stay(warehouse, script, small_deliveries):
    script["daily_bars"] = [[bar()], [bar(symbol="KO", close="x")], [bar(symbol="XOM")]]
    result = scripted().sync("market", BARS, warehouse, LOG)
    assert (result.deliveries, result.streams["daily_bars"].records) == (1, 1)
    assert not result.passed
    assert warehouse.connection_state("market") == {"daily_bars": {"batches": 1}}
    assert log_of(warehouse)["symbol"].to_list() == ["PEP"]


def test_the_committed_state_belongs_to_the_committed_records(warehouse, script, small_deliveries):
    script["daily_bars"] = [[bar(session=f"2022-12-0{day}")] for day in (5, 6, 7)]
    scripted().sync("market", BARS, warehouse, LOG)
    folders = sorted((warehouse.root / "raw" / "market").glob("[0-9]*"))
    rows = [pl.read_parquet(folder / "daily_bars.parquet").height for folder in folders]
    states = [(folder / "state.json").read_text().split() for folder in folders]
    assert rows == [1, 1, 1]
    assert [state[state.index('"batches":') + 1] for state in states] == ["1", "2", "3"]


# Sources that fail.


def bars_of(*days, **changes):
    """A batch per day."""
    return [[bar(session=f"2022-12-0{day}", **changes)] for day in days]


def action(**changes):
    told = {name: value for name, value in bar().items() if name not in ("session", "price_basis", "volume")}
    told = {name: value for name, value in told.items() if name in CorporateActions.polars_schema()}
    return told | {"ex_date": "2022-12-05", "action": "dividend", "value": 1.5, "is_withdrawn": False} | changes


def test_a_stream_that_fails_is_named_and_commits_nothing(warehouse, script):
    script["daily_bars"] = [[bar()], RuntimeError("the feed hung up")]
    result = scripted().sync("market", BARS, warehouse, LOG)
    assert re.match(r"market, stream daily_bars: .*the feed hung up", result.streams["daily_bars"].failure)
    assert (result.deliveries, deliveries(warehouse), warehouse.connection_state("market")) == (0, [], {})
    assert warehouse.row_count(DailyBars) is None


@pytest.mark.parametrize("failing", ["daily_bars", "corporate_actions"])
def test_a_stream_that_fails_keeps_no_other_from_being_committed(failing, warehouse, script):
    script["daily_bars"] = bars_of(5, 6)
    script["corporate_actions"] = [[action()], [action(ex_date="2022-12-06")]]
    script[failing][1] = RuntimeError("the feed hung up")
    (other,) = STREAMS.keys() - {failing}
    result = scripted().sync("market", STREAMS, warehouse, LOG)
    assert result.passed
    assert (result.streams[other].failure, result.streams[other].records) == (None, 2)
    assert "the feed hung up" in result.streams[failing].failure
    assert (result.streams[failing].records, result.streams[failing].state) == (0, {})
    assert warehouse.connection_state("market") == {other: {"batches": 2}}
    assert warehouse.row_count(STREAMS[failing]) is None


def test_a_stream_that_failed_goes_on_where_it_was_committed(warehouse, script):
    script["daily_bars"] = bars_of(5)
    script["corporate_actions"] = [[action()]]
    scripted().sync("market", STREAMS, warehouse, LOG)
    script["daily_bars"] = [*bars_of(5, 6), RuntimeError("the feed hung up")]
    script["corporate_actions"] = [[action()], [action(ex_date="2022-12-06")]]
    scripted().sync("market", STREAMS, warehouse, LOG)
    assert warehouse.connection_state("market") == {"daily_bars": {"batches": 1}, "corporate_actions": {"batches": 2}}
    script["daily_bars"] = bars_of(5, 6, 7)
    assert scripted().sync("market", STREAMS, warehouse, LOG).streams["daily_bars"].failure is None
    assert log_of(warehouse)["session"].to_list() == [date(2022, 12, day) for day in (5, 6, 7)]
    assert warehouse.row_count(CorporateActions) == 2


def test_what_was_committed_of_a_stream_before_it_failed_stays(warehouse, script, small_deliveries):
    script["daily_bars"] = [*bars_of(5, 6), RuntimeError("the feed hung up")]
    script["corporate_actions"] = [[action()]]
    result = scripted().sync("market", STREAMS, warehouse, LOG)
    assert (result.streams["daily_bars"].records, result.streams["daily_bars"].state) == (2, {"batches": 2})
    assert warehouse.connection_state("market") == {"daily_bars": {"batches": 2}, "corporate_actions": {"batches": 1}}


def test_an_error_that_is_of_no_stream_fails_the_connection(warehouse, script):
    script["daily_bars"] = bars_of(5)
    with pytest.raises(SyncError, match=r"^market: the disk is full"):
        scripted(source=f"{scripted_source.__name__}:FailingSource").sync("market", BARS, warehouse, LOG)
    assert deliveries(warehouse) == []


def test_a_source_that_stops_at_the_first_stream_that_fails_fails_as_a_whole(warehouse, script):
    script["daily_bars"] = [RuntimeError("the feed hung up")]
    script["corporate_actions"] = [[action()]]
    with pytest.raises(SyncError, match=r"^market: .*daily_bars.*the feed hung up"):
        scripted(source=f"{scripted_source.__name__}:StoppingSource").sync("market", STREAMS, warehouse, LOG)
    assert deliveries(warehouse) == []


def test_no_secret_reaches_the_failure_or_the_log(warehouse, script, caplog):
    script["daily_bars"] = [RuntimeError(f"GET https://feed.example/?key={SECRET} failed")]
    with caplog.at_level(logging.DEBUG):
        failure = scripted().sync("market", BARS, warehouse, LOG).streams["daily_bars"].failure
    assert "GET https://feed.example/?key=**** failed" in failure
    assert "about to fail: GET https://feed.example/?key=**** failed" in caplog.text
    assert SECRET not in failure + caplog.text


def test_a_configuration_that_breaks_the_spec_is_refused_without_showing_a_secret(warehouse, script):
    broken = scripted(api_key="short")
    said = "market: its configuration at api_key breaks the rule minLength: 8. Mend it in bentleybot.yaml."
    with pytest.raises(SyncError, match=f"^{re.escape(said)}$"):
        broken.sync("market", BARS, warehouse, LOG)
    assert broken.check("market") == said


def test_a_source_that_breaks_off_is_an_error(warehouse, script):
    script["daily_bars"] = [[bar()]]
    with pytest.raises(SyncError, match="ended without completing daily_bars"):
        scripted(source=f"{scripted_source.__name__}:BreakingOffSource").sync("market", BARS, warehouse, LOG)
    assert deliveries(warehouse) == []


@pytest.mark.parametrize(
    ("connection", "source", "streams", "message"),
    [
        ("broker", SCRIPTED, BARS, "There is no connection broker. The settings have market"),
        (
            "market",
            "bentleybot_assets.nowhere:Source",
            BARS,
            "source bentleybot_assets.nowhere:Source cannot be loaded",
        ),
        ("market", f"{scripted_source.__name__}:Nobody", BARS, "cannot be loaded"),
        ("market", SCRIPTED, {"quotes": DailyBars}, "market: there is no stream quotes"),
    ],
)
def test_a_mistake_in_the_settings_is_named(connection, source, streams, message, warehouse):
    with pytest.raises(SyncError, match=message):
        scripted(source=source).sync(connection, streams, warehouse, LOG)


@pytest.mark.parametrize(
    ("airbyte", "problem"),
    [
        (market(symbols=["FB"]), None),
        (market(symbols=["NOPE"]), "market: .*no symbol NOPE"),
        (scripted(source="bentleybot_assets.nowhere:Source"), "market: its source .* cannot be loaded"),
    ],
)
def test_a_connection_says_whether_it_could_be_read(airbyte, problem):
    found = airbyte.check("market")
    assert found is None if problem is None else re.search(problem, found)


def test_asking_about_a_connection_that_is_not_there_is_an_error():
    with pytest.raises(SyncError, match=r"There is no connection broker\. The settings have market\."):
        market().check("broker")


def test_a_secret_is_taken_from_its_variable_when_the_source_is_read(warehouse, script, monkeypatch):
    script["daily_bars"] = [[bar()]]
    reading = scripted(api_key={"env": "TEST_API_KEY"})
    with pytest.raises(SyncError, match=r"^market: its configuration at api_key refers to TEST_API_KEY, which neither"):
        reading.sync("market", BARS, warehouse, LOG)
    monkeypatch.setenv("TEST_API_KEY", SECRET)
    assert reading.sync("market", BARS, warehouse, LOG).passed
    assert SECRET not in repr(reading)


# The process it runs in.


def test_building_the_resource_does_not_load_the_cdk():
    program = (
        "import sys; from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte\n"
        f"EmbeddedAirbyte(connections={{'market': Connection({MARKET!r}, {{'mode': 'sample'}})}})\n"
        "print([name for name in ('airbyte_cdk', 'yfinance', 'exchange_calendars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sync_leaves_the_logging_of_the_process_alone(tmp_path):
    program = f"""
import logging, pathlib
logging.basicConfig(format="OURS %(message)s")
handlers = list(logging.getLogger().handlers)
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
airbyte = EmbeddedAirbyte(connections={{"market": Connection({MARKET!r}, {{"mode": "sample", "symbols": ["FB"]}})}})
warehouse = ParquetWarehouse(pathlib.Path({str(tmp_path)!r}))
airbyte.sync("market", {{"daily_bars": DailyBars}}, warehouse, logging.getLogger())
assert logging.getLogger().handlers == handlers
logging.getLogger().warning("still here")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "OURS still here"
    assert '"type":"LOG"' not in done.stdout


def test_a_stream_that_changed_its_fields_fails_before_anything_is_read(warehouse, script, monkeypatch):
    script["daily_bars"] = [[bar()]]
    monkeypatch.setattr(scripted_source, "DECLARED", {"close": {"type": "string"}})
    with pytest.raises(SyncError, match=r"^market, stream daily_bars: its field close is string, not number\. Mend"):
        scripted().sync("market", BARS, warehouse, LOG)
    assert deliveries(warehouse) == []


def test_a_long_sync_says_how_far_it_is(warehouse, monkeypatch, caplog):
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0)
    with caplog.at_level(logging.INFO, logger=LOG.name):
        market(symbols=["FB", "IBM"]).sync("market", BARS, warehouse, LOG)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "market: 196 records of daily_bars so far.",
        "market: 3466 records of daily_bars so far.",
        "market: delivery 1 has 3466 records of daily_bars.",
    ]


def test_a_state_that_gains_a_part_is_committed_without_a_record(warehouse):
    gained = Deliveries("market", BARS, {}, warehouse, LOG)
    gained.finish()
    for parts in ({"FB": {}}, {"FB": {}}, {"FB": {}, "IBM": {}}):
        later = Deliveries("market", BARS, {}, warehouse, LOG)
        later.reach("daily_bars", {"marks": parts})
        later.finish()
    assert warehouse.connection_state("market") == {"daily_bars": {"marks": {"FB": {}, "IBM": {}}}}
    assert len(deliveries(warehouse)) == 3
