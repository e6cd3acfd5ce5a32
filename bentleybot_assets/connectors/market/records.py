"""What the two modes of the source share: the interface they offer and the instants of their records.

Does not belong here: where prices come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import time
from typing import Protocol

import polars as pl

from bentleybot_assets.connectors.feeds import Mark, Record
from bentleybot_assets.contracts.sessions import DATA_DELAY, EXCHANGE_TIMEZONE, close_at

_OPEN = time(9, 30)
_ISO = "%Y-%m-%dT%H:%M:%SZ"


class Feed(Protocol):
    """A mode of the source.

    The two reading methods return a symbol's records after ``mark``, oldest first, and the mark of having
    read them. ``mark`` is None for a symbol that was never read; they return None where there still is
    nothing to mark.
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols to read, in a fixed order."""
        ...

    def check(self) -> None:
        """Raise ConfigError or TransientError if the feed cannot deliver."""
        ...

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``daily_bars`` stream."""
        ...

    def corporate_actions(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """Records of the ``corporate_actions`` stream."""
        ...


def bar_times(sessions: pl.Series) -> pl.DataFrame:
    """``event_at`` (the close) and ``available_at`` (the publication rule) of each session, as texts."""
    days = sessions.unique()
    closes = pl.Series([close_at(day) for day in days], dtype=pl.Datetime("us", "UTC"))
    times = pl.DataFrame(
        {
            "day": days,
            "event_at": closes.dt.strftime(_ISO),
            "available_at": (closes + DATA_DELAY).dt.strftime(_ISO),
        }
    )
    return sessions.to_frame("day").join(times, on="day", how="left", maintain_order="left").drop("day")


def action_times(ex_dates: pl.Series) -> pl.DataFrame:
    """``event_at`` (the open of the ex-date) and ``available_at`` of each action, as texts.

    Actions are announced weeks earlier, but no source here dates that: one counts as known with its session's
    bar.
    """
    opens = ex_dates.dt.combine(_OPEN).dt.replace_time_zone(EXCHANGE_TIMEZONE).dt.convert_time_zone("UTC")
    return bar_times(ex_dates).with_columns(event_at=opens.dt.strftime(_ISO))


def to_records(frame: pl.DataFrame, constants: Record) -> Iterator[Record]:
    """The rows of ``frame``, each completed by the values that all of them share."""
    for row in frame.iter_rows(named=True):
        yield constants | row
