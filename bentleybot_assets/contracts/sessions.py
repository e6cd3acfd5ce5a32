"""What a session IS: the days the New York Stock Exchange trades, and when it closes.

The closures come from a generated table beside this file (``make calendar``), so that importing the code
location does not load a calendar library. Does not belong here: what to do on a session.
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import polars as pl

EXCHANGE_TIMEZONE = "America/New_York"
_EXCHANGE = ZoneInfo(EXCHANGE_TIMEZONE)
_REGULAR_CLOSE = time(16, 0)
FIRST_DAY = date(1990, 1, 1)
"""The table knows no closures before this day."""

FRIDAY = 5
"""The last trading day of a week, as ISO and polars number them: Monday is 1."""

DATA_DELAY = timedelta(minutes=15)
"""Publication rule of delayed market data: a bar is known this long after its session closed."""


@functools.cache
def _table() -> pl.DataFrame:
    source = files(__package__).joinpath("xnys_closures.csv").read_bytes()
    return pl.read_csv(source, schema={"date": pl.Date, "kind": pl.String, "close": pl.String})


@functools.cache
def closures() -> pl.Series:
    """Weekdays on which the exchange is closed, oldest first."""
    return _table().filter(kind="closed")["date"]


@functools.cache
def _closed() -> frozenset[date]:
    return frozenset(closures())


@functools.cache
def _early_closes() -> dict[date, time]:
    early = _table().filter(kind="early")
    return {day: time.fromisoformat(close) for day, close in early.select("date", "close").iter_rows()}


@functools.cache
def last_known_day() -> date:
    """The day up to which the table was generated."""
    return _table().filter(kind="end")["date"].item()  # type: ignore[no-any-return]


def is_session(day: date) -> bool:
    """Whether the exchange trades on ``day``.

    Raises:
        ValueError: the day lies outside the table, so the answer is unknown.
    """
    if not FIRST_DAY <= day <= last_known_day():
        raise ValueError(
            f"The session table covers {FIRST_DAY} to {last_known_day()}, not {day}. Extend it with `make calendar`."
        )
    return day.isoweekday() <= FRIDAY and day not in _closed()


def sessions_between(first: date, last: date) -> list[date]:
    """All sessions from ``first`` to ``last``, both included, oldest first."""
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [day for day in days if is_session(day)]


def next_session(day: date) -> date:
    """The first session after ``day``."""
    day += timedelta(days=1)
    while not is_session(day):
        day += timedelta(days=1)
    return day


def previous_session(day: date) -> date:
    """The last session before ``day``."""
    day -= timedelta(days=1)
    while not is_session(day):
        day -= timedelta(days=1)
    return day


def close_at(session: date) -> datetime:
    """The instant a session closes, UTC; 13:00 in New York on half days."""
    close = _early_closes().get(session, _REGULAR_CLOSE)
    return datetime.combine(session, close, tzinfo=_EXCHANGE).astimezone(UTC)


def cut_off(session: date) -> datetime:
    """The instant after which knowledge enters no decision of the session: the midnight that ends its day, UTC."""
    return datetime.combine(session + timedelta(days=1), time(), tzinfo=_EXCHANGE).astimezone(UTC)


def last_closed_session(now: datetime) -> date:
    """The newest session whose bar can be known at ``now`` (timezone-aware)."""
    day = now.astimezone(_EXCHANGE).date()
    if is_session(day) and now >= close_at(day) + DATA_DELAY:
        return day
    return previous_session(day)
