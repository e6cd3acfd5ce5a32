"""The Airbyte source ``portfolio``: its configuration and its streams.

Belongs here: the protocol, and the list of kinds. Does not belong here: where records come from (a module per kind).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets, filter_secrets

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Read, Record, TransientError
from bentleybot_assets.connectors.portfolio.alpaca import AlpacaInstitution
from bentleybot_assets.connectors.portfolio.csv_institution import CsvInstitution
from bentleybot_assets.connectors.portfolio.institutions import Institution
from bentleybot_assets.connectors.portfolio.ofx_institution import OfxInstitution
from bentleybot_assets.connectors.portfolio.plaid import PlaidInstitution
from bentleybot_assets.connectors.portfolio.sample import NAMES, SampleInstitution
from bentleybot_assets.connectors.specification import entry_schema, start_date, start_date_schema
from bentleybot_assets.connectors.streams import PartedStream, traced
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

KINDS: Mapping[str, type[Institution]] = {
    "csv": CsvInstitution,
    "ofx": OfxInstitution,
    "plaid": PlaidInstitution,
    "alpaca": AlpacaInstitution,
}
"""How an institution can be read: the ``kind`` of an entry to its class."""

MODES = ("sample", "institutions")

_STREAMS: Mapping[type[RawContract], str] = {
    Accounts: "fetched_at",
    Balances: "event_at",
    Positions: "event_at",
    Transactions: "fetched_at",
}
"""Contract of each stream to its cursor column."""


_Reads = Institution | SampleInstitution
_Opened = Callable[[], _Reads]


_ENTRIES = [
    entry_schema(
        kind,
        institution.SETTINGS,
        institution.REQUIRED,
        "What you call the institution; its records carry this name.",
    )
    for kind, institution in KINDS.items()
]

_SPECIFICATION: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Portfolio",
    "type": "object",
    "required": ["mode"],
    "additionalProperties": False,
    "properties": {
        "mode": {
            "type": "string",
            "enum": list(MODES),
            "title": "Mode",
            "description": "sample: statements written for this project, offline. institutions: your own accounts.",
            "order": 0,
        },
        "institutions": {
            "type": "array",
            "items": {"type": "object", "oneOf": _ENTRIES},
            "title": "Institutions",
            "description": "Banks and brokers to read. Mode institutions needs at least one.",
            "default": [],
            "order": 1,
        },
        "start_date": start_date_schema("First day to read.", 2),
    },
}


class PortfolioSource(AbstractSource):
    """Accounts, balances, positions and transactions of the configured institutions.

    Args:
        clock: the present, timezone-aware. Records carry it as ``fetched_at``; the sample's do not.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - the cdk's signature
        """The configuration's JSON schema."""
        return ConnectorSpecification(connectionSpecification=_SPECIFICATION)

    def check_connection(
        self,
        logger: logging.Logger,  # noqa: ARG002 - the cdk's signature
        config: Mapping[str, Any],
    ) -> tuple[bool, str | None]:
        """Whether every institution can be read."""
        try:
            institutions = self._institutions(config)
        except ConfigError as problem:
            return False, str(problem)
        problems = []
        for name, institution in institutions.items():
            try:
                institution().check()
            except (ConfigError, TransientError) as problem:
                problems.append(f"{name}: {problem}")
        return not problems, filter_secrets(" ".join(problems)) or None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        """The four streams, whose parts are the institutions."""
        with traced():
            institutions = self._institutions(config)
        return [
            PartedStream(
                contract,
                cursor,
                tuple(institutions),
                _reader(institutions, contract),
                mode=config["mode"],
                start_date=start_date(config).isoformat(),
            )
            for contract, cursor in _STREAMS.items()
        ]

    def _institutions(self, config: Mapping[str, Any]) -> dict[str, _Opened]:
        """Name to institution, in the order of the configuration."""
        mode, entries, start = config.get("mode"), config.get("institutions", []), start_date(config)
        if mode == "sample":
            if entries:
                raise ConfigError("Mode sample reads no `institutions`. Set `mode: institutions`, or take them out.")
            return {name: _opened(SampleInstitution, name, start) for name in NAMES}
        if mode != "institutions":
            raise ConfigError(f"`mode` is {mode!r}. Set it to {' or '.join(MODES)}.")
        if not entries:
            raise ConfigError("Mode institutions needs accounts to read. List at least one entry in `institutions`.")
        institutions: dict[str, _Opened] = {}
        for entry in entries:
            name = entry["name"]
            if name in institutions:
                raise ConfigError(f"Two entries of `institutions` are named {name}. Rename one of them.")
            kind = KINDS.get(entry["kind"])
            if kind is None:
                raise ConfigError(f"{name}: `kind` is {entry['kind']!r}. Set it to {' or '.join(KINDS)}.")
            _hide_secrets(kind, entry)
            institutions[name] = _opened(kind, entry, start, self._clock)
        return institutions


def _opened(institution: Callable[..., _Reads], *arguments: Any) -> _Opened:
    """Makes an institution when it is first read: a wrong entry leaves out that institution alone."""
    return functools.cache(lambda: institution(*arguments))


def _reader(institutions: Mapping[str, _Opened], contract: type[RawContract]) -> Read:
    """Reads a stream of any institution."""

    def read(part: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        return institutions[part]().read(contract, mark)

    return read


def _hide_secrets(kind: type[Institution], entry: Mapping[str, Any]) -> None:
    """Keep the entry's secrets out of messages: the cdk by itself finds none inside an array."""
    for setting, schema in kind.SETTINGS.items():
        if schema.get("airbyte_secret") and entry.get(setting):
            add_to_secrets(str(entry[setting]))
