"""Yahoo mode delivers what Yahoo's chart says: bars, splits, dividends and restatements, closed sessions only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from types import SimpleNamespace
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessage, FailureType, SyncMode
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets_tests.connectors.market.protocol import LOGGER, error_of, read, records_of, states_of
from bentleybot_assets_tests.connectors.market.yahoo_replay import (
    DAYS,
    NEW_YORK,
    RECORDINGS,
    Replay,
    chart,
    dividend_on,
    recorded_chart,
    replay_of,
    split_on,
    stamp,
)

PRICES = ("open", "high", "low", "close", "volume")
AFTER_THE_CLOSE = datetime(2024, 1, 19, 18, 0, tzinfo=NEW_YORK)


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """Seconds that would have been slept before Yahoo is asked again."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def replay():
    with replay_of({"TEST": chart()}) as server:
        yield server


def config_of(replay: Replay, *symbols: str, **changes: Any) -> dict[str, Any]:
    config = {"mode": "yahoo", "symbols": list(symbols or ("TEST",)), "base_url": replay.url}
    return config | {"start_date": "2024-01-01"} | changes


def read_at(
    now: datetime,
    config: Mapping[str, Any],
    state: list[AirbyteStateMessage] | None = None,
    streams: tuple[str, ...] = ("daily_bars", "corporate_actions"),
) -> list[AirbyteMessage]:
    return read(config, state, source=MarketSource(clock=lambda: now), streams=streams)


def sessions(messages: list[AirbyteMessage]) -> list[str]:
    return [bar["session"] for bar in records_of(messages, "daily_bars")]


def test_a_chart_becomes_its_bars(replay):
    messages = read_at(AFTER_THE_CLOSE, config_of(replay))
    first = records_of(messages, "daily_bars")[0]
    assert sessions(messages) == [day.isoformat() for day in DAYS]
    assert first == {
        "symbol": "TEST",
        "session": "2024-01-10",
        "open": 99.5,
        "high": 101.0,
        "low": 99.0,
        "close": 100.0,
        "adjusted_close": 100.0,
        "volume": 1000.0,
        "price_basis": "split_adjusted",
        "currency": "USD",
        "event_at": "2024-01-10T21:00:00Z",
        "available_at": "2024-01-10T21:15:00Z",
        "is_modelled": True,
        "fetched_at": "2024-01-19T23:00:00Z",
        "source": "yahoo/chart",
        "source_version": first["source_version"],
        "extra": None,
    }
    assert first["source_version"].startswith("yfinance 1.")


def test_splits_and_dividends_become_actions(replay):
    events = split_on(DAYS[2], 4) | dividend_on(DAYS[5], 0.24)
    replay.charts["TEST"] = chart(events=events)
    split, dividend = records_of(read_at(AFTER_THE_CLOSE, config_of(replay)), "corporate_actions")
    assert (split["ex_date"], split["action"], split["value"]) == ("2024-01-12", "split", 4.0)
    assert (dividend["ex_date"], dividend["action"], dividend["value"]) == ("2024-01-18", "dividend", 0.24)
    assert (split["event_at"], split["available_at"]) == ("2024-01-12T14:30:00Z", "2024-01-12T21:15:00Z")


def test_a_bar_fetched_on_its_own_day_was_first_seen_then(replay):
    bars = records_of(read_at(AFTER_THE_CLOSE, config_of(replay)), "daily_bars")
    assert [(bar["is_modelled"], bar["available_at"]) for bar in bars[-2:]] == [
        (True, "2024-01-18T21:15:00Z"),
        (False, "2024-01-19T23:00:00Z"),
    ]


@pytest.mark.parametrize("clock", [time(9, 45), time(15, 59), time(16, 14)])
def test_the_live_bar_is_never_read(replay, clock):
    now = datetime.combine(DAYS[-1], clock, tzinfo=NEW_YORK)
    assert sessions(read_at(now, config_of(replay)))[-1] == "2024-01-18"


def test_reading_again_brings_nothing_if_nothing_changed(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    again = read_at(AFTER_THE_CLOSE, config_of(replay), states_of(first))
    assert records_of(again, "daily_bars") == records_of(again, "corporate_actions") == []
    assert [state.stream.stream_state for state in states_of(again)] == [
        state.stream.stream_state for state in states_of(first)
    ]


def test_only_the_look_back_is_asked_for_again(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=3))
    replay.queries.clear()
    read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=3), states_of(first))
    starts = {query["period1"] for _, query in replay.queries if "period1" in query}
    midnight = datetime.combine(DAYS[-3], time(0), tzinfo=NEW_YORK)
    assert starts == {str(int(midnight.timestamp()))}


def test_a_new_session_brings_only_its_bar(replay):
    first = read_at(datetime(2024, 1, 18, 18, 0, tzinfo=NEW_YORK), config_of(replay))
    assert sessions(first)[-1] == "2024-01-18"
    assert sessions(read_at(AFTER_THE_CLOSE, config_of(replay), states_of(first))) == ["2024-01-19"]


def test_yahoos_rounding_noise_is_not_news(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    replay.charts["TEST"] = chart(factor=1.0000001)
    assert sessions(read_at(AFTER_THE_CLOSE, config_of(replay), states_of(first))) == []


def test_a_corrected_bar_arrives_as_a_newer_version(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    replay.charts["TEST"]["indicators"]["quote"][0]["volume"][-2] = 6100
    later = datetime(2024, 1, 20, 9, 0, tzinfo=NEW_YORK)
    (bar,) = records_of(read_at(later, config_of(replay), states_of(first)), "daily_bars")
    assert (bar["session"], bar["volume"], bar["fetched_at"]) == ("2024-01-18", 6100.0, "2024-01-20T14:00:00Z")
    assert (bar["available_at"], bar["is_modelled"]) == ("2024-01-20T14:00:00Z", False)


def known_late(messages: list[AirbyteMessage]) -> dict[str, str]:
    """Session to knowledge time of the bars that were not modelled."""
    bars = records_of(messages, "daily_bars")
    return {bar["session"]: bar["available_at"] for bar in bars if not bar["is_modelled"]}


def test_a_bar_that_comes_only_after_later_ones_was_not_known_at_its_session(replay):
    replay.charts["TEST"] = chart([*DAYS[:-2], DAYS[-1]])
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    replay.charts["TEST"] = chart()
    for name in ("open", "high", "low", "close"):
        replay.charts["TEST"]["indicators"]["quote"][0][name][-1] -= 1
    replay.charts["TEST"]["indicators"]["adjclose"][0]["adjclose"][-1] -= 1
    replay.charts["TEST"]["indicators"]["quote"][0]["volume"][-1] = 6000
    later = datetime(2024, 1, 22, 9, 0, tzinfo=NEW_YORK)
    second = read_at(later, config_of(replay), states_of(first))
    assert sessions(second) == ["2024-01-18"]
    assert known_late(second) == {"2024-01-18": "2024-01-22T14:00:00Z"}


def test_a_session_read_days_later_for_the_first_time_follows_the_publication_rule(replay):
    first = read_at(datetime(2024, 1, 17, 18, 0, tzinfo=NEW_YORK), config_of(replay))
    late = read_at(datetime(2024, 1, 22, 9, 0, tzinfo=NEW_YORK), config_of(replay), states_of(first))
    bars = records_of(late, "daily_bars")
    assert [(bar["session"], bar["available_at"], bar["is_modelled"]) for bar in bars] == [
        ("2024-01-18", "2024-01-18T21:15:00Z", True),
        ("2024-01-19", "2024-01-19T21:15:00Z", True),
    ]


def split_chart() -> dict[str, Any]:
    """The chart after a split of 2 for 1 on its last day: all prices halved, all volumes doubled."""
    moved = chart(events=split_on(DAYS[-1], 2))
    quote, adjusted = moved["indicators"]["quote"][0], moved["indicators"]["adjclose"][0]
    for values in (*(quote[name] for name in ("open", "high", "low", "close")), adjusted["adjclose"]):
        values[:] = [value / 2 for value in values]
    quote["volume"] = [2 * shares for shares in quote["volume"]]
    return moved


@pytest.mark.parametrize(
    "after",
    [split_chart, lambda: chart(dividend_factor=0.99, events=dividend_on(DAYS[-1], 1.0))],
    ids=["split", "dividend"],
)
def test_values_of_a_day_that_was_read_before_were_first_seen_when_they_were_fetched(replay, after):
    replay.charts["TEST"] = chart(DAYS[:-1])
    first = read_at(datetime(2024, 1, 18, 18, 0, tzinfo=NEW_YORK), config_of(replay, lookback_sessions=4))
    assert set(known_late(first)) == {"2024-01-18"}
    replay.charts["TEST"] = after()
    second = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=4), states_of(first))
    assert known_late(second) == dict.fromkeys((day.isoformat() for day in DAYS), "2024-01-19T23:00:00Z")


def actions_of(messages: list[AirbyteMessage]) -> list[tuple[object, ...]]:
    """(ex_date, action, value, is_withdrawn) of the actions sent."""
    return [
        (action["ex_date"], action["action"], action["value"], action["is_withdrawn"])
        for action in records_of(messages, "corporate_actions")
    ]


def test_an_action_that_moves_to_another_day_is_withdrawn_where_it_was(replay):
    replay.charts["TEST"] = chart(dividend_factor=0.99, events=dividend_on(DAYS[-2], 1.0))
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    assert actions_of(first) == [("2024-01-18", "dividend", 1.0, False)]
    replay.charts["TEST"] = chart(dividend_factor=0.99, events=dividend_on(DAYS[-1], 1.0))
    second = read_at(datetime(2024, 1, 22, 9, 0, tzinfo=NEW_YORK), config_of(replay), states_of(first))
    assert actions_of(second) == [
        ("2024-01-18", "dividend", 1.0, True),
        ("2024-01-19", "dividend", 1.0, False),
    ]
    third = read_at(datetime(2024, 1, 22, 9, 0, tzinfo=NEW_YORK), config_of(replay), states_of(second))
    assert actions_of(third) == []


def test_an_action_outside_the_look_back_is_not_taken_for_withdrawn(replay):
    replay.charts["TEST"] = chart(events=dividend_on(DAYS[1], 1.0))
    first = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2))
    second = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2), states_of(first))
    assert actions_of(second) == []
    assert states_of(second)[-1].stream.stream_state == states_of(first)[-1].stream.stream_state


def test_an_action_told_after_its_day_was_read_was_not_known_on_it(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay))
    replay.charts["TEST"] = chart(dividend_factor=0.99, events=dividend_on(DAYS[-2], 1.0))
    second = read_at(datetime(2024, 1, 22, 9, 0, tzinfo=NEW_YORK), config_of(replay), states_of(first))
    (dividend,) = records_of(second, "corporate_actions")
    assert (dividend["ex_date"], dividend["available_at"]) == ("2024-01-18", "2024-01-22T14:00:00Z")
    assert not dividend["is_modelled"]


def test_a_split_sends_the_whole_history_on_the_new_basis(replay):
    replay.charts["TEST"] = chart(DAYS[:-1])
    first = read_at(datetime(2024, 1, 18, 18, 0, tzinfo=NEW_YORK), config_of(replay, lookback_sessions=2))
    replay.charts["TEST"] = chart(factor=2.0, events=split_on(DAYS[-1], 2))
    second = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2), states_of(first))
    assert [(bar["session"], bar["close"]) for bar in records_of(second, "daily_bars")] == [
        (day.isoformat(), (100 + position) / 2) for position, day in enumerate(DAYS)
    ]
    assert [action["value"] for action in records_of(second, "corporate_actions")] == [2.0]
    third = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2), states_of(second))
    assert sessions(third) == []


def test_a_dividend_sends_the_history_again_because_it_moves_every_adjusted_close(replay):
    replay.charts["TEST"] = chart(DAYS[:-1])
    first = read_at(datetime(2024, 1, 18, 18, 0, tzinfo=NEW_YORK), config_of(replay, lookback_sessions=2))
    replay.charts["TEST"] = chart(dividend_factor=0.99, events=dividend_on(DAYS[-1], 1.0))
    second = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2), states_of(first))
    assert len(sessions(second)) == len(DAYS)


def test_prices_yahoo_left_out_are_null_and_the_bar_stays(replay):
    for values in replay.charts["TEST"]["indicators"]["quote"][0].values():
        values[1] = None
    replay.charts["TEST"]["indicators"]["adjclose"][0]["adjclose"][1] = None
    bar = records_of(read_at(AFTER_THE_CLOSE, config_of(replay)), "daily_bars")[1]
    assert bar["session"] == "2024-01-11"
    assert {bar[name] for name in (*PRICES, "adjusted_close")} == {None}


def test_a_symbol_yahoo_does_not_know_is_reported_and_fails_no_other(replay):
    messages = read_at(AFTER_THE_CLOSE, config_of(replay, "NOPE", "TEST"))
    assert error_of(messages) is None
    assert sessions(messages) == [day.isoformat() for day in DAYS]
    for state in states_of(messages):
        said = state.stream.stream_state.problems
        assert list(said) == ["NOPE"]
        assert said["NOPE"].startswith("Yahoo has no daily bars for NOPE since 2024-01-01 (HTTP 404)")
        assert "mend or remove it in `symbols`" in said["NOPE"]
        assert list(state.stream.stream_state.marks) == ["TEST"]


def test_a_symbol_that_is_mended_is_not_reported_any_more(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay, "NOPE", "TEST"))
    replay.charts["NOPE"] = chart()
    second = read_at(AFTER_THE_CLOSE, config_of(replay, "NOPE", "TEST"), states_of(first))
    assert {bar["symbol"] for bar in records_of(second, "daily_bars")} == {"NOPE"}
    assert [state.stream.stream_state.problems for state in states_of(second)] == [{}, {}]


def test_if_no_symbol_is_known_the_read_fails_and_names_one(replay):
    error = error_of(read_at(AFTER_THE_CLOSE, config_of(replay, "NOPE")))
    assert error.failure_type is FailureType.config_error
    assert error.message.startswith("Yahoo has no daily bars for NOPE since 2024-01-01")


def test_a_symbol_without_bars_in_the_period_is_an_error(replay):
    error = error_of(read_at(datetime(2024, 3, 1, 18, 0, tzinfo=UTC), config_of(replay, start_date="2024-02-01")))
    assert error.failure_type is FailureType.config_error
    assert "no daily bars for TEST since 2024-02-01" in error.message


def test_a_start_date_in_the_future_is_an_error(replay):
    error = error_of(read_at(AFTER_THE_CLOSE, config_of(replay, start_date="2024-01-22")))
    assert "`start_date` is 2024-01-22, but it is 2024-01-19T23:00:00Z" in error.message


def test_an_instrument_of_another_calendar_is_refused(replay):
    replay.charts["TEST"] = chart(zone="Asia/Tokyo")
    error = error_of(read_at(AFTER_THE_CLOSE, config_of(replay)))
    assert error.failure_type is FailureType.config_error
    assert "TEST trades in Asia/Tokyo" in error.message


@pytest.mark.parametrize(("status", "said"), [(429, "limits the rate"), (503, "answers with HTTP 503")])
def test_a_server_in_trouble_is_a_passing_error(replay, status, said):
    replay.status = status
    error = error_of(read_at(AFTER_THE_CLOSE, config_of(replay)))
    assert error.failure_type is FailureType.transient_error
    assert said in error.message


def test_trouble_that_passes_is_not_noticed(replay):
    replay.refusals["TEST"] = [(503, {}), (429, {"Retry-After": "30"}), (500, {})]
    assert sessions(read_at(AFTER_THE_CLOSE, config_of(replay))) == [day.isoformat() for day in DAYS]


def test_the_wait_that_yahoo_asks_for_is_kept_and_nothing_is_asked_meanwhile(replay, waits):
    replay.charts["BUSY"] = chart()
    replay.refusals["BUSY"] = [(429, {"Retry-After": "30"})]
    read_at(AFTER_THE_CLOSE, config_of(replay, "BUSY"))
    (wait,) = waits
    assert 30 <= wait < 31
    assert len(replay.queries) == 3  # refused; the time zone; the chart


def test_one_symbol_that_yahoo_fails_on_fails_no_other(replay):
    replay.charts["AAA"] = replay.charts["ZZZ"] = chart()
    replay.refusals["TEST"] = [(500, {})] * 100
    messages = read_at(AFTER_THE_CLOSE, config_of(replay, "AAA", "TEST", "ZZZ"))
    assert error_of(messages) is None
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"AAA", "ZZZ"}
    assert "answers with HTTP 500" in states_of(messages)[0].stream.stream_state.problems["TEST"]


def test_after_three_symbols_in_a_row_that_fail_yahoo_is_asked_nothing_more(replay):
    names = ["A", "B", "C", "D"]
    replay.charts = {name: chart() for name in names}
    replay.status = 503
    source = MarketSource(clock=lambda: AFTER_THE_CLOSE)
    daily_bars, corporate_actions, *_ = source.streams(config_of(replay, *names))
    for stream in (daily_bars, corporate_actions):
        records = (
            record
            for part in stream.stream_slices()
            for record in stream.read_records(SyncMode.incremental, stream_slice=part)
        )
        with pytest.raises(AirbyteTracedException, match="Yahoo is asked nothing more in this read"):
            list(records)
    assert [symbol for symbol, _ in replay.queries] == ["A"] * 4 + ["B"] * 4 + ["C"] * 4


def test_an_answer_of_another_shape_is_about_its_symbol_alone(replay):
    replay.charts["ODD"] = chart()
    del replay.charts["ODD"]["meta"]["instrumentType"]
    messages = read_at(AFTER_THE_CLOSE, config_of(replay, "ODD", "TEST"))
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"TEST"}
    problem = states_of(messages)[0].stream.stream_state.problems["ODD"]
    assert problem == "Yahoo's answer for ODD cannot be read: KeyError('instrumentType'). Sync again later."


def test_check_asks_yahoo(replay):
    source = MarketSource(clock=lambda: AFTER_THE_CLOSE)
    assert source.check(LOGGER, config_of(replay)).status.value == "SUCCEEDED"
    failed = source.check(LOGGER, config_of(replay, "NOPE"))
    assert failed.status.value == "FAILED"
    assert "no daily bars for NOPE" in failed.message


def test_capital_gains_are_not_dropped_silently(replay):
    gains = {"capitalGains": {str(stamp(DAYS[3])): {"date": stamp(DAYS[3]), "amount": 1.5}}}
    replay.charts["TEST"] = chart(events=gains)
    replay.charts["TEST"]["meta"]["instrumentType"] = "ETF"
    bars = records_of(read_at(AFTER_THE_CLOSE, config_of(replay)), "daily_bars")
    assert {bar["session"]: bar["extra"] for bar in bars if bar["extra"]} == {"2024-01-16": '{"Capital Gains": 1.5}'}


def test_both_streams_come_from_one_answer(replay):
    read_at(AFTER_THE_CLOSE, config_of(replay))
    assert len([query for _, query in replay.queries if "period1" in query]) == 1


@pytest.mark.parametrize("symbol", sorted(RECORDINGS))
def test_recorded_charts_yield_exactly_their_bars(symbol):
    recorded = recorded_chart(symbol)
    quote = recorded["indicators"]["quote"][0]
    adjusted = recorded["indicators"]["adjclose"][0]["adjclose"]
    with replay_of({symbol: recorded}) as replay:
        messages = read(config_of(replay, symbol, start_date="1990-01-01"))
    bars = records_of(messages, "daily_bars")
    assert [bar["session"] for bar in bars] == [
        datetime.fromtimestamp(time, NEW_YORK).date().isoformat() for time in recorded["timestamp"]
    ]
    for name in PRICES:
        assert [bar[name] for bar in bars] == quote[name], name
    assert [bar["adjusted_close"] for bar in bars] == adjusted


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("AAPL", [("2020-08-31", "split", 4.0), ("2020-11-06", "dividend", 0.205)]),
        (
            "MSFT",
            [
                ("2021-02-17", "dividend", 0.56),
                ("2021-05-19", "dividend", 0.56),
                ("2021-08-18", "dividend", 0.56),
                ("2021-11-17", "dividend", 0.62),
            ],
        ),
        ("NVDA", [("2021-07-20", "split", 4.0)]),
        ("TSLA", []),
    ],
)
def test_recorded_charts_yield_exactly_their_actions(symbol, expected):
    with replay_of({symbol: recorded_chart(symbol)}) as replay:
        messages = read(config_of(replay, symbol, start_date="1990-01-01"))
    actions = records_of(messages, "corporate_actions")
    assert [(action["ex_date"], action["action"], action["value"]) for action in actions] == expected


def test_a_recorded_chart_read_in_two_parts_is_the_chart_read_at_once():
    recorded = recorded_chart("AAPL")
    with replay_of({"AAPL": recorded}) as replay:
        config = config_of(replay, "AAPL", start_date="2020-01-01")
        part = read_at(datetime(2020, 10, 1, 12, 0, tzinfo=NEW_YORK), config)
        rest = read_at(datetime(2020, 12, 1, 12, 0, tzinfo=NEW_YORK), config, states_of(part))
    assert sessions(part)[-1] == "2020-09-30"
    assert sessions(part) + sessions(rest) == [
        datetime.fromtimestamp(time, NEW_YORK).date().isoformat() for time in recorded["timestamp"]
    ]
