"""An hourly bar is told when it is whole, and with the instant at which it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from bentleybot_assets.connectors.market.calendars import NEW_YORK, AroundTheClock
from bentleybot_assets.connectors.market.records import closed_hours

LATER = datetime(2024, 12, 1, tzinfo=UTC)


def closed(*begins: str, calendar=NEW_YORK, now=LATER) -> list[tuple[str, str]]:
    """When each closed bar begins and ends, of those that begin then (UTC)."""
    instants = pl.Series(begins).str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC")
    hours = closed_hours(instants, calendar, now).filter("is_closed")
    return [(row["bar_at"][11:16], row["event_at"][11:16]) for row in hours.iter_rows(named=True)]


def test_the_last_bar_of_a_session_is_half_as_long():
    assert closed("2024-07-02 13:30", "2024-07-02 18:30", "2024-07-02 19:30") == [
        ("13:30", "14:30"),
        ("18:30", "19:30"),
        ("19:30", "20:00"),
    ]


def test_a_half_day_ends_at_its_own_close():
    assert closed("2024-07-03 15:30", "2024-07-03 16:30", "2024-07-03 17:30") == [
        ("15:30", "16:30"),
        ("16:30", "17:00"),
    ]


@pytest.mark.parametrize("begin", ["2024-07-02 12:30", "2024-07-02 20:00", "2024-07-02 20:30", "2024-07-02 15:47"])
def test_what_is_no_bar_of_the_session_is_left_out(begin):
    assert closed(begin) == []


def test_a_currency_has_bars_in_all_hours_but_no_quotes_of_the_moment():
    calendar = AroundTheClock("Europe/London")
    found = closed("2024-07-05 20:00", "2024-07-05 20:59", "2024-07-07 23:00", calendar=calendar)
    assert found == [("20:00", "21:00"), ("23:00", "00:00")]


@pytest.mark.parametrize(("now", "count"), [("14:44", 0), ("14:45", 1)])
def test_a_bar_is_known_a_quarter_of_an_hour_after_it_ended(now, count):
    now = datetime.fromisoformat(f"2024-07-02T{now}+00:00")
    assert len(closed("2024-07-02 13:30", now=now)) == count


def test_available_at_is_the_publication_rule():
    begins = pl.Series([datetime(2024, 7, 2, 19, 30, tzinfo=UTC)])
    assert closed_hours(begins, NEW_YORK, LATER)["available_at"].to_list() == ["2024-07-02T20:15:00Z"]
