"""What is known of an Airbyte server's workspace, saved in a file: its connections, and where each one writes.

The code location and runs use what was saved, so that a server that is down breaks neither. `bentleybot airbyte
refresh` saves it anew.

Does not belong here: syncing (``server``), changing anything on the server (``provision``).
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bentleybot_assets.resources.airbyte.base import SyncError

REFRESH = "bentleybot airbyte refresh"
RAW_DATABASE = "airbyte_internal"
"""Where the destination keeps raw tables unless it is told otherwise."""


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedDestination(_Saved):
    """Where a connection writes.

    Attributes:
        id: its id.
        name: its name.
        kind: ``mysql``, or what else Airbyte calls it.
        host: the server, as Airbyte reaches it.
        database: the database of its tables, if the connection names none.
        raw_database: the database of its raw tables.
        is_raw_only: whether typed tables are switched off.
    """

    id: str
    name: str
    kind: str
    host: str
    database: str
    raw_database: str
    is_raw_only: bool


class SavedConnection(_Saved):
    """One connection.

    Attributes:
        id: its id.
        name: its name.
        streams: names of the streams that it syncs.
        prefix: what it puts before their names.
        namespace: the database that it writes to, or would if typed tables were on.
        destination: where that is.
        url: its page.
    """

    id: str
    name: str
    streams: tuple[str, ...]
    prefix: str
    namespace: str
    destination: SavedDestination
    url: str


class SavedWorkspace(_Saved):
    """A workspace as it was when it was last asked.

    Attributes:
        version: of this file's form.
        server: the server's address.
        workspace_id: which of its workspaces.
        connections: all of its connections.
    """

    version: Literal[1] = 1
    server: str
    workspace_id: str
    connections: tuple[SavedConnection, ...]

    def connection(self, name: str) -> SavedConnection:
        """The connection of a name.

        Raises:
            SyncError: there is none.
        """
        for connection in self.connections:
            if connection.name == name:
                return connection
        known = ", ".join(sorted(connection.name for connection in self.connections)) or "none"
        raise SyncError(
            f"{name}: workspace {self.workspace_id} of {self.server} had no connection of this name when it was last "
            f"asked (it had {known}). `bentleybot airbyte provision` makes it; if it is there now, run `{REFRESH}`."
        )

    def save(self, file: Path) -> None:
        """Put it in place whole; a reader sees the old one or the new one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        incoming = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
        with incoming.open("w", encoding="utf-8") as handle:
            handle.write(self.model_dump_json(indent=2) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        incoming.replace(file)


def load_saved(file: Path, server: str, workspace_id: str) -> SavedWorkspace:
    """What was saved of this workspace.

    Raises:
        SyncError: nothing was, it cannot be read, or it is of another workspace; the message names the command.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SyncError(
            f"It is not known which connections {server} has: {file} is missing. Run `{REFRESH}`."
        ) from None
    try:
        saved = SavedWorkspace.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise SyncError(f"{file} cannot be used: {place}: {first['msg']}. Run `{REFRESH}`.") from error
    if (saved.server, saved.workspace_id) != (server, workspace_id):
        raise SyncError(
            f"{file} is of workspace {saved.workspace_id} of {saved.server}, but the settings name workspace "
            f"{workspace_id} of {server}. Run `{REFRESH}`."
        )
    return saved


def saved_pages(file: Path) -> dict[str, str]:
    """Connection to its page, for showing: a file that is missing or not as it should be has none, and runs say so."""
    try:
        saved = SavedWorkspace.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return {}
    return {connection.name: connection.url for connection in saved.connections}


def workspace_of(
    told: Collection[Mapping[str, Any]],
    destinations: Mapping[str, Mapping[str, Any]],
    *,
    server: str,
    workspace_id: str,
    page: str,
    ours: Collection[str],
) -> SavedWorkspace:
    """The workspace that the server's answers tell of.

    Args:
        told: its connections, as the API tells them.
        destinations: id to destination, likewise.
        server: the server's address.
        workspace_id: which of its workspaces.
        page: the workspace's page.
        ours: the connections of this desk.

    Raises:
        SyncError: two connections have the name of one of ours.
    """
    ids = defaultdict(list)
    for connection in told:
        ids[connection["name"]].append(connection["connectionId"])
    for name in sorted(ours):
        if len(ids[name]) > 1:
            raise SyncError(
                f"Workspace {workspace_id} of {server} has {len(ids[name])} connections named {name}: "
                f"{', '.join(sorted(ids[name]))}. Rename or delete all but one. What was saved before stays."
            )
    connections = (
        _connection(connection, _destination(destinations[connection["destinationId"]]), page) for connection in told
    )
    return SavedWorkspace(
        server=server,
        workspace_id=workspace_id,
        connections=tuple(sorted(connections, key=lambda connection: (connection.name, connection.id))),
    )


def _destination(told: Mapping[str, Any]) -> SavedDestination:
    configuration = told["configuration"]
    return SavedDestination(
        id=told["destinationId"],
        name=told["name"],
        kind=told["destinationType"],
        host=str(configuration.get("host", "")),
        database=str(configuration.get("database", "")),
        raw_database=configuration.get("raw_data_schema") or RAW_DATABASE,
        is_raw_only=bool(configuration.get("disable_type_dedupe", False)),
    )


def _connection(told: Mapping[str, Any], destination: SavedDestination, page: str) -> SavedConnection:
    # A source of ours has no namespace of its own: then the destination's database is what Airbyte takes.
    is_custom = told.get("namespaceDefinition") == "custom_format"
    format_ = (told.get("namespaceFormat") or "").replace("${SOURCE_NAMESPACE}", "") if is_custom else ""
    return SavedConnection(
        id=told["connectionId"],
        name=told["name"],
        streams=tuple(sorted(stream["name"] for stream in told["configurations"].get("streams") or [])),
        prefix=told.get("prefix") or "",
        namespace=format_ or destination.database,
        destination=destination,
        url=f"{page}/connections/{told['connectionId']}",
    )
