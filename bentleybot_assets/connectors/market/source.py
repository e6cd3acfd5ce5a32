"""The Airbyte source ``market``: its configuration and its streams.

Belongs here: the protocol. Does not belong here: where prices come from (``sample``, ``yahoo``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream

from bentleybot_assets.connectors.feeds import ConfigError, TransientError
from bentleybot_assets.connectors.market.records import Feed
from bentleybot_assets.connectors.market.sample import SampleFeed
from bentleybot_assets.connectors.market.sample_rates import BILL_SERIES
from bentleybot_assets.connectors.market.yahoo import BILLS, YahooFeed
from bentleybot_assets.connectors.specification import start_date, start_date_schema
from bentleybot_assets.connectors.streams import PartedStream, traced
from bentleybot_assets.contracts._base import SYMBOL_PATTERN
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
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
        "hourly_symbols": {
            "type": "array",
            "items": {"type": "string", "pattern": SYMBOL_PATTERN},
            "uniqueItems": True,
            "title": "Hourly symbols",
            "description": "Instruments to read hourly bars of; Yahoo keeps those of the last two years. None means "
            "none, but in mode sample all.",
            "default": [],
            "order": 2,
        },
        "fx_pairs": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Z]{6}$"},
            "uniqueItems": True,
            "title": "Exchange rates",
            "description": "Pairs of currencies: EURUSD is what one euro costs in dollars. None means none, but in "
            "mode sample all.",
            "examples": [["EURUSD"]],
            "default": [],
            "order": 3,
        },
        "risk_free_series": {
            "type": "array",
            "items": {"type": "string", "enum": [*BILLS, BILL_SERIES]},
            "uniqueItems": True,
            "title": "Risk-free rates",
            "description": f"Series of Treasury bills: {', '.join(BILLS)} from Yahoo, {BILL_SERIES} in mode sample. "
            "None means none, but in mode sample all.",
            "default": [],
            "order": 4,
        },
        "start_date": start_date_schema(f"First day to read, not before {FIRST_DAY}.", order=5),
        "lookback_sessions": {
            "type": "integer",
            "minimum": 1,
            "title": "Look-back",
            "description": "Yahoo only: sessions that each sync reads again, for restated values; days of what trades "
            "around the clock.",
            "default": _DEFAULT_LOOKBACK,
            "order": 6,
        },
        "base_url": {
            "type": ["string", "null"],
            "pattern": "^https?://",
            "title": "Base URL",
            "description": "Yahoo only: send all requests here instead of to Yahoo, for a recorded replay.",
            "default": None,
            "order": 7,
        },
    },
}


class MarketSource(AbstractSource):
    """Bars and corporate actions of the configured symbols, exchange rates, rates of Treasury bills.

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
        """All streams, reading from one feed."""
        with traced():
            feed = self._feed(config)
        kept = {"mode": config["mode"], "start_date": start_date(config).isoformat()}
        return [
            PartedStream(DailyBars, "session", feed.symbols, feed.daily_bars, **kept),
            PartedStream(CorporateActions, "ex_date", feed.symbols, feed.corporate_actions, **kept),
            PartedStream(HourlyBars, "bar_at", feed.hourly_symbols, feed.hourly_bars, **kept),
            PartedStream(FxRates, "rate_date", feed.fx_pairs, feed.fx_rates, **kept),
            PartedStream(RiskFreeRates, "rate_date", feed.risk_free_series, feed.risk_free_rates, **kept),
        ]

    def _feed(self, config: Mapping[str, Any]) -> Feed:
        symbols = config.get("symbols", [])
        start = start_date(config)
        if start < FIRST_DAY:
            raise ConfigError(f"`start_date` is {start}, but sessions are known from {FIRST_DAY} on. Set it later.")
        others = {name: config.get(name, []) for name in ("hourly_symbols", "fx_pairs", "risk_free_series")}
        mode = config.get("mode")
        if mode == "sample":
            return SampleFeed(symbols, start, **others)
        if mode != "yahoo":
            raise ConfigError(f"`mode` is {mode!r}. Set it to {' or '.join(DATA_MODES)}.")
        if not symbols:
            raise ConfigError("Mode yahoo needs symbols to ask for. List at least one in `symbols`.")
        return YahooFeed(
            symbols,
            start,
            **others,
            lookback_sessions=config.get("lookback_sessions", _DEFAULT_LOOKBACK),
            base_url=config.get("base_url"),
            clock=self._clock,
        )
