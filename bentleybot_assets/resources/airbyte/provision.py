"""Sets an Airbyte workspace up for this desk: definitions of its images, sources, the MySQL destination, connections.

Each is found by its name (a definition by its image); what is missing is made, what differs is changed, what is of
another definition is refused, nothing is ever deleted. Secrets are sent, never told.

Does not belong here: asking what a workspace has (``saved``), syncing (``server``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bentleybot_assets.connectors.portfolio.files import FILE_KINDS
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.client import ServerClient

DESTINATION = "bentleybot"
"""Name of the destination that all connections share."""
DESTINATION_IMAGE = "airbyte/destination-mysql"
DESTINATION_VERSION = "1.1.1"

_MASK = "**********"
"""What the server tells in place of a secret."""
_INCREMENTAL, _FULL = "incremental_append", "full_refresh_append"


@dataclass(frozen=True)
class WantedSource:
    """A source that the workspace is to have, and the connection from it to the destination.

    Attributes:
        name: of both.
        config: what the source is told.
        image: its image, without a tag.
        version: the image's tag.
    """

    name: str
    config: Mapping[str, Any]
    image: str
    version: str


def provision(
    client: ServerClient,
    sources: Sequence[WantedSource],
    destination: Mapping[str, Any],
    *,
    dry_run: bool,
    sends_secrets: bool,
) -> Iterator[str]:
    """Make the workspace what it should be; yields a line for each thing, when it is done.

    Args:
        client: the workspace's.
        sources: what to read.
        destination: the configuration of the MySQL destination.
        dry_run: change nothing, only say what would be.
        sends_secrets: send every configuration, also where nothing visible differs.

    Raises:
        SyncError: a source reads files of this machine; or the server refuses something, or has under our names what is
            not ours or there twice.
    """
    for source in sources:
        _require_no_files(source)
    work = _Work(client, dry_run=dry_run, sends_secrets=sends_secrets)
    yield f"{client.server}, workspace {client.workspace_id}{': nothing is changed' if dry_run else ''}"
    client.validate_workspace_id()
    definition, line = work.destination_definition()
    yield line
    destination_id, line = work.actor("destination", DESTINATION, definition, DESTINATION_IMAGE, destination)
    yield line
    for source in sources:
        definition, line = work.source_definition(source)
        yield line
        source_id, line = work.actor("source", source.name, definition, source.image, source.config)
        yield line
        yield work.connection(source.name, source_id, destination_id)


def _require_no_files(source: WantedSource) -> None:
    entries = source.config.get("institutions", ())
    if names := [entry["name"] for entry in entries if entry.get("kind") in FILE_KINDS]:
        raise SyncError(
            f"{source.name}: {', '.join(names)}: an Airbyte server does not see files of this machine. Have the desk "
            f"read this connection itself: list {source.name} in airbyte.embedded of bentleybot.yaml."
        )


def changed_settings(wanted: Any, told: Any, *, sends_secrets: bool, place: str = "") -> list[str]:
    """The places where a configuration, or a part of it, is not what the server has.

    Args:
        wanted: what it is to be.
        told: what the server tells: secrets masked, which cannot be compared, and no nulls.
        sends_secrets: count what is masked as changed.
        place: where the part is.
    """
    if told == _MASK and wanted is not None:
        return [place] if sends_secrets else []
    if isinstance(wanted, Mapping) and isinstance(told, Mapping):
        parts = [(f"{place}.{name}", wanted.get(name), told.get(name)) for name in {**wanted, **told}]
    elif isinstance(wanted, list) and isinstance(told, list) and len(wanted) == len(told):
        parts = [(f"{place}[{number}]", *pair) for number, pair in enumerate(zip(wanted, told, strict=True))]
    else:
        return [] if type(wanted) is type(told) and wanted == told else [place]
    return [
        name.removeprefix(".")
        for name, ours, theirs in parts
        for name in changed_settings(ours, theirs, sends_secrets=sends_secrets, place=name)
    ]


class _Work:
    """One pass over a workspace. An id is None where a dry run would have made the thing."""

    def __init__(self, client: ServerClient, *, dry_run: bool, sends_secrets: bool) -> None:
        self._client = client
        self._dry_run = dry_run
        self._sends_secrets = sends_secrets

    def source_definition(self, source: WantedSource) -> tuple[str | None, str]:
        """Id and line of the definition of a source's image."""
        wanted = {"name": f"Bentley Budget Bot {source.name}", "dockerImageTag": source.version}
        what = f"source definition {source.image}"
        found = self._definition("sources", source.image)
        if found is None:
            return self._made(what, self._definitions("sources"), {**wanted, "dockerRepository": source.image}, "id")
        changed = [name for name, value in wanted.items() if found[name] != value]
        return found["id"], self._changed(what, "PUT", f"{self._definitions('sources')}/{found['id']}", wanted, changed)

    def destination_definition(self) -> tuple[str | None, str]:
        """Id and line of the definition of the MySQL destination, which servers do not list any more of themselves."""
        what = f"destination definition {DESTINATION_IMAGE}"
        found = self._definition("destinations", DESTINATION_IMAGE)
        if found is None:
            wanted = {
                "name": "MySQL",
                "dockerRepository": DESTINATION_IMAGE,
                "dockerImageTag": DESTINATION_VERSION,
            }
            return self._made(what, self._definitions("destinations"), wanted, "id")
        if found["dockerImageTag"].startswith("0."):
            raise SyncError(
                f"{self._client.server} has {what} at version {found['dockerImageTag']}, which writes other raw "
                f"tables. Set it to {DESTINATION_VERSION} in Airbyte's settings, then run this again."
            )
        return found["id"], f"{what}: version {found['dockerImageTag']} is used"

    def actor(
        self, kind: str, name: str, definition: str | None, image: str, configuration: Mapping[str, Any]
    ) -> tuple[str | None, str]:
        """Id and line of a source or destination, whose definition is that of its image.

        Raises:
            SyncError: what has its name is of another definition.
        """
        what = f"{kind} {name}"
        found = self._named(f"{kind}s", name)
        if found is None:
            wanted = {
                "name": name,
                "workspaceId": self._client.workspace_id,
                "definitionId": definition,
                "configuration": configuration,
            }
            return self._made(what, f"/{kind}s", wanted, f"{kind}Id")
        found_id = found[f"{kind}Id"]
        if found["definitionId"] != definition:
            raise SyncError(
                f"{what} in workspace {self._client.workspace_id} of {self._client.server} ({found_id}) is of the "
                f"definition {found['definitionId']}, not of {image}"
                f"{f' ({definition})' if definition else ', which has none there'}: it is something else. Rename or "
                "delete it, then run this again."
            )
        changed = changed_settings(configuration, found["configuration"], sends_secrets=self._sends_secrets)
        # Whole: a part of it would be merged with what is there.
        body = {"name": name, "configuration": configuration}
        return found_id, self._changed(what, "PUT", f"/{kind}s/{found_id}", body, changed)

    def connection(self, name: str, source_id: str | None, destination_id: str | None) -> str:
        """The line of the connection from a source to the destination."""
        what = f"connection {name}"
        if source_id is None or destination_id is None:
            return f"{what}: would be created, with the streams that its source offers"
        streams = self._streams(source_id)
        found = self._named("connections", name)
        if found is None:
            wanted = {
                "name": name,
                "sourceId": source_id,
                "destinationId": destination_id,
                "configurations": {"streams": streams},
                "schedule": {"scheduleType": "manual"},
                "namespaceDefinition": "destination",
                "status": "active",
            }
            _, line = self._made(what, "/connections", wanted, "connectionId")
            return f"{line}: {', '.join(stream['name'] for stream in streams)}"
        if (found["sourceId"], found["destinationId"]) != (source_id, destination_id):
            raise SyncError(
                f"{what} on {self._client.server} ({self._client.workspace}/connections/{found['connectionId']}) has "
                "another source or destination than those of this desk, which cannot be changed. Rename or delete it, "
                "then run this again."
            )
        told = {stream["name"]: stream for stream in found["configurations"].get("streams") or []}
        changed = [
            stream["name"]
            for stream in streams
            if {name: told.get(stream["name"], {}).get(name) for name in stream} != stream
        ]
        body: dict[str, Any] = {"configurations": {"streams": streams}} if changed else {}
        if found["status"] != "active":
            changed, body = [*changed, "status"], {**body, "status": "active"}
        return self._changed(what, "PATCH", f"/connections/{found['connectionId']}", body, changed)

    def _streams(self, source_id: str) -> list[dict[str, Any]]:
        """All streams of a source, appended to, incrementally where that is offered."""
        offered = self._client.ask("GET", "/streams", params={"sourceId": source_id})
        return [
            {"name": stream["streamName"], "syncMode": _INCREMENTAL, "cursorField": stream["defaultCursorField"]}
            if _INCREMENTAL in stream["syncModes"] and stream.get("defaultCursorField")
            else {"name": stream["streamName"], "syncMode": _FULL}
            for stream in sorted(offered, key=lambda stream: str(stream["streamName"]))
        ]

    def _definitions(self, kind: str) -> str:
        return f"/workspaces/{self._client.workspace_id}/definitions/{kind}"

    def _definition(self, kind: str, image: str) -> dict[str, Any] | None:
        """The definition of an image.

        Raises:
            SyncError: there are two.
        """
        known = self._client.ask("GET", self._definitions(kind))["data"]
        found = [definition for definition in known if definition["dockerRepository"] == image]
        if len(found) > 1:
            ids = ", ".join(sorted(definition["id"] for definition in found))
            raise SyncError(
                f"Workspace {self._client.workspace_id} of {self._client.server} has {len(found)} definitions of "
                f"{image}: {ids}. Delete all but one, then run this again."
            )
        return dict(found[0]) if found else None

    def _named(self, kind: str, name: str) -> dict[str, Any] | None:
        """The thing of a name.

        Raises:
            SyncError: there are two.
        """
        found = [told for told in self._client.listed(f"/{kind}") if told["name"] == name]
        if len(found) > 1:
            ids = ", ".join(sorted(told[f"{kind.removesuffix('s')}Id"] for told in found))
            raise SyncError(
                f"Workspace {self._client.workspace_id} of {self._client.server} has {len(found)} {kind} named {name}: "
                f"{ids}. Rename or delete all but one, then run this again."
            )
        return dict(found[0]) if found else None

    def _made(self, what: str, path: str, body: Mapping[str, Any], id_name: str) -> tuple[str | None, str]:
        if self._dry_run:
            return None, f"{what}: would be created"
        return self._client.create(path, body)[id_name], f"{what}: created"

    def _changed(self, what: str, method: str, path: str, body: Mapping[str, Any], changed: Sequence[str]) -> str:
        if not changed:
            return f"{what}: as it should be"
        names = ", ".join(changed)
        if self._dry_run:
            return f"{what}: would be changed ({names})"
        self._client.ask(method, path, body)
        return f"{what}: changed ({names})"
