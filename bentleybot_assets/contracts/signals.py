"""Signal tables: what the models say of a session, and what the desk makes of it."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, column
from bentleybot_assets.contracts.models import ALGORITHMS


class Forecasts(Contract):
    """Champion and challenger side by side: each serving version's forecast for each member."""

    _rules = TableRules(grain=("model_version", "symbol", "session"))

    model_version: str = column("Version that made the forecast", str_matches=r"^[0-9a-f]{16}$")
    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Session of the decision")
    algorithm: str = column("How the version forecasts", isin=ALGORITHMS)
    score: float = column("Predicted forward rank; comparable within one version and session only")
    percentile: float = column("Rank of the score among the members, 1 is best", unit="fraction", ge=0, le=1)
    is_champion: bool = column("Made by the version that decides")


class TradingSignals(Contract):
    """What to do with each member, and why."""

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Session of the decision")
    action: str = column("What to do", isin=("BUY", "HOLD", "SELL"))
    percentile: float = column("Champion's rank among the members, 1 is best", unit="fraction", ge=0, le=1)
    confidence: float = column(
        "Distance of the percentile from the middle, 0 to 1; 0 without an edge", unit="fraction", ge=0, le=1
    )
    reasons: str = column("Reason codes, comma separated")
    expected_cost_bps: float = column("Estimated cost of a round trip", unit="basis points", ge=0)
    model_version: str = column("Champion version", str_matches=r"^[0-9a-f]{16}$")
