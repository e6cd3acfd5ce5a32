"""Reads Airbyte sources in this process: no server, no JSON pipe.

Does not belong here: any source (``connectors``), what becomes of its records (``delivery``).
"""

from __future__ import annotations

import importlib
import logging
import logging.config
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bentleybot_assets.connectors.configuration import problem_of
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.resources.airbyte.base import Airbyte, SyncError, SyncResult
from bentleybot_assets.resources.airbyte.configuration import with_secrets
from bentleybot_assets.resources.airbyte.delivery import Deliveries
from bentleybot_assets.warehouse.base import Warehouse

if TYPE_CHECKING:
    from airbyte_cdk.models import (
        AirbyteErrorTraceMessage,
        AirbyteMessage,
        AirbyteStateMessage,
        AirbyteTraceMessage,
        ConfiguredAirbyteCatalog,
    )
    from airbyte_cdk.sources import Source
    from airbyte_cdk.utils.traced_exception import AirbyteTracedException

_SOURCE_LOG = logging.getLogger("airbyte")
"""Sources and the cdk log below this name."""


@dataclass(frozen=True)
class Connection:
    """A configured source.

    Attributes:
        source: ``module:Class`` of an airbyte-cdk source.
        config: the source's configuration, as its spec describes it.
    """

    source: str
    config: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class EmbeddedAirbyte(Airbyte):
    """Reads Airbyte sources in this process.

    Not a ``ConfigurableResource``: Dagster keeps the configuration of those with every run, and sources have keys.

    Attributes:
        connections: connection name to source and configuration.
    """

    connections: Mapping[str, Connection]

    def has(self, connection: str) -> bool:
        """See :class:`Airbyte`."""
        return connection in self.connections

    def mode(self, connection: str) -> str | None:
        """See :class:`Airbyte`."""
        return self._settings_of(connection).config.get("mode")

    def sync(
        self,
        connection: str,
        streams: Mapping[str, type[RawContract]],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """See :class:`Airbyte`. A delivery is committed at the first STATE after enough records, and at the end."""
        source = _Source(connection, self._settings_of(connection))
        with source.warnings_to(log):
            catalog = source.catalog(streams)
            cursors = {item.stream.name: item.cursor_field[0] for item in catalog.streams if item.cursor_field}
            deliveries = Deliveries(connection, streams, cursors, warehouse, log)
            for item in catalog.streams:
                deliveries.expect(item.stream.name, item.stream.json_schema)
            for message in source.read(catalog, deliveries.state, deliveries.fail):
                if message.record is not None:
                    deliveries.add(message.record.stream, message.record.data)
                elif message.state is not None and not deliveries.reach(*_sent(connection, message.state)):
                    break
            else:
                deliveries.finish()
        return deliveries.result

    def check(self, connection: str) -> str | None:
        """See :class:`Airbyte`."""
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
        self._config = with_secrets(connection, settings.config)
        self._source = _load(connection, settings.source)
        self._spec = self._source.spec(_SOURCE_LOG)
        from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets

        # As the cdk's own entry point does: so sources keep them out of what they say and out of their STATE, and can
        # add what the cdk does not find.
        secrets = get_secrets(self._spec.connectionSpecification, self._config)
        update_secrets(sorted((str(secret) for secret in secrets if secret), key=len, reverse=True))

    def check(self) -> str | None:
        """What the source finds wrong with its configuration, or with what it connects to; None if nothing."""
        from airbyte_cdk.models import Status

        if problem := self._problem():
            return problem
        with self._errors_named():
            status = self._source.check(_SOURCE_LOG, self._config)
        return None if status.status is Status.SUCCEEDED else self._redacted(f"{self._connection}: {status.message}")

    def _problem(self) -> str | None:
        """Where the configuration breaks the source's spec. Without its values: not all secrets are known yet."""
        problem = problem_of(self._config, self._spec.connectionSpecification)
        return problem and f"{self._connection}: {problem} Mend it in bentleybot.yaml."

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

        if problem := self._problem():
            raise SyncError(problem)
        with self._errors_named():
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

    def read(
        self, catalog: ConfiguredAirbyteCatalog, state: Mapping[str, Any], fail: Callable[[str, str], None]
    ) -> Iterator[AirbyteMessage]:
        """The source's RECORD and STATE messages.

        Args:
            catalog: what to read.
            state: stream to its committed STATE.
            fail: told each stream that cannot be read to its end, and why; the source goes on with the next.

        Raises:
            SyncError: the source reports an error that is of no stream, or ends without completing one.
        """
        from airbyte_cdk.utils.traced_exception import AirbyteTracedException

        unfinished, failed = {configured.stream.name for configured in catalog.streams}, set()
        try:
            for message in self._source.read(_SOURCE_LOG, self._config, catalog, _state_messages(catalog, state)):
                if message.record is not None or message.state is not None:
                    yield message
                elif message.trace is not None and message.trace.error is not None:
                    stream, why = self._failure(message.trace.error)
                    failed.add(stream)
                    fail(stream, why)
                elif message.trace is not None and (completed := _completed(message.trace)):
                    unfinished.discard(completed)
        except AirbyteTracedException as error:
            # A source whose streams failed ends with an error that sums them up.
            if not failed or unfinished - failed:
                raise self._named(error) from None
        if broken_off := unfinished - failed:
            raise SyncError(
                f"{self._connection}: the source ended without completing {', '.join(sorted(broken_off))}. "
                "Sync again; if it recurs, mend the source."
            )

    def _failure(self, error: AirbyteErrorTraceMessage) -> tuple[str, str]:
        """The stream that a reported error is of, and what it says.

        Raises:
            SyncError: it is of none.
        """
        stream = error.stream_descriptor and error.stream_descriptor.name
        behind = error.internal_message
        # The cdk's message for an unforeseen exception says nothing; its internal message does.
        detail = f" ({behind})" if behind and behind not in error.message else ""
        where = f"{self._connection}, stream {stream}" if stream else self._connection
        why = self._redacted(f"{where}: {error.message}{detail}")
        if stream is None:
            raise SyncError(why)
        return stream, why

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
            raise self._named(error) from None

    def _named(self, error: AirbyteTracedException) -> SyncError:
        """What to raise instead, without `from error`: its text may hold a secret."""
        return SyncError(self._redacted(f"{self._connection}: {error}"))

    @staticmethod
    def _redacted(text: str) -> str:
        from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

        return filter_secrets(text)


def _sent(connection: str, state: AirbyteStateMessage) -> tuple[str, dict[str, Any]]:
    """Stream and content of a STATE."""
    if state.stream is None:
        raise SyncError(f"{connection}: the source sends a {state.type} STATE, not one per stream.")
    return state.stream.stream_descriptor.name, vars(state.stream.stream_state) if state.stream.stream_state else {}


def _completed(trace: AirbyteTraceMessage) -> str | None:
    """The stream that a source says it has read to its end, if it says so."""
    from airbyte_cdk.models import AirbyteStreamStatus

    status = trace.stream_status
    is_complete = status is not None and status.status is AirbyteStreamStatus.COMPLETE
    return status.stream_descriptor.name if is_complete else None  # type: ignore[union-attr, no-any-return]


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
