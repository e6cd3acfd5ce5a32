"""Gathers what a sync reads, and commits it to the raw log delivery by delivery: records and STATE together.

Does not belong here: where records come from (``embedded``, ``server``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import polars as pl

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.base import StreamResult, SyncError, SyncResult
from bentleybot_assets.resources.airbyte.drift import faults_of, new_fields
from bentleybot_assets.resources.airbyte.records import MalformedRecordsError, normalise
from bentleybot_assets.warehouse.base import Warehouse

DELIVERY_RECORDS = 50_000
"""Records after which the next STATE closes a delivery: enough for columns to pay, few enough for memory."""

PROGRESS_SECONDS = 10
"""How often a sync says how far it is."""


class Deliveries:
    """The deliveries of one sync.

    Args:
        connection: whose.
        streams: stream to the contract of its raw table.
        cursors: stream to its cursor column, for those that have one.
        warehouse: where log and STATE are.
        log: told about each delivery, and about progress in between.

    Attributes:
        state: stream to its newest STATE, committed or not.
        result: what was committed so far, and the faults if a delivery was refused.
    """

    def __init__(
        self,
        connection: str,
        streams: Mapping[str, type[RawContract]],
        cursors: Mapping[str, str],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._cursors = cursors
        self._warehouse = warehouse
        self._log = log
        self._pending: dict[str, list[dict[str, Any]]] = {name: [] for name in streams}
        self._told_at = time.monotonic()
        self.state: dict[str, Any] = warehouse.connection_state(connection)
        self._committed = dict(self.state)
        self._parts = self._parts_read()
        self.result = SyncResult(0, {name: StreamResult() for name in streams})

    def expect(self, stream: str, offered: Mapping[str, Any]) -> None:
        """Note how the source declares a stream: fields it has beyond the contract's are reported.

        Raises:
            SyncError: it has not all of them, or as other types.
        """
        contract = self._streams[stream]
        if faults := faults_of(contract, offered):
            raise SyncError(
                f"{self._connection}, stream {stream}: {'; '.join(faults)}. Mend the source, or change what "
                f"{'/'.join(contract.asset_key())} declares."
            )
        self._report_undeclared(stream, new_fields(contract, offered))

    def add(self, stream: str, record: dict[str, Any]) -> None:
        """Keep a record until its delivery is committed."""
        self._pending[stream].append(record)

    def reach(self, stream: str, state: dict[str, Any]) -> bool:
        """Note a STATE: all its records were added. Commits if enough is pending; False if that was refused."""
        self.state[stream] = state
        if sum(map(len, self._pending.values())) >= DELIVERY_RECORDS:
            return self._commit(self._streams_with_records())
        self._tell_progress(stream)
        return True

    def fail(self, stream: str, why: str) -> None:
        """Note that a stream could not be read to its end: what is pending of it is dropped, its STATE goes back."""
        self._pending[stream] = []
        self.state.pop(stream, None)
        if stream in self._committed:
            self.state[stream] = self._committed[stream]
        self.result.streams[stream].failure = why

    def finish(self) -> SyncResult:
        """Commit the rest. A stream that was read and never had a record gets an empty table, so that it can be read.

        A STATE that tells of a part for the first time is committed without a record, too: what comes of that part
        later is then seen as it comes, not taken for history.
        """
        never = {
            name
            for name, contract in self._streams.items()
            if self.result.streams[name].failure is None and self._warehouse.row_count(contract) is None
        }
        due = self._streams_with_records() | never
        if due or self._parts_read() - self._parts:
            self._commit(due)
        for name, stream in self.result.streams.items():
            stream.state = self.state.get(name, {})
        return self.result

    def _parts_read(self) -> set[tuple[str, str]]:
        """Stream and part of each mark there is."""
        return {(name, part) for name in self._streams for part in self.state.get(name, {}).get("marks", {})}

    def _tell_progress(self, stream: str) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            read = self.result.streams[stream].records + len(self._pending[stream])
            self._log.info("%s: %d records of %s so far.", self._connection, read, stream)

    def _streams_with_records(self) -> set[str]:
        return {name for name, records in self._pending.items() if records}

    def _commit(self, names: set[str]) -> bool:
        """Commit one delivery, or note in the result why not; whether it was committed."""
        frames = {name: frame for name in sorted(names) if (frame := self._judged(name)) is not None}
        if not self.result.passed:
            self._log.error("%s: a delivery is refused; the STATE stays where it was.", self._connection)
            return False
        contracts = {self._streams[name]: frame for name, frame in frames.items()}
        number = self._warehouse.append_delivery(self._connection, contracts, self.state)
        self._committed = dict(self.state)
        self.result.deliveries += 1
        self._parts = self._parts_read()
        for name, frame in frames.items():
            self.result.streams[name].add(frame, self._cursors.get(name))
            self._pending[name] = []
            self._log.info("%s: delivery %d has %d records of %s.", self._connection, number, frame.height, name)
        self._told_at = time.monotonic()
        return True

    def _judged(self, name: str) -> pl.DataFrame | None:
        """The stream's pending records as an audited frame; None, and faults noted, if it is condemned."""
        contract, result = self._streams[name], self.result.streams[name]
        try:
            frame, undeclared = normalise(contract, self._pending[name])
        except MalformedRecordsError as error:
            result.faults = error.faults
            return None
        self._report_undeclared(name, undeclared)
        outcome = audit(contract, frame)
        result.faults = outcome.faults
        return outcome.published

    def _report_undeclared(self, stream: str, fields: set[str]) -> None:
        told = self.result.streams[stream].undeclared
        if news := fields - told:
            told |= news
            self._log.warning(
                "%s: the source has fields of %s without a column: %s. They are kept in `extra`.",
                self._connection,
                stream,
                ", ".join(sorted(news)),
            )
