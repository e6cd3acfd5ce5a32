"""Runs Airbyte connections: records and STATE of a source, audited and committed together to the raw log.

Belongs here: driving a source in process. Does not belong here: any source (``connectors``), typing the
records (``airbyte_records``), judging them (``core.audit``), storing them (``warehouse``).
"""

from __future__ import annotations

import importlib
import logging
import logging.config
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from pydantic import field_validator

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import Fault, audit
from bentleybot_assets.resources.airbyte_records import MalformedRecordsError, normalise
from bentleybot_assets.warehouse.base import Warehouse

if TYPE_CHECKING:
    from airbyte_cdk.models import (
        AirbyteMessage,
        AirbyteStateMessage,
        AirbyteTraceMessage,
        ConfiguredAirbyteCatalog,
    )
    from airbyte_cdk.sources import Source

_SOURCE_LOG = logging.getLogger("airbyte")
"""Sources and the cdk log below this name."""

DELIVERY_RECORDS = 50_000
"""Records after which the next STATE closes a delivery: enough for columns to pay, few enough for memory."""


class SyncError(Exception):
    """A connection could not be read. The message names connection, stream and what the source said."""


@dataclass
class StreamResult:
    """What a sync brought for one stream.

    Attributes:
        records: committed records.
        first, last: smallest and largest committed cursor value; None without records.
        versions: source to source version of the committed records.
        faults: why the delivery that ended the sync was refused; empty if none was.
    """

    records: int = 0
    first: Any = None
    last: Any = None
    versions: dict[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was refused."""
        return not self.faults

    def add(self, frame: pl.DataFrame, cursor: str | None) -> None:
        """Count a committed frame in."""
        self.records += frame.height
        if frame.is_empty():
            return
        if cursor is not None:
            self.first = min(value for value in (self.first, frame[cursor].min()) if value is not None)
            self.last = max(value for value in (self.last, frame[cursor].max()) if value is not None)
        if {"source", "source_version"} <= set(frame.columns):
            self.versions |= dict(frame.select("source", "source_version").unique().sort("source").iter_rows())


@dataclass
class SyncResult:
    """What a sync did: deliveries committed (none if nothing was new), and each stream's part."""

    deliveries: int
    streams: dict[str, StreamResult]

    @property
    def passed(self) -> bool:
        """Whether no delivery was refused."""
        return all(stream.passed for stream in self.streams.values())


class Connection(dg.Config):
    """A configured source.

    Attributes:
        source: ``module:Class`` of an airbyte-cdk source.
        config: the source's configuration, as its spec describes it.
    """

    source: str
    config: dict[str, Any]

    @field_validator("config")
    @classmethod
    def _leave_out_nulls(cls, config: dict[str, Any]) -> dict[str, Any]:
        # Dagster's maps hold no nulls; to a source a setting that is null and one left out are the same.
        return {name: value for name, value in config.items() if value is not None}


class EmbeddedAirbyte(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reads Airbyte sources in this process: no server, no JSON pipe.

    Attributes:
        connections: connection name to source and configuration.
    """

    connections: dict[str, Connection]

    def sync(
        self,
        connection: str,
        streams: Mapping[str, type[Contract]],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """Read what is new in the given streams since the last committed STATE, and commit it to the raw log.

        A delivery is committed at the first STATE after :data:`DELIVERY_RECORDS` records, and at the end. If
        a frame breaks its contract, nothing of its delivery is committed, the STATE stays where it was and
        the sync ends: the faults are in the result. A sync that finds nothing new commits nothing.

        Args:
            connection: a name of ``connections``.
            streams: the streams to read (others keep their STATE), and the contract of each one's raw table.
            warehouse: where the log and the STATE are.
            log: told about deliveries, and of warnings and errors of the source.

        Raises:
            SyncError: the connection is unknown or misconfigured, a stream is not there, or the source failed.
        """
        source = _Source(connection, self._settings_of(connection))
        with source.warnings_to(log):
            catalog = source.catalog(streams)
            cursors = {item.stream.name: item.cursor_field[0] for item in catalog.streams if item.cursor_field}
            delivery = _Delivery(connection, streams, cursors, warehouse, log)
            for message in source.read(catalog, delivery.state):
                if not delivery.take(message):
                    return delivery.result
            delivery.finish()
        return delivery.result

    def check(self, connection: str) -> str | None:
        """Ask a connection's source whether it could be read; None if so, otherwise what is wrong."""
        settings = self._settings_of(connection)
        try:
            return _Source(connection, settings).check()
        except SyncError as error:
            return str(error)

    def _settings_of(self, connection: str) -> Connection:
        if connection not in self.connections:
            known = ", ".join(sorted(self.connections)) or "none"
            raise SyncError(f"There is no connection {connection}. The settings have {known}.")
        return self.connections[connection]


class _Source:
    """An airbyte-cdk source in this process. What it raises names the connection and shows no secret."""

    def __init__(self, connection: str, settings: Connection) -> None:
        self._connection = connection
        self._config = settings.config
        self._source = _load(connection, settings.source)
        self._spec = self._source.spec(_SOURCE_LOG)
        from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets

        secrets = get_secrets(self._spec.connectionSpecification, self._config)
        self._secrets = sorted((str(secret) for secret in secrets if secret), key=len, reverse=True)

    def check(self) -> str | None:
        """What the source finds wrong with its configuration, or with what it connects to; None if nothing."""
        from airbyte_cdk.models import Status

        with self._errors_named():
            status = self._source.check(_SOURCE_LOG, self._config)
        return None if status.status is Status.SUCCEEDED else self._redacted(f"{self._connection}: {status.message}")

    def catalog(self, streams: Iterable[str]) -> ConfiguredAirbyteCatalog:
        """The given streams, to be read incrementally where they can be, after checking the configuration.

        Raises:
            SyncError: the configuration breaks the source's spec, or the source has no such stream.
        """
        from airbyte_cdk.models import (
            ConfiguredAirbyteCatalog,
            ConfiguredAirbyteStream,
            DestinationSyncMode,
            SyncMode,
        )
        from airbyte_cdk.sources.utils.schema_helpers import check_config_against_spec_or_exit

        with self._errors_named():
            check_config_against_spec_or_exit(self._config, self._spec)
            offered = {stream.name: stream for stream in self._source.discover(_SOURCE_LOG, self._config).streams}
        for name in streams:
            if name not in offered:
                raise SyncError(f"{self._connection}: there is no stream {name}; it has {', '.join(sorted(offered))}.")
        return ConfiguredAirbyteCatalog(
            streams=[
                ConfiguredAirbyteStream(
                    stream=offered[name],
                    sync_mode=(
                        SyncMode.incremental
                        if SyncMode.incremental in offered[name].supported_sync_modes
                        else SyncMode.full_refresh
                    ),
                    destination_sync_mode=DestinationSyncMode.append,
                    cursor_field=offered[name].default_cursor_field,
                    primary_key=offered[name].source_defined_primary_key,
                )
                for name in streams
            ]
        )

    def read(self, catalog: ConfiguredAirbyteCatalog, state: Mapping[str, Any]) -> Iterator[AirbyteMessage]:
        """The source's RECORD and STATE messages.

        Raises:
            SyncError: the source reports an error, or ends without completing a stream.
        """
        unfinished = {configured.stream.name for configured in catalog.streams}
        states = _state_messages(catalog, state)
        with self._errors_named():
            for message in self._source.read(_SOURCE_LOG, self._config, catalog, states):
                if message.record is not None or message.state is not None:
                    yield message
                elif message.trace is not None:
                    self._heed(message.trace, unfinished)
        if unfinished:
            raise SyncError(
                f"{self._connection}: the source ended without completing {', '.join(sorted(unfinished))}. "
                "Sync again; if it recurs, mend the source."
            )

    def _heed(self, trace: AirbyteTraceMessage, unfinished: set[str]) -> None:
        """Raise an error that is reported; note a stream that is complete."""
        from airbyte_cdk.models import AirbyteStreamStatus

        if trace.error is not None:
            stream = f", stream {trace.error.stream_descriptor.name}" if trace.error.stream_descriptor else ""
            behind = trace.error.internal_message
            # The cdk's message for an unforeseen exception says nothing; its internal message does.
            detail = f" ({behind})" if behind and behind not in trace.error.message else ""
            raise SyncError(self._redacted(f"{self._connection}{stream}: {trace.error.message}{detail}"))
        if trace.stream_status is not None and trace.stream_status.status is AirbyteStreamStatus.COMPLETE:
            unfinished.discard(trace.stream_status.stream_descriptor.name)

    @contextmanager
    def warnings_to(self, log: logging.Logger) -> Iterator[None]:
        """Hand what the source logs as a warning or worse to ``log``, and nothing to anyone else."""
        handler = _Forward(log, self._redacted)
        _SOURCE_LOG.addHandler(handler)
        propagate, _SOURCE_LOG.propagate = _SOURCE_LOG.propagate, False
        try:
            yield
        finally:
            _SOURCE_LOG.propagate = propagate
            _SOURCE_LOG.removeHandler(handler)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        from airbyte_cdk.utils.traced_exception import AirbyteTracedException

        try:
            yield
        except AirbyteTracedException as error:
            # Without `from error`: its text may hold a secret.
            raise SyncError(self._redacted(f"{self._connection}: {error}")) from None

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        return text


class _Delivery:
    """Gathers records and STATE, and commits them delivery by delivery.

    Attributes:
        state: stream to its newest STATE, committed or not.
        result: what was committed so far, and the faults if a delivery was refused.
    """

    def __init__(
        self,
        connection: str,
        streams: Mapping[str, type[Contract]],
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
        self.state: dict[str, Any] = warehouse.connection_state(connection)
        self.result = SyncResult(0, {name: StreamResult() for name in streams})

    def take(self, message: AirbyteMessage) -> bool:
        """Keep a record; on a STATE, commit if enough is pending. False if that delivery was refused."""
        if message.record is not None:
            self._pending[message.record.stream].append(message.record.data)
        elif message.state is not None:
            if message.state.stream is None:
                raise SyncError(
                    f"{self._connection}: the source sends a {message.state.type} STATE, not one per stream."
                )
            sent = message.state.stream
            self.state[sent.stream_descriptor.name] = vars(sent.stream_state) if sent.stream_state else {}
            if sum(map(len, self._pending.values())) >= DELIVERY_RECORDS:
                return self._commit(self._streams_with_records())
        return True

    def finish(self) -> None:
        """Commit the rest. A stream that never had a record gets an empty table, so that it can be read."""
        never = {name for name, contract in self._streams.items() if self._warehouse.row_count(contract) is None}
        if due := self._streams_with_records() | never:
            self._commit(due)

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
        self.result.deliveries += 1
        for name, frame in frames.items():
            self.result.streams[name].add(frame, self._cursors.get(name))
            self._pending[name] = []
            self._log.info("%s: delivery %d has %d records of %s.", self._connection, number, frame.height, name)
        return True

    def _judged(self, name: str) -> pl.DataFrame | None:
        """The stream's pending records as an audited frame; None, and faults noted, if it is condemned."""
        contract = self._streams[name]
        try:
            outcome = audit(contract, normalise(contract, self._pending[name]))
        except MalformedRecordsError as error:
            self.result.streams[name].faults = error.faults
            return None
        self.result.streams[name].faults = outcome.faults
        return outcome.published


class _Forward(logging.Handler):
    """Hands warnings on to another logger, secrets hidden. The source's progress chatter stays behind."""

    def __init__(self, log: logging.Logger, redacted: Callable[[str], str]) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log
        self._redacted = redacted

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self._log.log(record.levelno, self._redacted(self.format(record)))


def _load(connection: str, path: str) -> Source:
    """Import and make the source ``module:Class``."""
    module, _, name = path.partition(":")
    try:
        with _logging_untouched():
            return getattr(importlib.import_module(module), name)()  # type: ignore[no-any-return]
    except (ModuleNotFoundError, AttributeError) as error:
        raise SyncError(
            f"{connection}: its source {path} cannot be loaded: {error}. Give it as `module:Class`."
        ) from error


@contextmanager
def _logging_untouched() -> Iterator[None]:
    """Keep this process's logging: on import, airbyte-cdk puts its JSON printer in its place."""
    configure = logging.config.dictConfig
    logging.config.dictConfig = lambda _: None
    try:
        yield
    finally:
        logging.config.dictConfig = configure


def _state_messages(catalog: ConfiguredAirbyteCatalog, state: Mapping[str, Any]) -> list[AirbyteStateMessage]:
    """The committed STATE of the streams to be read, in the protocol's form."""
    from airbyte_cdk.models import (
        AirbyteStateBlob,
        AirbyteStateMessage,
        AirbyteStateType,
        AirbyteStreamState,
        StreamDescriptor,
    )

    names = (configured.stream.name for configured in catalog.streams)
    return [
        AirbyteStateMessage(
            type=AirbyteStateType.STREAM,
            stream=AirbyteStreamState(
                stream_descriptor=StreamDescriptor(name=name), stream_state=AirbyteStateBlob(state[name])
            ),
        )
        for name in names
        if name in state
    ]
