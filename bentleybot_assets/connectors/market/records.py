"""What the two modes of the source share: the interface they offer and the instants of their records.

Does not belong here: where prices come from, when a day opens and closes (``calendars``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import polars as pl

from bentleybot_assets.connectors.feeds import Mark, Record
from bentleybot_assets.connectors.market.calendars import NEW_YORK, Calendar
from bentleybot_assets.contracts.sessions import DATA_DELAY

ISO_UTC = "%Y-%m-%dT%H:%M:%SZ"
"""An instant as text, as polars formats and parses it; ``feeds.iso`` writes the same."""

_AN_HOUR = timedelta(hours=1)


class Feed(Protocol):
    """A mode of the source. Each reading method reads a part of its stream as ``feeds.Read`` says.

    Attributes:
        symbols: daily bars and corporate actions to read, in a fixed order.
        hourly_symbols: hourly bars to read.
        fx_pairs: exchange rates to read, as EURUSD.
        risk_free_series: rates of Treasury bills to read.
    """

    symbols: tuple[str, ...]
    hourly_symbols: tuple[str, ...]
    fx_pairs: tuple[str, ...]
    risk_free_series: tuple[str, ...]

    def check(self) -> None:
        """Raise ConfigError or TransientError if the feed cannot deliver."""
        ...

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``daily_bars`` stream."""
        ...

    def corporate_actions(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``corporate_actions`` stream."""
        ...

    def hourly_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``hourly_bars`` stream."""
        ...

    def fx_rates(self, pair: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``fx_rates`` stream."""
        ...

    def risk_free_rates(self, series: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``risk_free_rates`` stream."""
        ...


def bar_times(days: pl.Series, calendar: Calendar = NEW_YORK) -> pl.DataFrame:
    """``event_at`` (the close) and ``available_at`` (the publication rule) of each day, as texts."""
    closes = _each(days, calendar.close_at)
    return pl.DataFrame(
        {"event_at": closes.dt.strftime(ISO_UTC), "available_at": (closes + DATA_DELAY).dt.strftime(ISO_UTC)}
    )


def action_times(ex_dates: pl.Series, calendar: Calendar = NEW_YORK) -> pl.DataFrame:
    """``event_at`` (the open of the ex-date) and ``available_at`` of each action, as texts.

    Actions are announced weeks earlier, but no source here dates that: one counts as known with its session's
    bar.
    """
    opens = _each(ex_dates, calendar.open_at)
    return bar_times(ex_dates, calendar).with_columns(event_at=opens.dt.strftime(ISO_UTC))


def closed_hours(begins: pl.Series, calendar: Calendar, now: datetime) -> pl.DataFrame:
    """Which hourly bars are whole and known at ``now``, and their instants.

    A bar begins on a whole hour after its day's open and ends an hour later, or with the day if that is sooner (the
    last bar in New York is half as long). Anything else that comes among them is a quote of the moment, or of before
    the open or after the close.

    Args:
        begins: when each bar began, UTC.
        calendar: of the instrument.
        now: the present, timezone-aware.

    Returns:
        For each of ``begins``: ``bar_at``, ``event_at`` and ``available_at`` as texts, and ``is_closed``.
    """
    days = begins.dt.convert_time_zone(calendar.timezone).dt.date()
    opens, closes = _each(days, calendar.open_at), _each(days, calendar.close_at)
    bars = pl.DataFrame({"bar_at": begins, "open_at": opens, "close_at": closes}).with_columns(
        event_at=pl.min_horizontal(pl.col("bar_at") + _AN_HOUR, "close_at")
    )
    since_open = (pl.col("bar_at") - pl.col("open_at")).dt.total_seconds()
    in_day = (since_open >= 0) & (pl.col("bar_at") < pl.col("close_at"))
    known_at = pl.col("event_at") + DATA_DELAY
    return bars.select(
        pl.col("bar_at").dt.strftime(ISO_UTC),
        pl.col("event_at").dt.strftime(ISO_UTC),
        available_at=known_at.dt.strftime(ISO_UTC),
        is_closed=in_day & (since_open % int(_AN_HOUR.total_seconds()) == 0) & (known_at <= now.astimezone(UTC)),
    )


def _each(days: pl.Series, instant: Callable[[date], datetime]) -> pl.Series:
    """The instant of each day, which is asked for once however often the day comes."""
    distinct = days.unique()
    instants = pl.Series([instant(day) for day in distinct], dtype=pl.Datetime("us", "UTC"))
    return days.replace_strict(distinct, instants, return_dtype=instants.dtype)


def local_date(column: str, timezone: str) -> pl.Expr:
    """The date in ``timezone`` of an instant that is told as text."""
    return pl.col(column).str.to_datetime(ISO_UTC, time_zone="UTC").dt.convert_time_zone(timezone).dt.date()


def to_records(frame: pl.DataFrame, constants: Record) -> Iterator[Record]:
    """The rows of ``frame``, each completed by the values that all of them share."""
    for row in frame.iter_rows(named=True):
        yield constants | row
