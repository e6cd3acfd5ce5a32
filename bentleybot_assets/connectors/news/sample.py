"""Invented articles and posts for a desk without feeds: written for this project, about nothing that happened.

They are about companies of the sample's watchlist because the desk follows those, in the weeks up to the sample's last
session. They have what real feeds have, too: the same story twice in other words, companies of almost the same name,
tickers that are words, other languages, corrections.

Nobody saw them arrive, so ``available_at`` is when they say they were published or changed, and ``fetched_at`` is the
instant at which the sample ends: the log is the same on every machine and every day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from bentleybot_assets.connectors.feeds import Mark, Record, iso
from bentleybot_assets.connectors.news.feed import NewsContract
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts
from bentleybot_assets.contracts.sessions import DATA_DELAY, close_at

LABEL = "bentleybot sample headlines (invented)"
"""Publisher and source of all that is here, so that whoever sees it reads what it is."""

_LAST_SESSION = date(2022, 12, 28)
_VERSION = "1"
_FOLDER = Path(__file__).with_name("sample_feeds")


class SampleFeed:
    """An invented feed: a file with a record per line, in the order of publication.

    Args:
        name: of feed and file.
        contract: of the stream that it feeds.
        start_date: what was published before is left out.
    """

    def __init__(self, name: str, contract: NewsContract, start_date: date) -> None:
        self.name = name
        self.contract = contract
        self._start = f"{start_date.isoformat()}T00:00:00Z"

    def check(self) -> None:
        """See :class:`Feed`. The file is part of the package."""

    def read(self, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. The mark is when the last record was published."""
        after = mark["published_at"] if mark is not None else ""
        records = [
            record
            for record in self._records()
            if self._start <= record["published_at"] and after < record["published_at"]
        ]
        return records, {"published_at": records[-1]["published_at"]} if records else mark

    def _records(self) -> list[Record]:
        lines = (_FOLDER / f"{self.name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [self._record(json.loads(line)) for line in lines]

    def _record(self, told: Record) -> Record:
        texts: Record = {name: json.dumps(told[name]) for name in ("tags", "symbols") if name in told}
        known_at = told.get("updated_at", told["published_at"])
        publisher = {"publisher": LABEL} if self.contract is Articles else {}
        return {
            **dict.fromkeys(self.contract.polars_schema()),
            **publisher,
            **told,
            **texts,
            "feed": self.name,
            "event_at": told["published_at"],
            "available_at": known_at,
            "is_modelled": True,
            "fetched_at": iso(close_at(_LAST_SESSION) + DATA_DELAY),
            "source": LABEL,
            "source_version": _VERSION,
        }


def sample_feeds(start_date: date) -> list[SampleFeed]:
    """All there are."""
    return [
        SampleFeed("sample_wire", Articles, start_date),
        SampleFeed("sample_journal", Articles, start_date),
        SampleFeed("sample_posts", SocialPosts, start_date),
    ]
