"""What Yahoo has arrives whole and once, in however many reads, from whatever STATE they go on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateBlob

from bentleybot_assets_tests.connectors.market.protocol import error_of, records_of, states_of
from bentleybot_assets_tests.connectors.market.test_yahoo import PRICES, config_of, read_at
from bentleybot_assets_tests.connectors.market.yahoo_replay import (
    NEW_YORK,
    RECORDINGS,
    Chart,
    chart,
    recorded_chart,
    replay_of,
)

DAILY = ("daily_bars", "corporate_actions")


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
    around = {"zone": "UTC", "opens": datetime.min.time()}
    charts = {
        "TEST": chart(),
        "EURUSD=X": chart(days, **around, instrument="CURRENCY"),
        "^IRX": chart(zone="America/Chicago", instrument="INDEX"),
        "BTC-USD": chart(days, **around, instrument="CRYPTOCURRENCY"),
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
        messages = read_at(now, config, states, streams=streams)
    assert error_of(messages) is None
    assert not [message for message in messages if message.record is not None]
    assert replay.queries == []
    after = {state.stream.stream_descriptor.name: state.stream.stream_state for state in states_of(messages)}
    assert [blob.problems for blob in after.values()] == [{}] * 5
    assert all("'2999-12-31" in str(blob.marks) for blob in after.values())
