"""Articles that NewsAPI finds (``newsapi.yaml``): from its fields to the stream's columns.

The last days are asked for again, because the free plan tells an article a day after it was published; an article that
was told and has not changed is not told again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bentleybot_assets.connectors.feeds import Mark, Record, iso
from bentleybot_assets.connectors.manifests import Manifest
from bentleybot_assets.connectors.news.feed import NewsContract, fitted, news_since, short_key
from bentleybot_assets.connectors.news.polled import PolledFeed
from bentleybot_assets.connectors.payloads import Payload
from bentleybot_assets.contracts.raw.news import Articles

_MANIFEST = Manifest(__package__, "newsapi.yaml")

_RELOOK = timedelta(days=3)
"""How far back of the last read articles are asked for again."""

_REMOVED = "https://removed.com"
"""Address that all articles have which NewsAPI took down; they say nothing."""

_logger = logging.getLogger("airbyte.news")


class NewsApiFeed(PolledFeed):
    """A search at NewsAPI."""

    SETTINGS: Mapping[str, Mapping[str, Any]] = _MANIFEST.settings
    REQUIRED: tuple[str, ...] = _MANIFEST.required
    contract: NewsContract = Articles
    source = "newsapi/everything"
    source_version = "v2"

    def ask(self, mark: Mark | None, now: datetime) -> tuple[list[Record], Mark, None]:
        """See :class:`PolledFeed`."""
        if mark is None:
            default = _MANIFEST.settings["history_days"]["default"]
            first = now - timedelta(days=self.entry.get("history_days", default))
        else:
            first = datetime.fromisoformat(mark["fetched_at"]) - _RELOOK
        first = max(first, self.start)
        articles = {}
        taken_down = 0
        for position, found in enumerate(_MANIFEST.read("everything", {**self.entry, "from": iso(first)})):
            article = Payload(found, f"NewsAPI articles[{position}]")
            if found.get("url") == _REMOVED:
                taken_down += 1
                continue
            published_at = article.instant("publishedAt")
            record = self._record(article, published_at)
            articles[record["article"]] = self.delivered(record, published_at, now, is_history=mark is None)
        if taken_down:
            _logger.info("Feed %s: %d articles were taken down; they are left out.", self.name, taken_down)
        news, told = news_since((mark or {}).get("told", {}), articles.values(), Articles)
        return sorted(news, key=lambda record: record["event_at"]), {"told": told}, None

    def probe(self, now: datetime) -> None:
        """See :class:`PolledFeed`. Asks for articles of the future."""
        _MANIFEST.read("everything", {**self.entry, "from": iso(now)})

    def _record(self, article: Payload, published_at: datetime) -> Record:
        url = article.text("url")
        columns = {
            "article": short_key(url),
            "publisher": article.inner("source", optional=True).text("name", optional=True),
            "url": url,
            "title": article.text("title", optional=True),
            "summary": article.text("description", optional=True),
            "author": article.text("author", optional=True),
            "language": self.entry.get("language"),
            "published_at": iso(published_at),
        }
        article.ignore("urlToImage")
        return fitted({**dict.fromkeys(Articles.polars_schema()), **columns}, article.rest(), Articles)
