"""Reading the market source in this process, the way a platform would."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airbyte_cdk.models import (
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
)

from bentleybot_assets.connectors.market.source import MarketSource

LOGGER = logging.getLogger("airbyte.test")


def read(
    config: Mapping[str, Any],
    state: list[AirbyteStateMessage] | None = None,
    *,
    source: MarketSource | None = None,
    streams: tuple[str, ...] = ("daily_bars", "corporate_actions"),
    sync_mode: SyncMode = SyncMode.incremental,
) -> list[AirbyteMessage]:
    """All messages of one read; an error the source reports is the last of them."""
    source = source or MarketSource()
    offered = {stream.name: stream for stream in source.discover(LOGGER, config).streams}
    catalog = ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=offered[name], sync_mode=sync_mode, destination_sync_mode=DestinationSyncMode.append
            )
            for name in streams
        ]
    )
    messages = []
    for message in source.read(LOGGER, config, catalog, state):
        messages.append(message)
        if error_of([message]):
            break
    return messages


def read_at(
    now: datetime,
    config: Mapping[str, Any],
    state: list[AirbyteStateMessage] | None = None,
    streams: tuple[str, ...] = ("daily_bars", "corporate_actions"),
) -> list[AirbyteMessage]:
    """All messages of a read at a certain time."""
    return read(config, state, source=MarketSource(clock=lambda: now), streams=streams)


def error_of(messages: list[AirbyteMessage]) -> AirbyteErrorTraceMessage | None:
    """The error the source reported, if it did."""
    return next((m.trace.error for m in messages if m.trace is not None and m.trace.error), None)


def records_of(messages: list[AirbyteMessage], stream: str) -> list[dict[str, Any]]:
    """The data of a stream's records, in order."""
    return [m.record.data for m in messages if m.record is not None and m.record.stream == stream]


def states_of(messages: list[AirbyteMessage]) -> list[AirbyteStateMessage]:
    """The newest STATE of each stream."""
    newest = {m.state.stream.stream_descriptor.name: m.state for m in messages if m.state is not None}
    return list(newest.values())
