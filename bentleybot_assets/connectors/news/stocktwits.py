"""Posts about symbols at StockTwits (``stocktwits.yaml``): from its fields to the stream's columns.

A post is told once, as it is when it is first read; likes that it gets later are not told. A symbol that cannot be read
costs the others nothing: why is reported, and the next read tries it again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, TransientError, UnavailableError, iso
from bentleybot_assets.connectors.manifests import Manifest
from bentleybot_assets.connectors.news.feed import NewsContract, fitted
from bentleybot_assets.connectors.news.polled import PolledFeed
from bentleybot_assets.connectors.patience import Patience
from bentleybot_assets.connectors.payloads import Payload
from bentleybot_assets.contracts.raw.news import STANCES, SocialPosts

_MANIFEST = Manifest(__package__, "stocktwits.yaml")

_AFTER_ALL = 2**53
"""Number of a post that will never be."""


class StockTwitsFeed(PolledFeed):
    """The posts about some symbols."""

    SETTINGS: Mapping[str, Mapping[str, Any]] = _MANIFEST.settings
    REQUIRED: tuple[str, ...] = _MANIFEST.required
    contract: NewsContract = SocialPosts
    source = "stocktwits/symbol"
    source_version = "2"

    def ask(self, mark: Mark | None, now: datetime) -> tuple[list[Record], Mark, str | None]:
        """See :class:`PolledFeed`. The mark is the newest post of each symbol; a new symbol has its history read.

        Raises:
            ConfigError: no symbol can be read.
            TransientError: the same, and the last one may be read later.
        """
        newest: dict[str, int] = dict((mark or {}).get("newest", {}))
        posts: dict[int, Record] = {}
        read: set[str] = set()
        problems: list[ConfigError | TransientError] = []
        patience = Patience("StockTwits", attempts=1)  # the manifest asks again
        for symbol in self.entry["symbols"]:
            since = newest.get(symbol)
            try:
                found = patience.ask(functools.partial(self._posts, symbol, since, now))
            except UnavailableError as problem:
                left = f"{symbol} and what comes after it in `symbols` is left to the next sync."
                problems.append(UnavailableError(f"{problem} {left}"))
                break
            except (ConfigError, TransientError) as problem:
                problems.append(problem)
            else:
                read.add(symbol)
                newest[symbol] = max((identity for identity, _ in found), default=since or 0)
                # A post about two symbols is one post.
                posts = {identity: record for identity, record in found if record is not None} | posts
        lost = " ".join(map(str, problems)) or None
        if lost is not None and not read:
            raise type(problems[-1])(lost)
        return [posts[identity] for identity in sorted(posts)], {"newest": newest}, lost

    def probe(self, now: datetime) -> None:
        """See :class:`PolledFeed`. Asks for posts after all there are."""
        for symbol in self.entry["symbols"]:
            self._messages(symbol, _AFTER_ALL, now)

    def _posts(self, symbol: str, since: int | None, now: datetime) -> list[tuple[int, Record | None]]:
        """Number and record of each post after ``since``; no record of one that is too old to be told."""
        default = _MANIFEST.settings["history_days"]["default"]
        of_history = max(now - timedelta(days=self.entry.get("history_days", default)), self.start)
        oldest = of_history if since is None else self.start
        found: list[tuple[int, Record | None]] = []
        for message in self._messages(symbol, since, oldest):
            post = Payload(message, f"StockTwits messages of {symbol}")
            published_at = post.instant("created_at")
            record = None
            if published_at >= oldest:
                record = self.delivered(_record(post, published_at), published_at, now, is_history=since is None)
            found.append((int(post.number("id")), record))
        return found

    def _messages(self, symbol: str, since: int | None, oldest: datetime) -> list[Record]:
        asked = {"symbol": symbol, "since": "" if since is None else since, "oldest": iso(oldest)}
        return _MANIFEST.read("messages", {**self.entry, **asked})


def _record(post: Payload, published_at: datetime) -> Record:
    user = post.inner("user", optional=True)
    user.ignore("avatar_url", "avatar_url_ssl")
    sentiment = post.inner("entities", optional=True).inner("sentiment", optional=True)
    stance = (sentiment.text("basic", optional=True) or "").lower()
    if stance not in STANCES:
        sentiment.keep("basic")
    likes = post.inner("likes", optional=True)
    likes.ignore("user_ids")  # who liked it is nobody's business
    symbols = [symbol.text("symbol") for symbol in post.list("symbols", optional=True)]
    columns = {
        "post": post.text("id"),
        "author": user.text("username", optional=True),
        "body": post.text("body", optional=True),
        "symbols": json.dumps(symbols) if symbols else None,
        "stance": stance if stance in STANCES else None,
        "likes": likes.number("total", optional=True),
        "published_at": iso(published_at),
    }
    return fitted({**dict.fromkeys(SocialPosts.polars_schema()), **columns}, post.rest(), SocialPosts)
