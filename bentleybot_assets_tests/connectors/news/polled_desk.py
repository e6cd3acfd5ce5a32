"""A feed behind an API, read one day after the other, each time from the STATE of the day before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airbyte_cdk.models import AirbyteErrorTraceMessage, AirbyteMessage, AirbyteStateMessage

from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets_tests.connectors.market.protocol import error_of, read, records_of, states_of


class Desk:
    """A configuration with feeds of one stream."""

    def __init__(self, stream: str, *entries: Mapping[str, Any]) -> None:
        self.config: dict[str, Any] = {"mode": "feeds", "feeds": list(entries)}
        self.now = datetime(2024, 3, 1, 8, tzinfo=UTC)
        self.states: list[AirbyteStateMessage] | None = None
        self.messages: list[AirbyteMessage] = []
        self.stream = stream

    def sync(self) -> list[dict[str, Any]]:
        """The records of one sync."""
        self.messages = read(self.config, self.states, source=NewsSource(lambda: self.now), streams=(self.stream,))
        self.now += timedelta(days=1)
        self.states = states_of(self.messages) or self.states
        return records_of(self.messages, self.stream)

    @property
    def error(self) -> AirbyteErrorTraceMessage | None:
        """The error that the last sync ended with."""
        return error_of(self.messages)

    @property
    def marks(self) -> dict[str, Any]:
        """The marks in the STATE."""
        marks = self.states[0].stream.stream_state.marks
        return marks if isinstance(marks, dict) else vars(marks)

    @property
    def problems(self) -> dict[str, str]:
        """What the STATE says of parts that were not, or not wholly, read."""
        problems = self.states[0].stream.stream_state.problems
        return problems if isinstance(problems, dict) else vars(problems)
