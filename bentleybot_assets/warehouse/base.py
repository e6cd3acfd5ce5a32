"""The interface every warehouse offers. Does not belong here: any engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import polars as pl

from bentleybot_assets.contracts._base import Contract


class MissingTableError(LookupError):
    """A table was never published."""

    def __init__(self, contract: type[Contract], where: str) -> None:
        super().__init__(
            f"Table {'/'.join(contract.asset_key())} was never published in {where}. `bentleybot run` publishes it, "
            "and what it is made from."
        )


class SchemaMismatchError(RuntimeError):
    """A table is not that of its contract, in a way that is not mended without being told to."""


def names_a_session(sessions: Collection[date]) -> pl.Expr:
    """Whether a quarantined row's key is of one of ``sessions``."""
    return pl.col("row_key").str.extract(r"session=([0-9-]+)").is_in([day.isoformat() for day in sessions])


class Warehouse(Protocol):
    """Where tables live. Frames are already audited; readers see whole versions only and wait for no writer's work.

    ``sessions`` names the slices of a table that is partitioned by session; without it the whole table is meant.
    """

    def read(
        self,
        contract: type[Contract],
        sessions: Collection[date] | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The table or its slices, sorted by its grain (a log: in order of delivery).

        Args:
            contract: whose table.
            sessions: only these slices.
            columns: only these columns, in this order; None means all.

        Raises:
            MissingTableError: it was never published; the message says how to publish it.
        """
        ...

    def scan(self, contract: type[Contract]) -> pl.LazyFrame:
        """The table for a reader that needs some rows or columns only; to be collected soon.

        Raises:
            MissingTableError: as for :meth:`read`.
        """
        ...

    def row_count(self, contract: type[Contract], sessions: Collection[date] | None = None) -> int | None:
        """Rows published, or None where nothing ever was."""
        ...

    def newest_session(self, contract: type[Contract]) -> date | None:
        """The last of the table's column ``session``; None if it has no rows, or was never published."""
        ...

    def location(self, contract: type[Contract]) -> str:
        """Where the table lies, or would, for people and other tools."""
        ...

    def publish(self, contract: type[Contract], frame: pl.DataFrame, sessions: Collection[date] | None = None) -> None:
        """Replace the table, or those slices of it, by ``frame`` in one atomic step."""
        ...

    def quarantine(
        self, contract: type[Contract], rows: pl.DataFrame, sessions: Collection[date] | None = None
    ) -> None:
        """Replace the table's (or slices') quarantined rows by ``rows`` (columns of ``core.audit.QUARANTINE``)."""
        ...

    def read_quarantine(self, contract: type[Contract]) -> pl.DataFrame:
        """The rows set aside when the table was last published; empty if none were."""
        ...

    def append_delivery(
        self, connection: str, records: Mapping[type[Contract], pl.DataFrame], state: Mapping[str, Any]
    ) -> int:
        """Commit one delivery of a connection, its records and its STATE together; returns its number."""
        ...

    def connection_state(self, connection: str) -> dict[str, Any]:
        """The STATE of the newest delivery; empty if there is none."""
        ...
