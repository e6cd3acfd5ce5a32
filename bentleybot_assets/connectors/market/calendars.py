"""The calendars that the source knows: when an instrument's day opens, closes and is over.

Belongs here: New York's sessions, and days of instruments that trade around the clock. Does not belong here: New York's
closures (``contracts.sessions``), which calendar an instrument has (each mode of the source).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bentleybot_assets.contracts.sessions import DATA_DELAY, EXCHANGE_TIMEZONE, close_at, last_closed_session

_OPEN = time(9, 30)
_MIDNIGHT = time()
_A_DAY = timedelta(days=1)


class Calendar(Protocol):
    """When an instrument trades."""

    @property
    def timezone(self) -> str:
        """Whose days they are."""
        ...

    def open_at(self, day: date) -> datetime:
        """The instant a day of trading begins, UTC."""
        ...

    def close_at(self, day: date) -> datetime:
        """The instant a day of trading ends, UTC."""
        ...

    def last_closed_day(self, now: datetime) -> date:
        """The newest day whose bar can be known at ``now`` (timezone-aware)."""
        ...


@dataclass(frozen=True)
class NewYork:
    """The sessions of the New York Stock Exchange."""

    timezone: str = EXCHANGE_TIMEZONE

    def open_at(self, day: date) -> datetime:
        """See :class:`Calendar`."""
        return datetime.combine(day, _OPEN, tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)

    def close_at(self, day: date) -> datetime:
        """See :class:`Calendar`. Earlier on half days."""
        return close_at(day)

    def last_closed_day(self, now: datetime) -> date:
        """See :class:`Calendar`."""
        return last_closed_session(now)


@dataclass(frozen=True)
class AroundTheClock:
    """Days from midnight to midnight, of currencies and crypto assets.

    That nobody trades currencies at the weekend shows in their bars alone: no closure is known, so none is expected.
    """

    timezone: str

    def open_at(self, day: date) -> datetime:
        """See :class:`Calendar`."""
        return datetime.combine(day, _MIDNIGHT, tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)

    def close_at(self, day: date) -> datetime:
        """See :class:`Calendar`. The midnight that ends the day."""
        return self.open_at(day + _A_DAY)

    def last_closed_day(self, now: datetime) -> date:
        """See :class:`Calendar`."""
        return (now - DATA_DELAY).astimezone(ZoneInfo(self.timezone)).date() - _A_DAY


NEW_YORK = NewYork()
