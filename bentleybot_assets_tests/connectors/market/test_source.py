"""The market source speaks the Airbyte protocol: as a program, and as an object."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar

import pytest
from airbyte_cdk.models import FailureType, SyncMode

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets_tests.connectors.market.protocol import LOGGER, error_of, read, records_of, states_of
from bentleybot_assets_tests.connectors.market.yahoo_replay import (
    NEW_YORK,
    chart,
    dividend_on,
    hourly_chart,
    replay_of,
)
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests, scenario_of

__all__ = ["pytest_generate_tests"]

SMALL = {"mode": "sample", "symbols": ["FB", "IBM", "MTUM", "QUAL"]}
CONTRACTS = {
    "daily_bars": DailyBars,
    "corporate_actions": CorporateActions,
    "hourly_bars": HourlyBars,
    "fx_rates": FxRates,
    "risk_free_rates": RiskFreeRates,
}
STREAMS = tuple(CONTRACTS)


def run(tmp_path, *arguments: str, **files: Any) -> list[dict[str, Any]]:
    """Start the source as a program with JSON files as arguments; the messages it printed."""
    command = [sys.executable, "-m", "bentleybot_assets.connectors.market", *arguments]
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
        command += [f"--{name}", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def the(messages: list[dict[str, Any]], kind: str) -> Any:
    (message,) = [message for message in messages if message["type"] == kind]
    return message


def configured(catalog: dict[str, Any]) -> dict[str, Any]:
    return {
        "streams": [
            {"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append"}
            for stream in catalog["streams"]
        ]
    }


def test_as_a_program_it_answers_spec(tmp_path):
    specification = the(run(tmp_path, "spec"), "SPEC")["spec"]["connectionSpecification"]
    assert specification["required"] == ["mode"]
    assert set(specification["properties"]) == {
        "mode",
        "symbols",
        "hourly_symbols",
        "fx_pairs",
        "risk_free_series",
        "start_date",
        "lookback_sessions",
        "base_url",
    }


def test_as_a_program_it_checks_a_configuration(tmp_path):
    good = the(run(tmp_path, "check", config={"mode": "sample"}), "CONNECTION_STATUS")["connectionStatus"]
    assert good["status"] == "SUCCEEDED"
    bad = the(run(tmp_path, "check", config={"mode": "sample", "symbols": ["NOPE"]}), "CONNECTION_STATUS")
    assert bad["connectionStatus"]["status"] == "FAILED"
    assert "no symbol NOPE" in bad["connectionStatus"]["message"]


def test_as_a_program_it_writes_nothing_but_messages_while_it_waits(tmp_path, monkeypatch, capsys, waits, hooks):
    with replay_of({"TEST": chart()}) as replay:
        replay.refusals["TEST"] = [(503, {})]
        config = {"mode": "yahoo", "symbols": ["TEST"], "base_url": replay.url}
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the cdk replaces
        monkeypatch.setattr(sys, "argv", ["market", "check", "--config", str(tmp_path / "config")])
        runpy.run_module("bentleybot_assets.connectors.market", run_name="__main__")
    assert len(waits) == 1
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {message["type"] for message in messages} >= {"CONNECTION_STATUS"}


def test_as_a_program_it_discovers_and_reads_and_goes_on_from_its_state(tmp_path):
    config = {"mode": "sample", "symbols": ["FB"], "start_date": "2013-02-01"}
    catalog = the(run(tmp_path, "discover", config=config), "CATALOG")["catalog"]
    assert [stream["name"] for stream in catalog["streams"]] == list(STREAMS)
    bars, actions, hours, rates, bills = catalog["streams"]
    cursors = [stream["default_cursor_field"] for stream in (hours, rates, bills)]
    assert cursors == [["bar_at"], ["rate_date"], ["rate_date"]]
    assert list(bars["json_schema"]["properties"]) == list(DailyBars.polars_schema())
    assert bars["source_defined_cursor"] is True
    assert (bars["default_cursor_field"], actions["default_cursor_field"]) == (["session"], ["ex_date"])
    assert bars["source_defined_primary_key"] == [["symbol"], ["session"], ["fetched_at"]]
    assert "incremental" in bars["supported_sync_modes"]

    first = run(tmp_path, "read", config=config, catalog=configured(catalog))
    records = [message["record"] for message in first if message["type"] == "RECORD"]
    sessions = [record["data"]["session"] for record in records if record["stream"] == "daily_bars"]
    assert (sessions[0], sessions[-1], len(sessions)) == ("2013-02-01", "2013-03-01", 20)

    states = [message["state"] for message in first if message["type"] == "STATE"]
    second = run(tmp_path, "read", config=config, catalog=configured(catalog), state=states)
    assert not [message for message in second if message["type"] == "RECORD"]


def test_two_reads_agree():
    once, again = (read(SMALL, streams=STREAMS) for _ in range(2))
    for stream in STREAMS:
        assert records_of(once, stream) == records_of(again, stream) != []


@pytest.mark.parametrize("stream", STREAMS)
def test_going_on_from_any_state_loses_and_repeats_nothing(stream):
    messages = read(SMALL, streams=(stream,))
    everything = records_of(messages, stream)
    positions = [position for position, message in enumerate(messages) if message.state is not None]
    assert len(positions) == (4 if stream in {"daily_bars", "corporate_actions"} else 1)
    for position in positions:
        before = records_of(messages[:position], stream)
        after = records_of(read(SMALL, [messages[position].state], streams=(stream,)), stream)
        assert before + after == everything


def test_an_abnormal_future_state_yields_no_record_and_no_crash():
    states = states_of(read(SMALL, streams=STREAMS))
    for state in states:
        for mark in state.stream.stream_state.marks.values():
            mark.update(dict.fromkeys(mark.keys() - {"start_date"}, "2999-12-31T00:00:00Z"))
    messages = read(SMALL, states, streams=STREAMS)
    assert error_of(messages) is None
    assert not [message for message in messages if message.record is not None]


def test_a_state_message_does_not_change_after_it_was_sent():
    first = next(message for message in read(SMALL) if message.state is not None)
    assert list(first.state.stream.stream_state.marks) == ["FB"]


def test_the_full_sample_sends_a_state_at_least_every_20000_records_and_at_the_end():
    since = 0
    for message in read({"mode": "sample"}):
        since = 0 if message.state is not None else since + (message.record is not None)
        assert since <= 20_000
    assert since == 0


def test_a_symbol_added_later_gets_its_whole_history():
    before = read({"mode": "sample", "symbols": ["IBM"]})
    after = read({"mode": "sample", "symbols": ["FB", "IBM"]}, states_of(before))
    assert {bar["symbol"] for bar in records_of(after, "daily_bars")} == {"FB"}
    assert len(records_of(after, "daily_bars")) == 196


def test_an_earlier_start_date_reads_the_history_again():
    late = read({"mode": "sample", "symbols": ["FB"], "start_date": "2013-02-01"})
    early = read({"mode": "sample", "symbols": ["FB"]}, states_of(late))
    assert len(records_of(early, "daily_bars")) == 196
    again = read({"mode": "sample", "symbols": ["FB"], "start_date": "2013-02-01"}, states_of(early))
    assert records_of(again, "daily_bars") == []


def test_a_full_refresh_reads_everything_whatever_the_state():
    first = read(SMALL)
    again = read(SMALL, states_of(first), sync_mode=SyncMode.full_refresh)
    assert records_of(again, "daily_bars") == records_of(first, "daily_bars")


def test_sample_data_never_goes_on_as_market_data():
    states = states_of(read({"mode": "sample", "symbols": ["FB"]}))
    for state in states:
        state.stream.stream_state.mode = "yahoo"
    error = error_of(read({"mode": "sample", "symbols": ["FB"]}, states))
    assert error.failure_type is FailureType.config_error
    assert "read in mode yahoo, the configuration says sample" in error.message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": "yahoo"}, "needs symbols"),
        ({"mode": "yahho", "symbols": ["KO"]}, "`mode` is 'yahho'. Set it to sample or yahoo"),
        ({"symbols": ["KO"]}, "`mode` is None. Set it to sample or yahoo"),
        ({"mode": "sample", "start_date": "1989-12-29"}, "1989-12-29.*known from 1990-01-01 on"),
        ({"mode": "sample", "symbols": ["NOPE"]}, "no symbol NOPE"),
    ],
)
def test_check_says_what_to_mend(config, message):
    status = MarketSource().check(LOGGER, config)
    assert status.status.value == "FAILED"
    assert re.search(message, status.message)


def test_records_have_exactly_the_columns_of_their_contract():
    messages = read(SMALL, streams=STREAMS)
    for stream, contract in CONTRACTS.items():
        columns = {frozenset(record) for record in records_of(messages, stream)}
        assert columns == {frozenset(contract.polars_schema())}


def test_a_part_of_a_newer_stream_that_is_not_recorded_fails_no_other_part():
    messages = read(SMALL | {"fx_pairs": ["EURUSD", "GBPUSD"]}, streams=("fx_rates",))
    assert error_of(messages) is None
    assert len(records_of(messages, "fx_rates")) == 251
    (state,) = states_of(messages)
    assert "no GBPUSD. Take it out of `fx_pairs`" in state.stream.stream_state.problems["GBPUSD"]


class TestStandards(Standards):
    """Sample mode."""

    connector = MarketSource
    scenarios: ClassVar = {
        "small": ({"mode": "sample", "symbols": ["FB", "IBM"], "start_date": "2009-07-01"}, True),
        "unknown_symbol": ({"mode": "sample", "symbols": ["NOPE"]}, False),
    }


class OfYahoo(Standards):
    """Yahoo mode; the scenario names a server that runs only while its test does."""

    @staticmethod
    def connector() -> MarketSource:
        return MarketSource(clock=lambda: datetime(2024, 1, 22, tzinfo=UTC))


def test_yahoo_mode_passes_against_the_replay():
    dividend = dividend_on(date(2024, 1, 18), 0.24)
    charts = {
        "TEST": chart(events=dividend),
        "EURUSD=X": chart(zone="Europe/London", opens=time(0), instrument="CURRENCY"),
        "^IRX": chart(zone="America/Chicago", instrument="INDEX"),
    }
    with replay_of(charts) as replay:
        replay.hourly["TEST"] = hourly_chart(
            [datetime(2024, 1, 19, 9, 30, tzinfo=NEW_YORK)],
            [(datetime(2024, 1, 19, 9, 30, tzinfo=NEW_YORK), datetime(2024, 1, 19, 16, tzinfo=NEW_YORK))],
        )
        config = {
            "mode": "yahoo",
            "symbols": ["TEST"],
            "hourly_symbols": ["TEST"],
            "fx_pairs": ["EURUSD"],
            "risk_free_series": ["us_bill_13_weeks_discount"],
            "start_date": "2024-01-01",
            "base_url": replay.url,
        }
        scenario = scenario_of("replay", config)
        suite = OfYahoo()
        suite.test_config_matches_spec(scenario)
        suite.test_check(scenario)
        suite.test_discover(scenario)
        suite.test_basic_read(scenario)
        suite.test_fail_read_with_bad_catalog(scenario)
