"""Feeds that are asked through an API by a manifest: when they are read, and what all their records share.

What is told in the first read is history: it counts as known since it was published. Whatever appears later was first
seen when it was fetched.

Does not belong here: any API (a module per kind).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar

from bentleybot_assets.connectors.feeds import IncompleteError, Mark, Record, iso
from bentleybot_assets.connectors.news.feed import NewsContract, named
from bentleybot_assets.connectors.polling import ending_in, is_before_last_read

_logger = logging.getLogger("airbyte.news")


class PolledFeed(ABC):
    """Base of the kinds that ask an API. See :class:`~bentleybot_assets.connectors.news.feed.ConfiguredFeed`.

    Attributes:
        source: says where records come from.
        source_version: version of the API.
    """

    contract: NewsContract
    source: ClassVar[str]
    source_version: ClassVar[str]

    def __init__(self, entry: Mapping[str, Any], start_date: date, clock: Callable[[], datetime]) -> None:
        self.name: str = entry["name"]
        self.entry = entry
        self.start = datetime.combine(start_date, time(), UTC)
        self._clock = clock

    @abstractmethod
    def ask(self, mark: Mark | None, now: datetime) -> tuple[list[Record], Mark, str | None]:
        """The records after ``mark``, oldest first; the new mark; and what could not be read, None if all could.

        The mark may leave out when the feed was read.
        """

    @abstractmethod
    def probe(self, now: datetime) -> None:
        """Ask the API for as little as possible, to see whether it answers."""

    def check(self) -> None:
        """See :class:`~bentleybot_assets.connectors.news.feed.Feed`."""
        with named(f"Feed {self.name}"):
            self.probe(self._clock())

    def read(self, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`~bentleybot_assets.connectors.news.feed.Feed`."""
        now = self._clock()
        if is_before_last_read(now, mark, f"Feed {self.name}", _logger):
            return (), mark
        with named(f"Feed {self.name}"):
            records, news, lost = self.ask(mark, now)
        new_mark = {**news, "fetched_at": iso(now)}
        if lost is None:
            return records, new_mark
        return ending_in(IncompleteError(f"Feed {self.name}: {lost}", new_mark), records), new_mark

    def delivered(self, record: Record, published_at: datetime, now: datetime, *, is_history: bool) -> Record:
        """The record with the columns of its delivery."""
        is_modelled = is_history and published_at <= now
        return record | {
            "feed": self.name,
            "event_at": iso(min(published_at, now)),
            "available_at": iso(published_at if is_modelled else now),
            "is_modelled": is_modelled,
            "fetched_at": iso(now),
            "source": self.source,
            "source_version": self.source_version,
        }
