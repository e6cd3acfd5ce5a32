"""An Airbyte source that delivers what a test puts into ``SCRIPT``: good records, bad records, errors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import CheckpointMixin, Stream
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.contracts._base import contract_for

SCRIPT: dict[str, list[list[dict[str, Any]] | Exception]] = {}
"""Stream to batches; a STATE follows each batch. An exception in place of a batch is raised."""

DECLARED: dict[str, Any] = {}
"""What the streams' schemas have beside, or instead of, what their contracts declare."""

SPECIFICATION = {
    "type": "object",
    "required": ["api_key"],
    "properties": {"api_key": {"type": "string", "minLength": 8, "airbyte_secret": True}},
}


class ScriptedStream(Stream, CheckpointMixin):
    primary_key = None

    def __init__(self, name: str, batches: list[list[dict[str, Any]] | Exception]) -> None:
        self.name = name
        self._batches = batches
        self._state: dict[str, Any] = {}

    @property
    def cursor_field(self) -> str:
        return "ex_date" if self.name == "corporate_actions" else "session"

    def get_json_schema(self) -> Mapping[str, Any]:
        contract = contract_for(["raw", "market", self.name])
        return json_schema(contract) | {"properties": {**json_schema(contract)["properties"], **DECLARED}}

    @property
    def state(self) -> MutableMapping[str, Any]:
        return self._state

    @state.setter
    def state(self, value: MutableMapping[str, Any]) -> None:
        self._state = dict(value)

    def stream_slices(self, **_: Any) -> Iterable[Mapping[str, Any]]:
        return [{"batch": number} for number in range(self._state.get("batches", 0), len(self._batches))]

    def read_records(self, sync_mode: Any, cursor_field: Any = None, stream_slice: Any = None, **_: Any) -> Any:
        batch = self._batches[stream_slice["batch"]]
        if isinstance(batch, Exception):
            self.logger.warning("about to fail: %s", batch)
            raise batch
        yield from batch
        # Changed in place, as many sources do.
        self._state["batches"] = stream_slice["batch"] + 1


class ScriptedSource(AbstractSource):
    def spec(self, logger: logging.Logger) -> ConnectorSpecification:
        return ConnectorSpecification(connectionSpecification=SPECIFICATION)

    def check_connection(self, logger: logging.Logger, config: Mapping[str, Any]) -> tuple[bool, None]:
        return True, None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        return [ScriptedStream(name, batches) for name, batches in SCRIPT.items()]


class BreakingOffSource(ScriptedSource):
    """Ends in the middle, without a word: no error, and no stream complete."""

    def read(self, *arguments: Any) -> Any:
        yield from list(super().read(*arguments))[:-2]


class StoppingSource(ScriptedSource):
    """Reads no stream after one that failed."""

    stop_sync_on_stream_failure = True


class FailingSource(ScriptedSource):
    """Fails after all streams were read, for a reason that is of none of them."""

    def read(self, *arguments: Any) -> Any:
        yield from super().read(*arguments)
        yield AirbyteTracedException(message="the disk is full").as_airbyte_message()
