"""Runs connections on an Airbyte server: self-managed or Cloud.

The server syncs into the raw tables of its MySQL destination; what is new there goes through the same typing and audit
as what the embedded runner reads, into the same log.

Does not belong here: the server's API (``client``), the raw tables (``raw_tables``), what is known of the workspace
(``saved``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_airbyte import AirbyteCloudWorkspace, AirbyteWorkspace
from dagster_airbyte.resources import AIRBYTE_CLOUD_REST_API_BASE, BaseAirbyteWorkspace

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.mysql import MySqlError
from bentleybot_assets.resources.airbyte.base import Airbyte, SyncError, SyncResult
from bentleybot_assets.resources.airbyte.client import AirbyteServerError, JobFailedError, ServerClient, Stream
from bentleybot_assets.resources.airbyte.delivery import Deliveries
from bentleybot_assets.resources.airbyte.raw_tables import raw_table_name, raw_tables
from bentleybot_assets.resources.airbyte.saved import (
    REFRESH,
    SavedConnection,
    SavedWorkspace,
    load_saved,
    workspace_of,
)
from bentleybot_assets.resources.mysql import MySqlAccount, revealed
from bentleybot_assets.warehouse.base import Warehouse

_MARKS = "airbyte_server"
"""Beside the streams' STATE, which the server keeps itself: how far their raw tables were taken."""


_RETRIES = 5
_ANSWER_SECONDS = 30


class ServerAirbyte(dg.ConfigurableResource, Airbyte):  # type: ignore[type-arg]
    """Has connections synced by an Airbyte server.

    Attributes:
        workspace: the server, the workspace and how to log in.
        saved: the file of what is known of the workspace.
        destination: the MySQL server that the connections write to, as this desk reaches it.
        modes: connection to the ``mode`` that its source must be in, where it has one.
    """

    workspace: BaseAirbyteWorkspace
    saved: str
    destination: MySqlAccount
    modes: dict[str, str]

    def has(self, connection: str) -> bool:
        """See :class:`Airbyte`."""
        return connection in self.modes

    def mode(self, connection: str) -> str | None:
        """See :class:`Airbyte`."""
        return self.modes[connection] or None

    def sync(
        self,
        connection: str,
        streams: Mapping[str, type[RawContract]],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """See :class:`Airbyte`. The server syncs the whole connection; the given streams are taken over.

        Of a job that failed, those are that it has synced to their end.
        """
        client = self.client()
        known = self._known(client, connection, streams)
        deliveries = _expecting(known, client.streams(known.id), streams, warehouse, log)
        try:
            job = client.sync(connection, known.id, log)
        except JobFailedError as error:
            job, incomplete = error.job, _incomplete(client, known, streams, error)
            log.warning("%s Of %s, what it has synced to the end is taken now.", error, ", ".join(streams))
            for name in incomplete:
                deliveries.fail(name, f"{connection}, stream {name}: it was not synced to its end. {error}")
        states = client.connection_state(known.id)
        self._require_mode(connection, states)
        result = self._take(known, streams, deliveries, warehouse, log)
        for name, stream in result.streams.items():
            stream.state = states.get(name, {})
        result.more = {
            "airbyte_connection": dg.MetadataValue.url(known.url),
            "airbyte_job": job.id,
            "rows_synced": job.rows if job.rows is not None else "not told",
            "bytes_synced": job.bytes if job.bytes is not None else "not told",
        }
        return result

    def check(self, connection: str) -> str | None:
        """See :class:`Airbyte`: the server answers, has the connection, and the destination can be reached."""
        # Whoever asks whether it answers does not want to wait until it does.
        client = self.client().model_copy(update={"request_max_retries": 0})
        try:
            known = self._known(client, connection, ())
            status = client.ask("GET", f"/connections/{known.id}")["status"]
            self.destination.server().connect(table=f"of {known.destination.raw_database}").close()
        except (SyncError, MySqlError) as error:
            return str(error)
        return None if status == "active" else f"{connection} is {status} on {client.server}: enable it ({known.url})."

    def refresh(self, ours: Collection[str]) -> SavedWorkspace:
        """Ask the server what the workspace has, and save that.

        Args:
            ours: the connections of this desk.

        Raises:
            SyncError: the server cannot be used, or two connections have the name of one of ours. What was saved
                before stays.
        """
        client = self.client()
        client.validate_workspace_id()
        told = client.get_connections()
        destinations = {
            destination_id: client.get_destination_details(destination_id)
            for destination_id in sorted({connection["destinationId"] for connection in told})
        }
        workspace = workspace_of(
            told,
            destinations,
            server=client.server,
            workspace_id=client.workspace_id,
            page=client.workspace,
            ours=ours,
        )
        workspace.save(Path(self.saved))
        return workspace

    def client(self) -> ServerClient:
        """The workspace's client; nothing is asked yet."""
        told = dict(self.workspace.get_client())
        secrets = ((name, getattr(self.workspace, name, None)) for name in ("client_secret", "password"))
        return ServerClient(**told | {name: revealed(secret) for name, secret in secrets if secret is not None})

    def _known(self, client: ServerClient, connection: str, streams: Collection[str]) -> SavedConnection:
        """What was saved of a connection, if it can be taken over.

        Raises:
            SyncError: it cannot, or nothing was saved.
        """
        known = load_saved(Path(self.saved), client.server, client.workspace_id).connection(connection)
        if known.destination.kind != "mysql" or not known.destination.is_raw_only:
            raise SyncError(
                f"{connection}: it writes to {known.destination.name}, of type {known.destination.kind}"
                f"{'' if known.destination.is_raw_only else ', with typed tables, which round numbers'}. It needs a "
                "MySQL destination with disable_type_dedupe: `bentleybot airbyte provision` sets that up; then run "
                f"`{REFRESH}`."
            )
        if missing := sorted(set(streams) - set(known.streams)):
            raise SyncError(
                f"{connection}: it does not sync {', '.join(missing)}, only {', '.join(known.streams) or 'nothing'}. "
                f"Select what is missing ({known.url}), or run `bentleybot airbyte provision`; then run `{REFRESH}`."
            )
        return known

    def _require_mode(self, connection: str, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse recorded data where real data are expected, and the other way round."""
        wanted = self.modes.get(connection)
        for stream, state in sorted(states.items()):
            if wanted and state.get("mode", wanted) != wanted:
                raise SyncError(
                    f"{connection}: its source on the server reads {stream} in mode {state['mode']}, but the settings "
                    f"say {wanted}. Make them agree: `bentleybot airbyte provision` sets the source up as the settings "
                    "say. Nothing was taken."
                )

    def _take(
        self,
        known: SavedConnection,
        streams: Collection[str],
        deliveries: Deliveries,
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """Commit what is new in the raw tables."""
        with raw_tables(self.destination.server(), known.destination.raw_database, known.name) as tables:
            # Another process may have taken rows while this one waited for its job.
            deliveries.state |= warehouse.connection_state(known.name)
            for name in streams:
                if deliveries.result.streams[name].failure is not None:
                    continue
                table = raw_table_name(known.namespace, known.prefix + name)
                marks = deliveries.state.get(_MARKS, {})
                for mark, records in tables.unread(table, marks.get(name)):
                    for record in records:
                        deliveries.add(name, record)
                    marks = {**marks, name: mark}
                    deliveries.state[_MARKS] = marks
                    if not deliveries.reach(name, deliveries.state.get(name, {})):
                        return _refused(deliveries, known, log)
            result = deliveries.finish()
        return result if result.passed else _refused(deliveries, known, log)


def _incomplete(
    client: ServerClient, known: SavedConnection, streams: Collection[str], error: JobFailedError
) -> list[str]:
    """The streams that a failed job has not synced to their end.

    Raises:
        JobFailedError: it has synced none to its end, was cancelled, or the server does not say.
    """
    if error.job.status != "failed":
        raise error
    try:
        completed = client.completed_streams(known.id, error.job)
    except AirbyteServerError:
        raise error from None
    if completed.isdisjoint(streams):
        raise error
    return [name for name in streams if name not in completed]


def _expecting(
    known: SavedConnection,
    offered: Mapping[str, Stream],
    streams: Mapping[str, type[RawContract]],
    warehouse: Warehouse,
    log: logging.Logger,
) -> Deliveries:
    """The deliveries of a sync that has not begun, if the server's streams are what the raw tables declare.

    Raises:
        SyncError: a stream is not synced, or lacks fields or has them as other types.
    """
    if missing := sorted(set(streams) - set(offered)):
        raise SyncError(
            f"{known.name}: it does not sync {', '.join(missing)} any more. Select it again ({known.url}), or run "
            f"`bentleybot airbyte provision`; then run `{REFRESH}`."
        )
    cursors = {
        name: cursor
        for name, contract in streams.items()
        if (cursor := offered[name].cursor) is not None and cursor in contract.polars_schema()
    }
    deliveries = Deliveries(known.name, streams, cursors, warehouse, log)
    for name in streams:
        deliveries.expect(name, offered[name].schema)
    return deliveries


def _refused(deliveries: Deliveries, known: SavedConnection, log: logging.Logger) -> SyncResult:
    """The result of a sync whose delivery was refused; says where what was refused is."""
    for name, stream in deliveries.result.streams.items():
        if not stream.passed:
            log.error(
                "%s: the refused records stay in %s.%s. Mend the source, then refresh the stream's data in Airbyte "
                "(%s): that replaces them.",
                known.name,
                known.destination.raw_database,
                raw_table_name(known.namespace, known.prefix + name),
                known.url,
            )
    return deliveries.result


def airbyte_workspace(
    address: str,
    workspace_id: str,
    *,
    login: Mapping[str, Any],
    poll_seconds: float,
    sync_minutes: float,
    retry_seconds: float = 1,
) -> BaseAirbyteWorkspace:
    """The workspace at an address: Cloud's if it is that of its API, else one of a self-managed server.

    Args:
        address: the server's, with or without the path of an API.
        workspace_id: which workspace.
        login: ``client_id`` and ``client_secret``, or ``username`` and ``password``; nothing where none is needed.
        poll_seconds: how long to wait before asking again how far a job is.
        sync_minutes: how long a job may take.
        retry_seconds: how long to wait before a request is sent again, at first.
    """
    patience: dict[str, Any] = {
        "poll_interval": poll_seconds,
        "poll_timeout": sync_minutes * 60,
        "request_max_retries": _RETRIES,
        "request_retry_delay": retry_seconds,
        "request_timeout": _ANSWER_SECONDS,
    }
    if address.startswith(AIRBYTE_CLOUD_REST_API_BASE):
        if "client_id" not in login:
            raise ValueError(
                "Airbyte Cloud is logged in to with AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET: set both."
            )
        return AirbyteCloudWorkspace(workspace_id=workspace_id, **login, **patience)
    root = address.rstrip("/").removesuffix("/v1").removesuffix("/public").removesuffix("/api")
    return AirbyteWorkspace(
        rest_api_base_url=f"{root}/api/public/v1",
        configuration_api_base_url=f"{root}/api/v1",
        workspace_id=workspace_id,
        **login,
        **patience,
    )
