"""What a sync of an Airbyte connection is, whoever carries it out. Does not belong here: how."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.core.audit import Fault
from bentleybot_assets.warehouse.base import Warehouse


def not_configured(connection: str) -> str:
    """What to tell of a connection that the deployment does not have."""
    return (
        f"bentleybot.yaml has no connection {connection}, so nothing is read for it. To have it read, add an entry "
        f"`{connection}` to its `connections`."
    )


class SyncError(Exception):
    """A connection could not be read. The message names connection, stream and what the source said."""


@dataclass
class StreamResult:
    """What a sync brought for one stream.

    Attributes:
        records: committed records.
        first, last: smallest and largest committed cursor value; None without records.
        versions: source to source version of the committed records; where they have several, the last in order.
        undeclared: fields that the source declares or delivers and the contract has no column for; they were kept in
            ``extra``.
        state: the stream's newest STATE.
        faults: why the delivery that ended the sync was refused; empty if none was.
        failure: why the stream could not be read to its end; None if it was. Then what was still to be committed of it
            was not, and its STATE is the committed one.
    """

    records: int = 0
    first: Any = None
    last: Any = None
    versions: dict[str, str] = field(default_factory=dict)
    undeclared: set[str] = field(default_factory=set)
    state: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was refused."""
        return not self.faults

    @property
    def problems(self) -> Mapping[str, str]:
        """Parts of the stream (a symbol, an institution, a feed) that the source left out, and why."""
        return self.state.get("problems", {})  # type: ignore[no-any-return]

    @property
    def new_fields(self) -> Mapping[str, Sequence[str]]:
        """Part to fields that it did not have before, which the source put into ``extra`` itself."""
        return self.state.get("new_fields", {})  # type: ignore[no-any-return]

    def add(self, frame: pl.DataFrame, cursor: str | None) -> None:
        """Count a committed frame in."""
        self.records += frame.height
        if frame.is_empty():
            return
        if cursor is not None:
            self.first = min(value for value in (self.first, frame[cursor].min()) if value is not None)
            self.last = max(value for value in (self.last, frame[cursor].max()) if value is not None)
        for source, version in frame.select("source", "source_version").unique().iter_rows():
            self.versions[source] = max(version, self.versions.get(source, version))


@dataclass
class SyncResult:
    """What a sync did.

    Attributes:
        deliveries: how many were committed; none if nothing was new.
        streams: each stream's part.
        more: what else is worth telling of it, as metadata.
    """

    deliveries: int
    streams: dict[str, StreamResult]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no delivery was refused."""
        return all(stream.passed for stream in self.streams.values())


class Airbyte(ABC):
    """Reads the connections of this deployment."""

    @abstractmethod
    def has(self, connection: str) -> bool:
        """Whether the deployment has such a connection at all."""

    @abstractmethod
    def mode(self, connection: str) -> str | None:
        """What the settings have a connection read: ``sample``, or real data; None if they do not say."""

    @abstractmethod
    def sync(
        self,
        connection: str,
        streams: Mapping[str, type[RawContract]],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """Read what is new in the given streams since the last committed STATE, and commit it to the raw log.

        A stream that cannot be read does not keep the others from being read and committed: why is in the result. If a
        frame breaks its contract, nothing of its delivery is committed, the STATE stays where it was and the sync ends:
        the faults are in the result. A sync that finds nothing new commits nothing.

        Args:
            connection: its name.
            streams: the streams to read (others keep their STATE), and the contract of each one's raw table.
            warehouse: where the log and the STATE are.
            log: told how far it is, and of warnings and errors of the source.

        Raises:
            SyncError: the connection is unknown or misconfigured, a stream is not there, or the source failed as a
                whole.
        """

    @abstractmethod
    def check(self, connection: str) -> str | None:
        """Ask whether a connection could be read; None if so, otherwise what is wrong."""
