"""Days end when their calendar says, and a day is over only when its bar can be known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.market.calendars import NEW_YORK, AroundTheClock
from bentleybot_assets.contracts.sessions import DATA_DELAY

LONDON, UTC_DAYS = AroundTheClock("Europe/London"), AroundTheClock("UTC")


@pytest.mark.parametrize(
    ("calendar", "day", "opens", "closes"),
    [
        (NEW_YORK, date(2024, 7, 2), "2024-07-02T13:30", "2024-07-02T20:00"),
        (NEW_YORK, date(2024, 7, 3), "2024-07-03T13:30", "2024-07-03T17:00"),
        (UTC_DAYS, date(2024, 7, 6), "2024-07-06T00:00", "2024-07-07T00:00"),
        (LONDON, date(2024, 1, 19), "2024-01-19T00:00", "2024-01-20T00:00"),
        (LONDON, date(2024, 7, 2), "2024-07-01T23:00", "2024-07-02T23:00"),
        (LONDON, date(2024, 3, 31), "2024-03-31T00:00", "2024-03-31T23:00"),
    ],
    ids=["new-york", "half-day", "saturday", "winter", "summer", "a-day-of-23-hours"],
)
def test_a_day_opens_and_closes_in_utc(calendar, day, opens, closes):
    told = [f"{instant:%Y-%m-%dT%H:%M}" for instant in (calendar.open_at(day), calendar.close_at(day))]
    assert told == [opens, closes]
    assert calendar.close_at(day).tzinfo is UTC


FIRST, LAST = datetime(1990, 1, 10, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


@given(
    st.sampled_from([NEW_YORK, LONDON, UTC_DAYS]),
    st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda seconds: FIRST + timedelta(seconds=seconds)),
)
def test_the_last_closed_day_is_known_and_the_next_one_is_not(calendar, now):
    day = calendar.last_closed_day(now)
    assert calendar.close_at(day) + DATA_DELAY <= now
    later = day + timedelta(days=1)
    while calendar is NEW_YORK and calendar.last_closed_day(calendar.close_at(later) + DATA_DELAY) != later:
        later += timedelta(days=1)
    assert calendar.close_at(later) + DATA_DELAY > now
