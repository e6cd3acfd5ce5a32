"""The Airbyte source ``market``: its configuration, its streams and their STATE.

Belongs here: the protocol. Does not belong here: where prices come from (``sample``, ``yahoo``).

STATE keeps a mark per symbol, so that a symbol added later gets its whole history, and is sent after each
symbol::

    {"mode": "sample", "symbols": {"IBM": {"start_date": "1990-01-01", "session": "2013-03-01"}, ...}}
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteRecordMessage,
    ConnectorSpecification,
    FailureType,
    SyncMode,
    Type,
)
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import CheckpointMixin, Stream
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.market.records import (
    ConfigError,
    Feed,
    Mark,
    Record,
    TransientError,
)
from bentleybot_assets.connectors.market.sample import SampleFeed
from bentleybot_assets.connectors.market.yahoo import YahooFeed
from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.sessions import FIRST_DAY
from bentleybot_assets.contracts.trading import DATA_MODES

_DEFAULT_LOOKBACK = 5

_SPECIFICATION: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Market",
    "type": "object",
    "required": ["mode"],
    "additionalProperties": False,
    "properties": {
        "mode": {
            "type": "string",
            "enum": list(DATA_MODES),
            "title": "Mode",
            "description": "sample: recorded prices from installed packages, offline. yahoo: Yahoo Finance.",
            "order": 0,
        },
        "symbols": {
            "type": "array",
            "items": {"type": "string", "pattern": SYMBOL_PATTERN},
            "uniqueItems": True,
            "title": "Symbols",
            "description": "Instruments to read. Yahoo needs at least one; in mode sample none means all.",
            "default": [],
            "order": 1,
        },
        "start_date": {
            "type": "string",
            "format": "date",
            "pattern": r"^\d{4}-\d{2}-\d{2}$",
            "title": "Start date",
            "description": f"First session to read, not before {FIRST_DAY}.",
            "default": FIRST_DAY.isoformat(),
            "order": 2,
        },
        "lookback_sessions": {
            "type": "integer",
            "minimum": 1,
            "title": "Look-back",
            "description": "Yahoo only: sessions that each sync reads again, for restated values.",
            "default": _DEFAULT_LOOKBACK,
            "order": 3,
        },
        "base_url": {
            "type": ["string", "null"],
            "pattern": "^https?://",
            "title": "Base URL",
            "description": "Yahoo only: send all requests here instead of to Yahoo, for a recorded replay.",
            "default": None,
            "order": 4,
        },
    },
}


class MarketSource(AbstractSource):
    """Daily bars and corporate actions of the configured symbols.

    Args:
        clock: the present, timezone-aware. Yahoo's records carry it as ``fetched_at``; the sample's do not.
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
        """Whether the feed can deliver: the sample's files are there; Yahoo answers for the first symbol."""
        try:
            self._feed(config).check()
        except (ConfigError, TransientError) as problem:
            return False, str(problem)
        return True, None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        """Both streams, reading from one feed."""
        with _traced():
            feed = self._feed(config)
        kept = {"mode": config["mode"], "start_date": _start_date(config).isoformat()}
        return [
            MarketStream(DailyBars, "session", feed, feed.daily_bars, **kept),
            MarketStream(CorporateActions, "ex_date", feed, feed.corporate_actions, **kept),
        ]

    def _feed(self, config: Mapping[str, Any]) -> Feed:
        symbols = config.get("symbols", [])
        start = _start_date(config)
        if start < FIRST_DAY:
            raise ConfigError(f"`start_date` is {start}, but sessions are known from {FIRST_DAY} on. Set it later.")
        mode = config.get("mode")
        if mode == "sample":
            return SampleFeed(symbols, start)
        if mode != "yahoo":
            raise ConfigError(f"`mode` is {mode!r}. Set it to {' or '.join(DATA_MODES)}.")
        if not symbols:
            raise ConfigError("Mode yahoo needs symbols to ask for. List at least one in `symbols`.")
        return YahooFeed(
            symbols,
            start,
            lookback_sessions=config.get("lookback_sessions", _DEFAULT_LOOKBACK),
            base_url=config.get("base_url"),
            clock=self._clock,
        )


class MarketStream(Stream, CheckpointMixin):
    """One stream: the contract's columns, one slice per symbol, a STATE after each.

    Args:
        contract: declares the columns and, as its grain, the primary key.
        cursor: the cursor column.
        feed: whose symbols are read.
        read: the feed's method for this stream.
        mode: kept in the STATE, because a log of sample data must never go on as market data.
        start_date: kept in the marks, so that an earlier one reads the history again.
    """

    def __init__(
        self,
        contract: type[Contract],
        cursor: str,
        feed: Feed,
        read: Callable[[str, Mark | None], tuple[Iterable[Record], Mark | None]],
        *,
        mode: str,
        start_date: str,
    ) -> None:
        self.name = contract.asset_key()[-1]
        self._schema = json_schema(contract)
        self._primary_key = list(contract.rules().grain)
        self._cursor = cursor
        self._feed = feed
        self._read = read
        self._mode = mode
        self._start_date = start_date
        self._state: MutableMapping[str, Any] = {}

    @property
    def primary_key(self) -> list[str]:
        """The contract's grain: a newer version of a record is another record."""
        return self._primary_key

    @property
    def cursor_field(self) -> str:
        """The column that grows."""
        return self._cursor

    def get_json_schema(self) -> Mapping[str, Any]:
        """The contract, as JSON schema."""
        return self._schema

    @property
    def state(self) -> MutableMapping[str, Any]:
        """Marks of the symbols read so far."""
        return self._state

    @state.setter
    def state(self, value: MutableMapping[str, Any]) -> None:
        if value and value["mode"] != self._mode:
            problem = ConfigError(
                f"This connection's log was read in mode {value['mode']}, the configuration says {self._mode}. "
                "One log must not mix them: use another warehouse or connection."
            )
            raise _traced_exception(problem, FailureType.config_error)
        self._state = value

    def stream_slices(self, **_: Any) -> Iterable[Mapping[str, Any]]:
        """One slice per symbol."""
        return [{"symbol": symbol} for symbol in self._feed.symbols]

    def read_records(
        self,
        sync_mode: SyncMode,
        cursor_field: list[str] | None = None,  # noqa: ARG002 - the cdk's signature
        stream_slice: Mapping[str, Any] | None = None,
        stream_state: Mapping[str, Any] | None = None,  # noqa: ARG002 - the cdk's signature
    ) -> Iterable[AirbyteMessage]:
        """The slice's records after its mark, oldest first.

        They come as messages, not as mappings, which spares the cdk copying and wrapping each one.
        """
        symbol = (stream_slice or {})["symbol"]
        marks = self._state.get("symbols", {})
        mark = marks.get(symbol)
        if mark is not None and (sync_mode is SyncMode.full_refresh or self._start_date < mark["start_date"]):
            mark = None
        with _traced():
            records, new_mark = self._read(symbol, mark)
        emitted_at = time.time_ns() // 1_000_000
        for record in records:
            yield AirbyteMessage(
                type=Type.RECORD,
                record=AirbyteRecordMessage(stream=self.name, data=record, emitted_at=emitted_at),
            )
        if new_mark is not None:
            start_date = mark["start_date"] if mark is not None else self._start_date
            # A new mapping, not a changed one: STATE messages already sent hold on to the old one.
            self._state = {
                "mode": self._mode,
                "symbols": {**marks, symbol: {"start_date": start_date, **new_mark}},
            }


def _start_date(config: Mapping[str, Any]) -> date:
    return date.fromisoformat(config.get("start_date", FIRST_DAY.isoformat()))


@contextmanager
def _traced() -> Iterator[None]:
    """Turn a feed's problems into the protocol's."""
    try:
        yield
    except ConfigError as problem:
        raise _traced_exception(problem, FailureType.config_error) from problem
    except TransientError as problem:
        raise _traced_exception(problem, FailureType.transient_error) from problem


def _traced_exception(problem: Exception, failure_type: FailureType) -> AirbyteTracedException:
    return AirbyteTracedException(
        message=str(problem), internal_message=str(problem), failure_type=failure_type, exception=problem
    )
