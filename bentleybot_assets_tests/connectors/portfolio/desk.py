"""Institutions whose files lie in a folder, synced one time after the other; and where the recorded files are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteErrorTraceMessage, AirbyteMessage, AirbyteStateMessage

from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.records import normalise
from bentleybot_assets_tests.connectors.market.protocol import error_of, read, records_of, states_of

CONTRACTS: Mapping[str, type[RawContract]] = {
    "accounts": Accounts,
    "balances": Balances,
    "positions": Positions,
    "transactions": Transactions,
}
STREAMS = tuple(CONTRACTS)
KEYS = {
    "accounts": ("institution", "account"),
    "balances": ("institution", "account", "currency", "event_at"),
    "positions": ("institution", "account", "security", "sub_account", "event_at"),
    "transactions": ("institution", "account", "transaction"),
}
PROVENANCE = {"available_at", "is_modelled", "fetched_at", "source", "source_version"}


def recorded(name: str, folder: str = "ofx") -> Path:
    """A recorded file; skips the test where there is none."""
    file = Path(os.environ.get("BENTLEYBOT_FIXTURES", "../shared/fixtures")) / folder / name
    if not file.is_file():
        pytest.skip(f"the recording {name} is not there; set BENTLEYBOT_FIXTURES to the recordings' folder")
    return file


def recorded_answer(folder: str, name: str) -> Any:
    """A recorded answer of an API."""
    return json.loads(recorded(f"{name}.json", folder).read_text())


def assert_it_fits_the_raw_tables(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Each stream has records, and all have exactly the columns of its contract, and good values."""
    for stream, contract in CONTRACTS.items():
        told = records[stream]
        assert told
        assert {tuple(record) for record in told} == {tuple(contract.polars_schema())}
        frame, undeclared = normalise(contract, told)
        outcome = audit(contract, frame)
        assert (undeclared, outcome.faults, outcome.quarantined_rows) == (set(), (), 0)


class Desk:
    """A configuration that is synced again and again, each time a day later, from the STATE of the time before.

    Args:
        *entries: of ``institutions``.
    """

    def __init__(self, *entries: Mapping[str, Any]) -> None:
        self.config = {"mode": "institutions", "institutions": list(entries)}
        self.now = datetime(2024, 3, 1, 8, tzinfo=UTC)
        self.states: list[AirbyteStateMessage] | None = None
        self.messages: list[AirbyteMessage] = []
        self.told: dict[str, list[dict[str, Any]]] = {stream: [] for stream in STREAMS}

    def sync(self, *streams: str) -> dict[str, list[dict[str, Any]]]:
        """The records of one sync, by stream."""
        self.messages = read(
            self.config, self.states, source=PortfolioSource(lambda: self.now), streams=streams or STREAMS
        )
        self.now += timedelta(days=1)
        self.states = states_of(self.messages) or self.states
        records = {stream: records_of(self.messages, stream) for stream in STREAMS}
        for stream, news in records.items():
            self.told[stream] += news
        return records

    @property
    def error(self) -> AirbyteErrorTraceMessage | None:
        """The error that the last sync ended with."""
        return error_of(self.messages)

    def problems(self, stream: str = "transactions") -> Mapping[str, str]:
        """What the STATE says of parts that were not, or not wholly, read."""
        state = next(s for s in self.states if s.stream.stream_descriptor.name == stream)
        return vars(state.stream.stream_state)["problems"]

    def current(self, stream: str = "transactions") -> dict[tuple[str, ...], dict[str, Any]]:
        """The newest version of all that was ever told, without where it comes from."""
        newest: dict[tuple[str, ...], dict[str, Any]] = {}
        for record in sorted(self.told[stream], key=lambda told: told["fetched_at"]):
            key = tuple(record[name] for name in KEYS[stream])
            newest[key] = {name: value for name, value in record.items() if name not in PROVENANCE}
        return newest
