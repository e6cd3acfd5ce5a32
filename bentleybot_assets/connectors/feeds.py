"""What all sources share with what they read from: records, marks of how far was read, and the two kinds of trouble.

Belongs here: the interface between a source's streams and its feeds. Does not belong here: the protocol
(``streams``), where anything comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]
"""One record of a stream: column name to JSON value."""

Mark = Mapping[str, Any]
"""How far a part of a stream was read: its cursor value, and what the feed needs to go on from there."""

Read = Callable[[str, Mark | None], tuple[Iterable[Record], Mark | None]]
"""Reads a part (a symbol, an institution, a feed) of a stream.

Takes the part and the mark of having read it, None if it never was. Returns the records after the mark, oldest first,
and the new mark; None where there still is nothing to mark. Raises :class:`ConfigError` or :class:`TransientError`
about this part alone, :class:`UnavailableError` if no part can be read now. The records may end in an
:class:`IncompleteError`.
"""


class ConfigError(Exception):
    """The configuration asks for what the feed does not have; the message names it and the fix."""


class TransientError(Exception):
    """The feed cannot answer now; the same request may succeed later."""


class UnavailableError(TransientError):
    """The feed does not answer at all: it makes no sense to ask it for anything else."""


class IncompleteError(ConfigError):
    """Something of a part cannot be read; the records before this error are all the rest, up to ``mark``."""

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.mark = mark


def iso(instant: datetime) -> str:
    """An aware instant as the protocol's text, UTC; seconds are the finest that sources tell."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
