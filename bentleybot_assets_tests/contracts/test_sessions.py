"""The shipped table of closures is the calendar of the New York Stock Exchange."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from bentleybot_assets.contracts import sessions

HALF_DAYS = [
    *(date(2024, 7, 3), date(2024, 11, 29), date(2024, 12, 24)),
    *(date(2025, 7, 3), date(2025, 11, 28), date(2025, 12, 24)),
    *(date(2026, 11, 27), date(2026, 12, 24)),
    date(2027, 11, 26),
]


@pytest.fixture(scope="module")
def calendar():
    import exchange_calendars

    return exchange_calendars.get_calendar("XNYS", start=str(sessions.FIRST_DAY))


def test_sessions_since_1990_equal_the_reference_calendar(calendar) -> None:
    last = min(sessions.last_known_day(), calendar.last_session.date())
    expected = [day.date() for day in calendar.sessions if day.date() <= last]
    assert sessions.sessions_between(sessions.FIRST_DAY, last) == expected


def test_closes_since_1990_equal_the_reference_calendar(calendar) -> None:
    differing = {
        day.date(): close
        for day, close in calendar.closes.items()
        if day.date() <= sessions.last_known_day() and close != pd.Timestamp(sessions.close_at(day.date()))
    }
    assert differing == {}


def test_closures_are_weekdays_in_order_without_repetition() -> None:
    closures = sessions.closures()
    assert closures.equals(closures.unique().sort())
    assert closures.dt.weekday().max() <= 5


@pytest.mark.parametrize(
    ("year", "count"),
    [
        (2001, 248),
        (2018, 251),
        (2019, 252),
        (2020, 253),
        (2021, 252),
        (2022, 251),
        (2023, 250),
        (2024, 252),
        (2025, 250),
        (2026, 251),
    ],
)
def test_year_has_its_number_of_sessions(year: int, count: int) -> None:
    assert len(sessions.sessions_between(date(year, 1, 1), date(year, 12, 31))) == count


@pytest.mark.parametrize(
    "day",
    [
        *(date(2001, 9, number) for number in (11, 12, 13, 14)),
        date(2012, 10, 29),
        date(2012, 10, 30),
        date(2018, 12, 5),
        date(2022, 6, 20),
        date(2025, 1, 9),
        date(2026, 7, 3),
        date(2022, 12, 31),
    ],
)
def test_exchange_is_closed_on(day: date) -> None:
    assert not sessions.is_session(day)


@pytest.mark.parametrize("day", [date(2021, 12, 31), date(2001, 9, 10), date(2001, 9, 17), date(2022, 12, 28)])
def test_exchange_is_open_on(day: date) -> None:
    assert sessions.is_session(day)


@pytest.mark.parametrize("day", [day for day in HALF_DAYS if day <= sessions.last_known_day()])
def test_half_day_closes_at_one(day: date) -> None:
    assert sessions.close_at(day).astimezone(sessions._EXCHANGE).hour == 13


def test_half_days_of_three_years_are_the_published_ones() -> None:
    days = sessions.sessions_between(date(2024, 1, 1), date(2026, 12, 31))
    early = [day for day in days if sessions.close_at(day).astimezone(sessions._EXCHANGE).hour != 16]
    assert early == [day for day in HALF_DAYS if day.year < 2027]


@pytest.mark.parametrize(
    ("day", "close"),
    [
        (date(2026, 3, 6), datetime(2026, 3, 6, 21, tzinfo=UTC)),
        (date(2026, 3, 9), datetime(2026, 3, 9, 20, tzinfo=UTC)),
        (date(2026, 11, 27), datetime(2026, 11, 27, 18, tzinfo=UTC)),
    ],
)
def test_close_follows_daylight_saving_and_half_days(day: date, close: datetime) -> None:
    assert sessions.close_at(day) == close


def test_neighbouring_sessions_step_over_weekends_and_holidays() -> None:
    assert sessions.next_session(date(2026, 7, 2)) == date(2026, 7, 6)
    assert sessions.previous_session(date(2026, 7, 6)) == date(2026, 7, 2)
    assert sessions.previous_session(date(2001, 9, 17)) == date(2001, 9, 10)


def test_bar_can_be_known_fifteen_minutes_after_the_close() -> None:
    known_at = datetime(2026, 3, 9, 20, 15, tzinfo=UTC)
    assert sessions.last_closed_session(known_at) == date(2026, 3, 9)
    assert sessions.last_closed_session(known_at - timedelta(seconds=1)) == date(2026, 3, 6)
    # In New York it is still the evening before.
    assert sessions.last_closed_session(datetime(2026, 3, 10, 1, tzinfo=UTC)) == date(2026, 3, 9)


def test_decision_is_cut_off_at_the_midnight_in_new_york_that_ends_the_day() -> None:
    assert sessions.cut_off(date(2026, 11, 27)) == datetime(2026, 11, 28, 5, tzinfo=UTC)
    assert sessions.cut_off(date(2026, 7, 2)) == datetime(2026, 7, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize("day", [date(1989, 12, 29), date(2100, 1, 4)])
def test_day_outside_the_table_is_an_error_that_says_how_to_extend_it(day: date) -> None:
    with pytest.raises(ValueError, match=rf"not {day}\. Extend it with `make calendar`"):
        sessions.is_session(day)
