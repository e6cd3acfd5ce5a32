"""From the champion's ranking to BUY, HOLD or SELL, with reasons.

Does not belong here: forecasting (``forecasts``), how much to buy (``sizing``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets.core.universe import by_symbol, the_session

NO_EDGE = "NO_EDGE"
_RANK_MIDDLE = "RANK_MIDDLE"
_MEANINGS = {
    NO_EDGE: "No model has shown an edge after costs, so nobody is preferred: every member is bought",
    _RANK_MIDDLE: "The champion ranks it neither high enough to buy nor low enough to sell",
    r"RANK_TOP_([\d.]+)": r"The champion ranks it in the top \1 % of the universe",
    r"RANK_BOTTOM_([\d.]+)": r"The champion ranks it in the bottom \1 % of the universe",
    "CHAMPION_MOMENTUM": "The champion ranks by 12-1 month momentum",
    "CHAMPION_RIDGE": "The champion is a ridge regression on the ranked features",
}


def trading_signals(
    forecasts: pl.DataFrame,
    instruments: pl.DataFrame,
    versions: pl.DataFrame,
    *,
    costs_bps: Mapping[str, float],
    buy_at: float = 0.70,
    sell_at: float = 0.40,
) -> pl.DataFrame:
    """What to do with each member at one session, as contract ``signals/trading_signals``.

    The champion's percentile decides: BUY at or above ``buy_at``, SELL at or below ``sell_at``, HOLD between; the
    gap keeps a member that moves a little from being traded to and fro. While the champion has no edge the
    allocation needs no model: BUY for every member, confidence 0, reason ``NO_EDGE``.

    Args:
        forecasts: rows of ``signals/forecasts`` of one session; challengers are ignored.
        instruments: columns of ``market/instruments``.
        versions: columns of ``models/return_forecaster``; must hold the champion.
        costs_bps: expected cost of one trade per asset class, basis points of its value. A signal states the
            round trip, twice that.
        buy_at: lowest percentile to buy, fraction.
        sell_at: highest percentile to sell, fraction below ``buy_at``.

    Returns:
        One row per member, sorted by symbol.

    Raises:
        ValueError: the forecasts are not of one session and one champion, the champion is unknown, a percentile is
            missing, a member is not tradable, its asset class has no cost, or the thresholds cross.
    """
    if not 0 <= sell_at < buy_at <= 1:
        raise ValueError(f"sell_at {sell_at} and buy_at {buy_at} must satisfy 0 <= sell_at < buy_at <= 1.")
    members = forecasts.filter("is_champion").sort("symbol")
    session = the_session(members, "The champion's forecasts")
    version = _champion(members, versions)
    unranked = members.filter(~pl.col("percentile").is_between(0, 1).fill_null(value=False))
    if not unranked.is_empty():
        row = unranked.row(0, named=True)
        raise ValueError(
            f"signals/forecasts ranks {row['symbol']} at percentile {row['percentile']} in session {session}; "
            "a rank from 0 to 1 is needed to decide."
        )
    costs = by_symbol(costs_bps, "cost", members["symbol"], instruments, session)

    percentile = pl.col("percentile")
    champion_reason = f"CHAMPION_{str(version['algorithm']).upper()}"
    if version["has_edge"]:
        action = (
            pl.when(percentile >= buy_at)
            .then(pl.lit("BUY"))
            .when(percentile <= sell_at)
            .then(pl.lit("SELL"))
            .otherwise(pl.lit("HOLD"))
        )
        rank_reason = (
            pl.when(percentile >= buy_at)
            .then(pl.lit(f"RANK_TOP_{_percent(1 - buy_at)}"))
            .when(percentile <= sell_at)
            .then(pl.lit(f"RANK_BOTTOM_{_percent(sell_at)}"))
            .otherwise(pl.lit(_RANK_MIDDLE))
        )
        confidence = (2 * percentile - 1).abs()
    else:
        action, rank_reason, confidence = pl.lit("BUY"), pl.lit(NO_EDGE), pl.lit(0.0)
    return members.with_columns(
        action=action,
        confidence=confidence,
        reasons=pl.concat_str(rank_reason, pl.lit(f",{champion_reason}")),
        expected_cost_bps=pl.Series([2 * cost for cost in costs.values()], dtype=pl.Float64),
    ).select(list(TradingSignals.polars_schema()))


def explain(reason: str) -> str:
    """A reason code in plain words, without a full stop.

    Raises:
        ValueError: no signal carries such a code.
    """
    for pattern, meaning in _MEANINGS.items():
        if match := re.fullmatch(pattern, reason):
            return match.expand(meaning)
    raise ValueError(f"{reason!r} is no reason code; signals carry {', '.join(_MEANINGS)}.")


def _champion(members: pl.DataFrame, versions: pl.DataFrame) -> dict[str, object]:
    names = members["model_version"].unique().sort().to_list()
    if len(names) != 1:
        raise ValueError(
            f"signals/forecasts names {len(names)} champions in session {members['session'][0]}: "
            f"{', '.join(names)}. One version decides: mend is_champion in models/return_forecaster."
        )
    found = versions.filter(model_version=names[0])
    if found.is_empty():
        raise ValueError(
            f"Champion {names[0]} of session {members['session'][0]} is not in models/return_forecaster, so whether "
            "it has an edge is unknown. Materialise signals/forecasts again on the current versions."
        )
    return found.row(0, named=True)


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.4g}"
