"""What the kinds of feed share: the interface they offer, and which records are news since the last read.

Does not belong here: where articles and posts come from.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Protocol

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, TransientError
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts

NewsContract = type[Articles] | type[SocialPosts]

MAX_SHORT_TEXT = 255
"""Characters of a text whose column is not declared long."""


class Feed(Protocol):
    """Something that articles or posts are read from.

    Attributes:
        name: what the settings call it.
        contract: of the stream that it feeds.
    """

    name: str
    contract: NewsContract

    def check(self) -> None:
        """Raise ConfigError or TransientError if the feed cannot be read."""
        ...

    def read(self, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """As :data:`bentleybot_assets.connectors.feeds.Read` of this feed."""
        ...


class ConfiguredFeed(Feed, Protocol):
    """An entry of the settings; a class of it is a kind of feed.

    Args:
        entry: the entry: ``name`` and the kind's settings.
        start_date: what says that it was published before is left out.
        clock: the present, timezone-aware.

    Attributes:
        SETTINGS: JSON schema of each setting.
        REQUIRED: settings that must be given.
    """

    SETTINGS: Mapping[str, Mapping[str, Any]]
    REQUIRED: tuple[str, ...]

    def __init__(self, entry: Mapping[str, Any], start_date: date, clock: Callable[[], datetime]) -> None: ...


@contextmanager
def named(feed: str) -> Iterator[None]:
    """Say which feed it is that has a problem."""
    try:
        yield
    except (ConfigError, TransientError) as problem:
        raise type(problem)(f"{feed}: {problem}") from problem


def news_since(
    told: Mapping[str, str], records: Iterable[Record], contract: NewsContract
) -> tuple[list[Record], dict[str, str]]:
    """The records that are new or say something else than when they were told, and what has been told after them.

    What is remembered is bounded by what ``records`` has: something that the feed no longer shows is forgotten.

    Args:
        told: a record's natural key to a hash of what it said, as this function returned it.
        records: all that the feed shows now, one per natural key.
        contract: theirs.
    """
    key = contract.rules().grain[1]
    hashes = {}
    news = []
    for record in records:
        hashes[record[key]] = said = _hash(record)
        if told.get(record[key]) != said:
            news.append(record)
    return news, hashes


def fitted(record: Record, extra: Mapping[str, Any], contract: NewsContract) -> Record:
    """The record with ``extra`` as text; a text that is longer than its column goes there, rather than being cut."""
    short = _short_texts(contract)
    too_long = {name: record[name] for name in short if len(record[name] or "") > MAX_SHORT_TEXT}
    kept = {**extra, **too_long}
    return {
        **record,
        **dict.fromkeys(too_long),
        "extra": json.dumps(kept, ensure_ascii=False, sort_keys=True) if kept else None,
    }


def short_key(key: str) -> str:
    """A natural key that fits its column: a longer one is replaced by its hash."""
    return key if len(key) <= MAX_SHORT_TEXT else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _hash(record: Record) -> str:
    """Of what the record says, apart from when and how that was learnt."""
    about_delivery = RawContract.polars_schema().keys() - {"extra"}
    said = {name: value for name, value in record.items() if name not in about_delivery}
    text = json.dumps(said, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _short_texts(contract: NewsContract) -> tuple[str, ...]:
    """Columns of short text that may be null."""
    columns = contract.to_schema().columns
    return tuple(
        name
        for name, declared in columns.items()
        if str(declared.dtype) == "String" and declared.nullable and not (declared.metadata or {}).get("long")
    )
