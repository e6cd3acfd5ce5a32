"""Yahoo mode delivers what Yahoo's chart says: bars, splits, dividends and restatements, closed sessions only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateBlob, FailureType

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets_tests.connectors.market.protocol import LOGGER, error_of, read, read_at, records_of, states_of
from bentleybot_assets_tests.connectors.market.yahoo_replay import (
    DAYS,
    NEW_YORK,
    RECORDINGS,
    Chart,
    chart,
    config_of,
    dividend_on,
    recorded_chart,
    replay_of,
    split_on,
    stamp,
)

pytestmark = pytest.mark.usefixtures("waits")

DAILY = ("daily_bars", "corporate_actions")

PRICES = ("open", "high", "low", "close", "volume")
AFTER_THE_CLOSE = datetime(2024, 1, 19, 18, 0, tzinfo=NEW_YORK)
AN_HOUR_LATER = datetime(2024, 1, 19, 19, 0, tzinfo=NEW_YORK)


@pytest.fixture
def replay():
    with replay_of({"TEST": chart()}) as server:
        yield server


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
    again = read_at(AN_HOUR_LATER, config_of(replay), states_of(first))
    assert records_of(again, "daily_bars") == records_of(again, "corporate_actions") == []
    assert [state.stream.stream_state for state in states_of(again)] == [
        state.stream.stream_state for state in states_of(first)
    ]


def test_only_the_look_back_is_asked_for_again(replay):
    first = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=3))
    replay.queries.clear()
    read_at(AN_HOUR_LATER, config_of(replay, lookback_sessions=3), states_of(first))
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
    assert sessions(read_at(AN_HOUR_LATER, config_of(replay), states_of(first))) == []


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
    third = read_at(datetime(2024, 1, 22, 10, 0, tzinfo=NEW_YORK), config_of(replay), states_of(second))
    assert actions_of(third) == []


def test_an_action_outside_the_look_back_is_not_taken_for_withdrawn(replay):
    replay.charts["TEST"] = chart(events=dividend_on(DAYS[1], 1.0))
    first = read_at(AFTER_THE_CLOSE, config_of(replay, lookback_sessions=2))
    second = read_at(AN_HOUR_LATER, config_of(replay, lookback_sessions=2), states_of(first))
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
    third = read_at(AN_HOUR_LATER, config_of(replay, lookback_sessions=2), states_of(second))
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
    second = read_at(AN_HOUR_LATER, config_of(replay, "NOPE", "TEST"), states_of(first))
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


def recorded_actions(recorded: Chart) -> list[tuple[str, str, float]]:
    """(ex_date, action, value) of what the recording lists, oldest first."""
    events = recorded.get("events") or {}
    splits = [
        (event["date"], "split", event["numerator"] / event["denominator"])
        for event in events.get("splits", {}).values()
    ]
    dividends = [(event["date"], "dividend", event["amount"]) for event in events.get("dividends", {}).values()]
    return [(day_of(at).isoformat(), action, value) for at, action, value in sorted(splits + dividends)]


def day_of(stamp: int) -> date:
    return datetime.fromtimestamp(stamp, NEW_YORK).date()


def ends_of_windows(recorded: Chart) -> list[datetime]:
    """Evenings after a third, two thirds and all of the recording's sessions."""
    times = recorded["timestamp"]
    days = [day_of(times[len(times) * part // 3 - 1]) for part in (1, 2, 3)]
    return [datetime(day.year, day.month, day.day, 18, tzinfo=NEW_YORK) for day in days]


def read_on(
    config: dict[str, Any], windows: Sequence[datetime], state: Any = None, streams: tuple[str, ...] = DAILY
) -> list[AirbyteMessage]:
    """The messages of reads at several times, each going on from the STATE before."""
    messages = []
    for now in windows:
        messages += read_at(now, config, state, streams=streams)
        state = states_of(messages)
    return messages


@pytest.mark.parametrize("symbol", sorted(RECORDINGS))
def test_three_windows_yield_the_recorded_bars_splits_and_dividends_without_gap_or_duplicate(symbol):
    recorded = recorded_chart(symbol)
    with replay_of({symbol: recorded}) as replay:
        config = config_of(replay, symbol, start_date="1990-01-01")
        messages = read_on(config, ends_of_windows(recorded))
    assert error_of(messages) is None
    bars = records_of(messages, "daily_bars")
    assert [bar["session"] for bar in bars] == [day_of(at).isoformat() for at in recorded["timestamp"]]
    for name in PRICES:
        assert [bar[name] for bar in bars] == recorded["indicators"]["quote"][0][name], name
    assert [bar["adjusted_close"] for bar in bars] == recorded["indicators"]["adjclose"][0]["adjclose"]
    actions = records_of(messages, "corporate_actions")
    assert [(action["ex_date"], action["action"], action["value"]) for action in actions] == recorded_actions(recorded)
    assert not any(action["is_withdrawn"] for action in actions)


def test_going_on_from_any_state_loses_and_repeats_nothing():
    recorded = recorded_chart("MSFT")
    windows = ends_of_windows(recorded)
    with replay_of({"MSFT": recorded, "TEST": recorded}) as replay:
        config = config_of(replay, "MSFT", "TEST", start_date="1990-01-01")
        for stream in DAILY:
            messages = read_on(config, windows, streams=(stream,))
            everything = sorted(map(content, records_of(messages, stream)))
            positions = [position for position, message in enumerate(messages) if message.state is not None]
            assert len(positions) == 6
            for position in positions:
                before = records_of(messages[:position], stream)
                after = records_of(read_on(config, windows[-1:], [messages[position].state], (stream,)), stream)
                assert sorted(map(content, [*before, *after])) == everything


def content(record: dict[str, Any]) -> tuple[Any, ...]:
    """A record without what the time of its fetching says."""
    fetched = {"fetched_at", "available_at", "is_modelled"}
    return tuple(str(value) for name, value in record.items() if name not in fetched)


FAR = {"session": "2999-12-31", "ex_date": "2999-12-31", "bar_at": "2999-12-31T00:00:00Z", "rate_date": "2999-12-31"}


@pytest.mark.parametrize("is_bare", [True, False], ids=["cursor-alone", "whole-mark"])
def test_an_abnormal_future_state_yields_no_record_and_no_crash(is_bare):
    days = [date(2024, 1, 10) + timedelta(days=offset) for offset in range(8)]
    midnight = time(0)
    charts = {
        "TEST": chart(),
        "EURUSD=X": chart(days, zone="Europe/London", opens=midnight, instrument="CURRENCY"),
        "^IRX": chart(zone="America/Chicago", instrument="INDEX"),
        "BTC-USD": chart(days, zone="UTC", opens=midnight, instrument="CRYPTOCURRENCY"),
    }
    streams = (*DAILY, "hourly_bars", "fx_rates", "risk_free_rates")
    with replay_of(charts) as replay:
        replay.hourly["BTC-USD"] = charts["BTC-USD"] | {
            "meta": charts["BTC-USD"]["meta"]
            | {"tradingPeriods": [[{"timezone": "UTC", "gmtoffset": 0, "start": 1704844800, "end": 1704931140}]]}
        }
        config = config_of(
            replay, hourly_symbols=["BTC-USD"], fx_pairs=["EURUSD"], risk_free_series=["us_bill_13_weeks_discount"]
        )
        now = datetime(2024, 1, 22, 12, tzinfo=UTC)
        states = states_of(read_at(now, config, streams=streams))
        assert len(states) == 5
        for state in states:
            ((part, mark),) = state.stream.stream_state.marks.items()
            far = {name: FAR[name] for name in mark if name in FAR}
            mark = {"start_date": mark["start_date"], **far} if is_bare else mark | far
            state.stream.stream_state = AirbyteStateBlob({"mode": "yahoo", "marks": {part: mark}, "problems": {}})
        replay.queries.clear()
        messages = read_at(now + timedelta(hours=1), config, states, streams=streams)
    assert error_of(messages) is None
    assert not [message for message in messages if message.record is not None]
    assert replay.queries == []
    after = {state.stream.stream_descriptor.name: state.stream.stream_state for state in states_of(messages)}
    assert [blob.problems for blob in after.values()] == [{}] * 5
    assert all("'2999-12-31" in str(blob.marks) for blob in after.values())
