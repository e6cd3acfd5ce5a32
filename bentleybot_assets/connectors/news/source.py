"""The Airbyte source ``news``: its configuration and its streams.

Belongs here: the protocol, and which kinds of feed there are. Does not belong here: where articles and posts come from
(``sample`` and a module per kind).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream

from bentleybot_assets.connectors.feeds import ConfigError, TransientError
from bentleybot_assets.connectors.news.feed import ConfiguredFeed, Feed, NewsContract
from bentleybot_assets.connectors.news.fetch import FeedClient
from bentleybot_assets.connectors.news.newsapi import NewsApiFeed
from bentleybot_assets.connectors.news.rss import RssFeed
from bentleybot_assets.connectors.news.sample import sample_feeds
from bentleybot_assets.connectors.news.stocktwits import StockTwitsFeed
from bentleybot_assets.connectors.specification import entry_schema, start_date, start_date_schema
from bentleybot_assets.connectors.streams import PartedStream, traced
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts

_MODES = ("sample", "feeds")

KINDS: Mapping[str, type[ConfiguredFeed | RssFeed]] = {
    "rss": RssFeed,
    "newsapi": NewsApiFeed,
    "stocktwits": StockTwitsFeed,
}
"""What a feed can be: the ``kind`` of an entry to its class."""


_NAME = "What you call the feed. Its records carry this name: another name is another feed."

_SPECIFICATION: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "News",
    "type": "object",
    "required": ["mode"],
    "additionalProperties": False,
    "properties": {
        "mode": {
            "type": "string",
            "enum": list(_MODES),
            "title": "Mode",
            "description": "sample: invented headlines and posts, offline. feeds: those listed below.",
            "order": 0,
        },
        "feeds": {
            "type": "array",
            "items": {
                "type": "object",
                "oneOf": [entry_schema(kind, feed.SETTINGS, feed.REQUIRED, _NAME) for kind, feed in KINDS.items()],
            },
            "title": "Feeds",
            "description": "Mode feeds only: what to read; at least one.",
            "default": [],
            "order": 1,
        },
        "start_date": start_date_schema("What says that it was published before is left out.", order=2),
        "allowed_private_hosts": {
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": True,
            "title": "Private hosts",
            "description": "Servers of your own, by name or address, that feeds may be on although they are not on "
            "the public internet.",
            "default": [],
            "order": 3,
        },
    },
}


class NewsSource(AbstractSource):
    """Articles and social posts of the configured feeds.

    Args:
        clock: the present, timezone-aware. Records of feeds carry it as ``fetched_at``; the sample's do not.
        client: makes the client that fetches feeds, given the private hosts that it may ask.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        client: Callable[[Sequence[str]], FeedClient] = FeedClient,
    ) -> None:
        self._clock = clock
        self._client = client

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - the cdk's signature
        """The configuration's JSON schema."""
        return ConnectorSpecification(connectionSpecification=_SPECIFICATION)

    def check_connection(
        self,
        logger: logging.Logger,  # noqa: ARG002 - the cdk's signature
        config: Mapping[str, Any],
    ) -> tuple[bool, str | None]:
        """Whether every feed can be read now; otherwise what is wrong with those that cannot."""
        problems = []
        try:
            feeds = self._feeds(config)
        except ConfigError as problem:
            return False, str(problem)
        for feed in feeds:
            try:
                feed.check()
            except (ConfigError, TransientError) as problem:
                problems.append(str(problem))
        return not problems, " ".join(problems) or None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        """Both streams; a part of one is a feed."""
        with traced():
            feeds = self._feeds(config)
        kept = {"mode": config["mode"], "start_date": start_date(config).isoformat()}
        return [_stream(contract, feeds, kept) for contract in (Articles, SocialPosts)]

    def _feeds(self, config: Mapping[str, Any]) -> Sequence[Feed]:
        start, mode, entries = start_date(config), config.get("mode"), config.get("feeds", [])
        if mode == "sample":
            if entries:
                raise ConfigError("Mode sample reads no `feeds`. Set `mode: feeds`, or take them out.")
            return sample_feeds(start)
        if mode != "feeds":
            raise ConfigError(f"`mode` is {mode!r}. Set it to {' or '.join(_MODES)}.")
        if not entries:
            raise ConfigError("Mode feeds needs feeds to read. List at least one in `feeds`.")
        if twice := [name for name, times in Counter(entry["name"] for entry in entries).items() if times > 1]:
            raise ConfigError(f"`feeds` has {twice[0]} more than once. Give each feed a name of its own.")
        client = self._client(config.get("allowed_private_hosts", ()))
        return [self._feed(entry, start, client) for entry in entries]

    def _feed(self, entry: Mapping[str, Any], start: date, client: FeedClient) -> Feed:
        kind = KINDS.get(entry["kind"])
        if kind is None:
            raise ConfigError(f"Feed {entry['name']}: `kind` is {entry['kind']!r}. Set it to {' or '.join(KINDS)}.")
        if issubclass(kind, RssFeed):
            return kind(entry, start, self._clock, client=client)
        return kind(entry, start, self._clock)


def _stream(contract: NewsContract, feeds: Sequence[Feed], kept: Mapping[str, str]) -> PartedStream:
    by_name = {feed.name: feed for feed in feeds if feed.contract is contract}
    return PartedStream(contract, "fetched_at", tuple(by_name), lambda part, mark: by_name[part].read(mark), **kept)
