"""Runs Airbyte connections: records and STATE of a source, audited and committed together to the raw log.

Belongs here: driving a source in process. Does not belong here: any source (``connectors``), typing the records
(``airbyte_records``), judging them (``core.audit``), storing them (``warehouse``).
"""

from __future__ import annotations

import copy
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
    from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessage, ConfiguredAirbyteCatalog
    from airbyte_cdk.sources import Source

DELIVERY_RECORDS = 50_000
"""Records after which the next STATE message closes a delivery: large enough for columns, small enough for memory."""


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
        """Whether all that was read was committed."""
        return not self.faults


@dataclass
class SyncResult:
    """What a sync did: how many deliveries it committed (none if there was nothing new), and each stream's part."""

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
    config: dict[str, Any] = {}

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
        """Read what is new in the given streams and commit it to the raw log, from the last committed STATE on.

        A delivery is committed at the first STATE after :data:`DELIVERY_RECORDS` records, and at the end. If a frame
        breaks its contract, nothing of its delivery is committed, the STATE stays where it was and the sync ends:
        the faults are in the result. A sync that finds nothing new commits nothing.

        Args:
            connection: a name of ``connections``.
            streams: the streams to read (others keep their STATE), and the contract of each one's raw table.
            warehouse: where the log and the STATE are.
            log: told about deliveries, and of warnings and errors of the source.

        Raises:
            SyncError: the connection is unknown or misconfigured, a stream does not exist, or the source failed.
        """
        if connection not in self.connections:
            raise SyncError(
                f"There is no connection {connection}; the settings have {', '.join(sorted(self.connections))}."
            )
        source = _Source(connection, self.connections[connection])
        with source.warnings_to(log):
            catalog = source.catalog(streams)
            delivery = _Delivery(connection, streams, warehouse, log)
            for message in source.read(catalog, delivery.state):
                delivery.take(message)
                if not delivery.result.passed:
                    return delivery.result
            delivery.finish()
        return delivery.result


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
        from airbyte_cdk.models import AirbyteStreamStatus, TraceType, Type

        unfinished = {configured.stream.name for configured in catalog.streams}
        with self._errors_named():
            for message in self._source.read(_SOURCE_LOG, self._config, catalog, _state_messages(catalog, state)):
                if message.type is Type.RECORD or message.type is Type.STATE:
                    yield message
                elif message.type is not Type.TRACE:
                    continue
                elif message.trace.type is TraceType.ERROR:
                    raise SyncError(self._described(message.trace.error))
                elif message.trace.type is TraceType.STREAM_STATUS:
                    status = message.trace.stream_status
                    if status.status is AirbyteStreamStatus.COMPLETE:
                        unfinished.discard(status.stream_descriptor.name)
        if unfinished:
            raise SyncError(
                f"{self._connection}: the source ended without completing {', '.join(sorted(unfinished))}. "
                "Sync again; if it recurs, mend the source."
            )

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

    def _described(self, error: Any) -> str:
        """An error TRACE in one line: where, what, and the exception behind a message that does not say."""
        stream = f", stream {error.stream_descriptor.name}" if error.stream_descriptor else ""
        behind = error.internal_message
        detail = f" ({behind})" if behind and behind not in error.message else ""
        return self._redacted(f"{self._connection}{stream}: {error.message}{detail}")

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        return text


class _Delivery:
    """Gathers records and STATE, and commits them delivery by delivery.

    Attributes:
        state: stream to its newest STATE, whether committed or not.
        result: what was committed so far, and faults if a delivery was refused.
    """

    def __init__(
        self, connection: str, streams: Mapping[str, type[Contract]], warehouse: Warehouse, log: logging.Logger
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._warehouse = warehouse
        self._log = log
        self._pending: dict[str, list[dict[str, Any]]] = {name: [] for name in streams}
        self.state: dict[str, Any] = warehouse.connection_state(connection)
        self.result = SyncResult(0, {name: StreamResult() for name in streams})
