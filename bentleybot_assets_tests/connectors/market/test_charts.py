"""What is asked of Yahoo arrives: hours, rates, bills, instruments around the clock; and trouble stays where it is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airbyte_cdk.models import AirbyteMessage, FailureType, SyncMode
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets.contracts.raw.market import FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets_tests.connectors.market.protocol import error_of, read_at, records_of, states_of
from bentleybot_assets_tests.connectors.market.yahoo_replay import (
    DAYS,
    NEW_YORK,
    Chart,
    Replay,
    chart,
    config_of,
    hourly_chart,
    replay_of,
)

pytestmark = pytest.mark.usefixtures("waits")

LONDON = ZoneInfo("Europe/London")
WINTER_EVENING = datetime(2024, 1, 19, 18, 0, tzinfo=NEW_YORK)
"""After the last session of the daily chart."""
EVENING = datetime(2024, 7, 3, 18, 0, tzinfo=NEW_YORK)
"""After the half day before Independence Day."""

JUNE_WEEK = [date(2024, 6, day) for day in (10, 11, 12, 13, 14)]


def session(day: int, closes: time = time(16)) -> tuple[datetime, datetime]:
    """A trading period of July 2024."""
    of_day = date(2024, 7, day)
    return datetime.combine(of_day, time(9, 30), NEW_YORK), datetime.combine(of_day, closes, NEW_YORK)


def hours_of(day: int, count: int = 7) -> list[datetime]:
    """When the bars of a session in July 2024 begin."""
    return [session(day)[0] + timedelta(hours=hour) for hour in range(count)]


def stock_hours() -> Chart:
    """A whole and a half session, Yahoo's quote at the close among the latter."""
    begins = [*hours_of(2), *hours_of(3, 4), session(3, time(13))[1]]
    return hourly_chart(begins, [session(2), session(3, time(13))])


def currency_chart(days: list[date] = JUNE_WEEK) -> Chart:
    return chart(days, zone="Europe/London", opens=time(0), instrument="CURRENCY")


@pytest.fixture
def replay():
    with replay_of({"TEST": chart()}) as server:
        server.hourly["TEST"] = stock_hours()
        yield server


def hours(
    now: datetime, replay: Replay, state: Any = None, *symbols: str, **changes: Any
) -> tuple[list[AirbyteMessage], list[dict[str, Any]]]:
    """The messages of a read, and its hourly bars."""
    config = config_of(replay, hourly_symbols=list(symbols or ("TEST",)), **changes)
    messages = read_at(now, config, state, streams=("hourly_bars",))
    return messages, records_of(messages, "hourly_bars")


def test_hours_are_told_when_they_began_and_when_they_ended(replay):
    _, bars = hours(EVENING, replay)
    assert [(bar["bar_at"][5:16], bar["event_at"][11:16]) for bar in bars] == [
        ("07-02T13:30", "14:30"),
        ("07-02T14:30", "15:30"),
        ("07-02T15:30", "16:30"),
        ("07-02T16:30", "17:30"),
        ("07-02T17:30", "18:30"),
        ("07-02T18:30", "19:30"),
        ("07-02T19:30", "20:00"),
        ("07-03T13:30", "14:30"),
        ("07-03T14:30", "15:30"),
        ("07-03T15:30", "16:30"),
        ("07-03T16:30", "17:00"),
    ]
    assert {frozenset(bar) for bar in bars} == {frozenset(HourlyBars.polars_schema())}
    first = bars[0]
    assert (first["open"], first["high"], first["low"], first["close"]) == (99.5, 101.0, 99.0, 100.0)
    assert (first["volume"], first["currency"], first["price_basis"]) == (1000.0, "USD", "split_adjusted")


def test_hours_of_past_days_follow_the_publication_rule_and_todays_were_first_seen_now(replay):
    _, bars = hours(EVENING, replay)
    assert [(bar["is_modelled"], bar["available_at"]) for bar in (bars[6], bars[7])] == [
        (True, "2024-07-02T20:15:00Z"),
        (False, "2024-07-03T22:00:00Z"),
    ]


@pytest.mark.parametrize(("clock", "last"), [(time(11, 44), "13:30"), (time(11, 45), "14:30")])
def test_the_hour_that_is_not_over_is_not_read(replay, clock, last):
    _, bars = hours(datetime.combine(date(2024, 7, 3), clock, NEW_YORK), replay)
    assert bars[-1]["bar_at"] == f"2024-07-03T{last}:00Z"


def test_reading_hour_by_hour_brings_each_once(replay):
    told, state = [], None
    for hour in (10, 11, 12, 13, 14, 18, 19):
        messages, bars = hours(datetime(2024, 7, 3, hour, 50, tzinfo=NEW_YORK), replay, state)
        told += [bar["bar_at"] for bar in bars]
        state = states_of(messages)
    assert told == [bar["bar_at"] for bar in hours(EVENING, replay)[1]]


def test_a_corrected_hour_arrives_as_a_newer_version_seen_now(replay):
    messages, _ = hours(EVENING, replay, lookback_sessions=1)
    replay.hourly["TEST"]["indicators"]["quote"][0]["volume"][8] = 7
    later = datetime(2024, 7, 5, 9, 0, tzinfo=NEW_YORK)
    _, (bar,) = hours(later, replay, states_of(messages), lookback_sessions=1)
    assert (bar["bar_at"], bar["volume"]) == ("2024-07-03T14:30:00Z", 7.0)
    assert (bar["available_at"], bar["is_modelled"]) == ("2024-07-05T13:00:00Z", False)


def test_a_split_sends_all_hours_again(replay):
    messages, bars = hours(EVENING, replay, lookback_sessions=1)
    for name in ("open", "high", "low", "close"):
        values = replay.hourly["TEST"]["indicators"]["quote"][0][name]
        values[:] = [value / 2 for value in values]
    _, again = hours(datetime(2024, 7, 5, 9, 0, tzinfo=NEW_YORK), replay, states_of(messages), lookback_sessions=1)
    assert [bar["close"] for bar in again] == [bar["close"] / 2 for bar in bars]


def test_only_the_two_years_that_yahoo_keeps_are_asked_for(replay):
    hours(EVENING, replay, start_date="1990-01-01")
    (asked,) = [query for _, query in replay.queries if query["interval"] == "1h" and "period1" in query]
    began = datetime.fromtimestamp(int(asked["period1"]), UTC)
    assert timedelta(days=728) < EVENING - began < timedelta(days=730)


def test_hours_of_a_currency_run_through_the_night_and_have_no_volume(replay):
    begins = [datetime(2024, 6, 13, 22, tzinfo=LONDON) + timedelta(hours=hour) for hour in range(24)]
    quote = datetime(2024, 6, 14, 22, 29, tzinfo=LONDON)
    days = [datetime(2024, 6, day, tzinfo=LONDON) for day in (13, 14)]
    periods = [(day, day + timedelta(hours=23, minutes=59)) for day in days]
    replay.hourly["EURUSD=X"] = hourly_chart([*begins, quote], periods, instrument="CURRENCY")
    once = {"lookback_sessions": 1}
    messages, bars = hours(datetime(2024, 6, 17, tzinfo=UTC), replay, None, "EURUSD=X", **once)
    assert [bar["bar_at"] for bar in bars] == [f"{begin.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for begin in begins]
    assert {bar["volume"] for bar in bars} == {None}
    assert hours(datetime(2024, 6, 17, 1, tzinfo=UTC), replay, states_of(messages), "EURUSD=X", **once)[1] == []


def around_the_clock(begins: list[datetime], instrument: str) -> Chart:
    """An hourly chart of what trades on each of its days from midnight to midnight."""
    days = sorted({begin.replace(hour=0) for begin in begins})
    return hourly_chart(begins, [(day, day + timedelta(days=1, minutes=-1)) for day in days], instrument=instrument)


def hours_from(begin: datetime, end: datetime) -> list[datetime]:
    """Each hour that begins in a span, in its time zone; across a change of clocks, too."""
    first, last = begin.timestamp(), end.timestamp()
    return [datetime.fromtimestamp(at, begin.tzinfo) for at in range(int(first), int(last), 3600)]


# The week of currencies ends on Friday at 17:00 in New York and begins on Sunday at that time. London's clocks changed
# on that Sunday, New York's had three weeks before.
EASTER_WEEK = [
    *hours_from(datetime(2024, 3, 25, 0, tzinfo=LONDON), datetime(2024, 3, 29, 21, tzinfo=LONDON)),
    *hours_from(datetime(2024, 3, 31, 22, tzinfo=LONDON), datetime(2024, 4, 2, 12, tzinfo=LONDON)),
]
WEEK_OF_CRYPTO = hours_from(datetime(2024, 3, 27, tzinfo=UTC), datetime(2024, 4, 2, 12, tzinfo=UTC))
AROUND_THE_CLOCK = {"EURUSD=X": (EASTER_WEEK, "CURRENCY"), "BTC-USD": (WEEK_OF_CRYPTO, "CRYPTOCURRENCY")}


@pytest.mark.parametrize("symbol", AROUND_THE_CLOCK)
def test_hours_over_a_weekend_are_read_once_whenever_they_are_asked_for(replay, symbol):
    begins, instrument = AROUND_THE_CLOCK[symbol]
    replay.hourly[symbol] = around_the_clock(begins, instrument)
    told, state = [], None
    # Before, in and after the weekend; a day and a half later, and within an hour.
    for now in ("29T20:20", "29T23:50", "30T12:00", "31T21:10", "31T23:40", "31T23:50"):
        at = datetime.fromisoformat(f"2024-03-{now}Z")
        messages, bars = hours(at, replay, state, symbol)
        told += [bar["bar_at"] for bar in bars]
        state = states_of(messages)
    messages, bars = hours(datetime(2024, 4, 2, 9, 30, tzinfo=UTC), replay, state, symbol)
    told += [bar["bar_at"] for bar in bars]
    ended = datetime(2024, 4, 2, 8, 15, tzinfo=UTC)
    assert told == [f"{begin.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for begin in begins if begin <= ended]


@pytest.mark.parametrize("symbol", AROUND_THE_CLOCK)
@pytest.mark.parametrize("changed", ["corrected", "late"])
def test_the_look_back_is_whole_days_of_what_trades_around_the_clock(replay, symbol, changed):
    begins, instrument = AROUND_THE_CLOCK[symbol]
    replay.hourly[symbol] = whole = around_the_clock(begins, instrument)
    # Of the five newest days that it traded on by Monday morning, the oldest has this hour.
    noon = datetime(2024, 3, 28 if instrument == "CRYPTOCURRENCY" else 27, 12, tzinfo=UTC)
    position = [begin.astimezone(UTC) for begin in begins].index(noon)
    if changed == "late":
        without = [begin for begin in begins if begin != begins[position]]
        replay.hourly[symbol] = around_the_clock(without, instrument)
        for name, values in replay.hourly[symbol]["indicators"]["quote"][0].items():
            values[:] = [value for at, value in enumerate(whole["indicators"]["quote"][0][name]) if at != position]
    messages, _ = hours(datetime(2024, 4, 1, 8, 30, tzinfo=UTC), replay, None, symbol)
    replay.hourly[symbol] = whole
    whole["indicators"]["quote"][0]["high"][position] = 999.0
    _, bars = hours(datetime(2024, 4, 1, 9, 30, tzinfo=UTC), replay, states_of(messages), symbol)
    again, newest = bars
    assert (again["bar_at"], again["high"]) == (f"{noon:%Y-%m-%dT%H:%M:%SZ}", 999.0)
    assert (again["available_at"], again["is_modelled"]) == ("2024-04-01T09:30:00Z", False)
    assert newest["bar_at"] == "2024-04-01T08:00:00Z"


def fx(now: datetime, replay: Replay, state: Any = None) -> tuple[list[AirbyteMessage], list[dict[str, Any]]]:
    """The messages of a read, and its exchange rates."""
    messages = read_at(now, config_of(replay, fx_pairs=["EURUSD"]), state, streams=("fx_rates",))
    return messages, records_of(messages, "fx_rates")


def test_a_rate_is_the_close_of_its_day_in_london_told_in_utc(replay):
    replay.charts["EURUSD=X"] = currency_chart()
    _, rates = fx(datetime(2024, 6, 17, 12, tzinfo=UTC), replay)
    assert [(rate["rate_date"], rate["rate"]) for rate in rates] == [
        (day.isoformat(), 100.0 + position) for position, day in enumerate(JUNE_WEEK)
    ]
    assert {frozenset(rate) for rate in rates} == {frozenset(FxRates.polars_schema())}
    assert (rates[0]["base_currency"], rates[0]["quote_currency"]) == ("EUR", "USD")
    assert (rates[0]["event_at"], rates[0]["available_at"]) == ("2024-06-10T23:00:00Z", "2024-06-10T23:15:00Z")


def test_the_rate_of_a_day_that_is_not_over_is_not_read(replay):
    replay.charts["EURUSD=X"] = currency_chart()
    told = [fx(datetime(2024, 6, 13, 23, minute, tzinfo=UTC), replay)[1][-1] for minute in (14, 15)]
    assert [rate["rate_date"] for rate in told] == ["2024-06-12", "2024-06-13"]
    assert (told[1]["is_modelled"], told[1]["available_at"]) == (False, "2024-06-13T23:15:00Z")


def test_rates_go_on_where_they_ended_and_corrections_come_again(replay):
    replay.charts["EURUSD=X"] = currency_chart(JUNE_WEEK[:3])
    messages, _ = fx(datetime(2024, 6, 13, 12, tzinfo=UTC), replay)
    replay.charts["EURUSD=X"] = currency_chart()
    replay.charts["EURUSD=X"]["indicators"]["quote"][0]["close"][0] = 99.0
    _, rates = fx(datetime(2024, 6, 15, 12, tzinfo=UTC), replay, states_of(messages))
    assert [(rate["rate_date"], rate["rate"], rate["is_modelled"]) for rate in rates] == [
        ("2024-06-10", 99.0, False),
        ("2024-06-13", 103.0, True),
        ("2024-06-14", 104.0, False),
    ]


def test_a_day_without_a_rate_has_no_record(replay):
    replay.charts["EURUSD=X"] = currency_chart()
    replay.charts["EURUSD=X"]["indicators"]["quote"][0]["close"][1] = None
    _, rates = fx(datetime(2024, 6, 17, 12, tzinfo=UTC), replay)
    assert [rate["rate_date"][-2:] for rate in rates] == ["10", "12", "13", "14"]


def test_bills_are_told_in_percent_and_known_with_new_yorks_close(replay):
    replay.charts["^IRX"] = chart(zone="America/Chicago", opens=time(7, 20), instrument="INDEX", factor=20.0)
    config = config_of(replay, risk_free_series=["us_bill_13_weeks_discount"])
    messages = read_at(datetime(2024, 1, 22, 9, tzinfo=NEW_YORK), config, streams=("risk_free_rates",))
    rates = records_of(messages, "risk_free_rates")
    assert len(rates) == 7
    assert {frozenset(rate) for rate in rates} == {frozenset(RiskFreeRates.polars_schema())}
    first = rates[0]
    assert (first["series"], first["rate_date"], first["rate_pct"]) == ("us_bill_13_weeks_discount", "2024-01-10", 5.0)
    assert (first["event_at"], first["available_at"]) == ("2024-01-10T21:00:00Z", "2024-01-10T21:15:00Z")
    assert first["currency"] == "USD"


def test_a_series_that_yahoo_does_not_have_is_refused_by_name(replay):
    config = config_of(replay, risk_free_series=["us_bill_3_months_discount_quarterly"])
    error = error_of(read_at(EVENING, config, streams=("risk_free_rates",)))
    assert error.failure_type is FailureType.config_error
    assert "no series us_bill_3_months_discount_quarterly" in error.message


def test_a_crypto_asset_has_bars_at_weekends_that_close_at_midnight_utc(replay):
    days = [date(2024, 1, day) for day in (12, 13, 14, 15)]
    replay.charts["BTC-USD"] = chart(days, zone="UTC", opens=time(0), instrument="CRYPTOCURRENCY")
    messages = read_at(datetime(2024, 1, 15, 0, 15, tzinfo=UTC), config_of(replay, "BTC-USD"))
    bars = records_of(messages, "daily_bars")
    assert [(bar["session"], bar["event_at"], bar["is_modelled"]) for bar in bars] == [
        ("2024-01-12", "2024-01-13T00:00:00Z", True),
        ("2024-01-13", "2024-01-14T00:00:00Z", True),
        ("2024-01-14", "2024-01-15T00:00:00Z", False),
    ]
    assert bars[0]["volume"] == 1000.0


def test_a_stock_in_the_time_zone_of_currencies_is_refused(replay):
    replay.charts["SHARE.L"] = chart(zone="Europe/London")
    error = error_of(read_at(EVENING, config_of(replay, "SHARE.L")))
    assert error.failure_type is FailureType.config_error
    assert "SHARE.L trades in Europe/London" in error.message


def test_nothing_is_asked_for_what_is_not_configured(replay):
    streams = ("hourly_bars", "fx_rates", "risk_free_rates")
    messages = read_at(EVENING, config_of(replay), streams=streams)
    assert error_of(messages) is None
    assert [len(records_of(messages, stream)) for stream in streams] == [0, 0, 0]
    assert replay.queries == []


def test_two_streams_share_the_answer_about_one_symbol(replay):
    replay.charts["EURUSD=X"] = currency_chart()
    now = datetime(2024, 6, 17, 12, tzinfo=UTC)
    messages = read_at(now, config_of(replay, "EURUSD=X", fx_pairs=["EURUSD"]), streams=("daily_bars", "fx_rates"))
    assert [bar["close"] for bar in records_of(messages, "daily_bars")] == [
        rate["rate"] for rate in records_of(messages, "fx_rates")
    ]
    assert len([query for _, query in replay.queries if "period1" in query]) == 1


def test_an_instrument_of_another_calendar_is_refused(replay):
    replay.charts["SHARE.T"] = chart(zone="Asia/Tokyo")
    error = error_of(read_at(WINTER_EVENING, config_of(replay, "SHARE.T")))
    assert error.failure_type is FailureType.config_error
    assert "SHARE.T trades in Asia/Tokyo, but this source knows the days of America/New_York" in error.message
    assert "Remove it from `symbols`" in error.message


@pytest.mark.parametrize(("status", "said"), [(429, "limits the rate"), (503, "answers with HTTP 503")])
def test_a_server_in_trouble_is_a_passing_error(replay, status, said):
    replay.status = status
    error = error_of(read_at(WINTER_EVENING, config_of(replay)))
    assert error.failure_type is FailureType.transient_error
    assert said in error.message


def test_a_server_that_is_not_there_is_a_passing_error(waits):
    with replay_of({}) as gone:
        config = config_of(gone)
    error = error_of(read_at(WINTER_EVENING, config))
    assert error.failure_type is FailureType.transient_error
    assert "Yahoo's answer for TEST cannot be read: " in error.message
    assert "connect" in error.message
    assert len(waits) == 3


def test_trouble_that_passes_is_not_noticed(replay):
    replay.refusals["TEST"] = [(503, {}), (429, {"Retry-After": "30"}), (500, {})]
    bars = records_of(read_at(WINTER_EVENING, config_of(replay)), "daily_bars")
    assert [bar["session"] for bar in bars] == [day.isoformat() for day in DAYS]


def test_the_wait_that_yahoo_asks_for_is_kept_and_nothing_is_asked_meanwhile(replay, waits):
    replay.charts["BUSY"] = chart()
    replay.refusals["BUSY"] = [(429, {"Retry-After": "30"})]
    read_at(WINTER_EVENING, config_of(replay, "BUSY"))
    (wait,) = waits
    assert 30 <= wait < 31
    assert len(replay.queries) == 3  # refused; the time zone; the chart


def test_one_symbol_that_yahoo_fails_on_fails_no_other(replay):
    replay.charts["AAA"] = replay.charts["ZZZ"] = chart()
    replay.refusals["TEST"] = [(500, {})] * 100
    messages = read_at(WINTER_EVENING, config_of(replay, "AAA", "TEST", "ZZZ"))
    assert error_of(messages) is None
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"AAA", "ZZZ"}
    assert "answers with HTTP 500" in states_of(messages)[0].stream.stream_state.problems["TEST"]


def test_after_three_symbols_in_a_row_that_fail_yahoo_is_asked_nothing_more(replay):
    names = ["A", "B", "C", "D"]
    replay.charts = {name: chart() for name in names}
    replay.status = 503
    source = MarketSource(clock=lambda: WINTER_EVENING)
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
    messages = read_at(WINTER_EVENING, config_of(replay, "ODD", "TEST"))
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"TEST"}
    problem = states_of(messages)[0].stream.stream_state.problems["ODD"]
    assert problem == "Yahoo's answer for ODD cannot be read: KeyError('instrumentType'). Sync again later."


@pytest.mark.parametrize(("kind", "symbol"), [("FUTURE", "GC=F"), ("OPTION", "X240119C00100"), ("NEW", "ODD")])
def test_an_instrument_that_keeps_other_hours_is_refused_by_its_kind(replay, kind, symbol):
    replay.charts[symbol] = chart(instrument=kind)
    error = error_of(read_at(WINTER_EVENING, config_of(replay, symbol)))
    assert error.failure_type is FailureType.config_error
    assert f"{symbol} is of the kind {kind}, whose trading hours this source does not know" in error.message
    assert "Remove it from `symbols`" in error.message


@pytest.mark.parametrize("kind", ["EQUITY", "ETF", "INDEX", "MUTUALFUND"])
def test_what_trades_by_sessions_of_new_york_is_read(replay, kind):
    replay.charts["KIND"] = chart(instrument=kind)
    assert len(records_of(read_at(WINTER_EVENING, config_of(replay, "KIND")), "daily_bars")) == len(DAYS)


@pytest.mark.parametrize("unit", ["GBp", "GBX", "USX", "ZAc", "ILA"])
def test_prices_in_a_minor_unit_are_not_taken_for_a_currency(replay, unit):
    replay.charts["ODD"] = chart()
    replay.charts["ODD"]["meta"]["currency"] = unit
    messages = read_at(WINTER_EVENING, config_of(replay, "ODD", "TEST"))
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"TEST"}
    problem = states_of(messages)[0].stream.stream_state.problems["ODD"]
    assert problem == (
        f"Yahoo tells the prices of ODD in {unit!r}, a hundredth of a currency, which this source does not convert. "
        "Remove it from `symbols`."
    )


def test_nothing_is_read_by_a_clock_that_was_set_back(replay, caplog):
    messages = read_at(WINTER_EVENING, config_of(replay))
    replay.charts["TEST"]["indicators"]["quote"][0]["volume"][-1] = 7
    before = read_at(WINTER_EVENING - timedelta(minutes=10), config_of(replay), states_of(messages))
    assert records_of(before, "daily_bars") == []
    assert states_of(before)[0].stream.stream_state == states_of(messages)[0].stream.stream_state
    assert "TEST: the STATE says that 2024-01-19T23:00:00Z was read, which is still to come" in caplog.text
    after = read_at(WINTER_EVENING + timedelta(minutes=10), config_of(replay), states_of(before))
    assert [bar["volume"] for bar in records_of(after, "daily_bars")] == [7.0]


def test_prices_without_a_currency_are_about_their_symbol_alone(replay):
    replay.charts["ODD"] = chart()
    replay.charts["ODD"]["meta"]["currency"] = None
    messages = read_at(WINTER_EVENING, config_of(replay, "ODD", "TEST"))
    assert {bar["symbol"] for bar in records_of(messages, "daily_bars")} == {"TEST"}
    problem = states_of(messages)[0].stream.stream_state.problems["ODD"]
    assert problem.startswith("Yahoo tells no currency of ODD (it says None), so its prices mean nothing.")
