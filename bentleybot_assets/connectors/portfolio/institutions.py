"""What all kinds of institution share: the interface they offer, and the knowledge time of their records.

Does not belong here: where a kind's records come from (a module per kind).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Protocol

import polars as pl

from bentleybot_assets.connectors.feeds import Mark, Record, iso
from bentleybot_assets.contracts.raw._base import RawContract

PUBLICATION_DELAY = timedelta(days=1)
"""Publication rule of history: what an institution tells is known a day after it was true or, of a transaction, was
posted. What is dated by the day alone is taken from the day's beginning, a balance or position from its end."""

_MAX_SHORT_TEXT = 255
"""Characters of a text whose column is not declared long."""

_IDENTITIES = ("account", "security", "transaction")
"""Columns by which records are told apart and found again."""


class Institution(Protocol):
    """One entry of ``institutions``, read through its kind.

    Args:
        settings: the entry: ``name``, ``kind`` and what SETTINGS declares.
        start: nothing that happened before this day is read.
        clock: the present, timezone-aware.

    Attributes:
        SETTINGS: JSON schema of each setting of the kind; of secret ones with ``airbyte_secret``.
        REQUIRED: settings that an entry must have.
    """

    SETTINGS: ClassVar[Mapping[str, Mapping[str, Any]]]
    REQUIRED: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None: ...

    def check(self) -> None:
        """Raise ConfigError or TransientError if the institution cannot be read."""
        ...

    def read(self, contract: type[RawContract], mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """As :data:`~bentleybot_assets.connectors.feeds.Read`, of the stream of a contract of ``portfolio``."""
        ...


def record(contract: type[RawContract], extra: Mapping[str, Any], **content: Any) -> Record:
    """A record of ``contract``, in the order of its columns, with null for each that ``content`` leaves out.

    A text that is longer than its column is kept whole in ``extra``, under the column's name. The column is then null;
    one that says which account, security or transaction is meant has a hash of the text.

    Args:
        contract: of the stream.
        extra: what was delivered and has no column.
        **content: column to JSON value.

    Raises:
        TypeError: ``content`` has what is no column.
    """
    columns = dict.fromkeys(contract.polars_schema())
    if unknown := content.keys() - columns.keys():
        raise TypeError(f"{contract.__name__} has no column {', '.join(sorted(unknown))}.")
    too_long = {
        name: content[name]
        for name in _short_texts(contract) & content.keys()
        if len(content[name] or "") > _MAX_SHORT_TEXT
    }
    instead = {name: _hash(text) if name in _IDENTITIES else None for name, text in too_long.items()}
    kept = {**extra, **too_long}
    said = json.dumps(kept, ensure_ascii=False, sort_keys=True) if kept else None
    return {**columns, **content, **instead, "extra": said}


@functools.cache
def _short_texts(contract: type[RawContract]) -> frozenset[str]:
    """Columns whose texts must be short."""
    return frozenset(
        name
        for name, declared in contract.to_schema().columns.items()
        if declared.dtype.type == pl.String and not (declared.metadata or {}).get("long")
    )


def _hash(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def knowledge_time(
    event_at: datetime, fetched_at: datetime, *, is_history: bool, posted_at: datetime | None = None
) -> Record:
    """The columns that say when something was true and known.

    Nothing is known before it was true: what is dated later than it was fetched (the day is not over, or the
    institution dates ahead) is true as far as it is known, when it was fetched.

    Args:
        event_at: when it was true.
        fetched_at: when it was fetched.
        is_history: it was told in the first read of an institution, so that nobody here saw it arrive. What is not
            older than the publication rule was seen all the same.
        posted_at: when the institution posted it, if that may be later.
    """
    published_at = max(event_at, posted_at or event_at) + PUBLICATION_DELAY
    is_modelled = is_history and published_at < fetched_at
    return {
        "event_at": iso(min(event_at, fetched_at)),
        "available_at": iso(published_at if is_modelled else fetched_at),
        "is_modelled": is_modelled,
        "fetched_at": iso(fetched_at),
    }
