"""What following the forecasts would have earned, net of cost.

Belongs here: the arithmetic of holding and trading. Does not belong here: making forecasts, sizing live orders.

Time order of one rebalance: the scores of session t decide; the trade happens at the close of t+1, after that
session's return has gone to the old holdings; the new ones earn from t+2 on. A strategy can therefore never
earn the return of the bar that made its signal, nor that of the bar it trades on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.core._frames import require_sorted
from bentleybot_assets.core.evaluation import rank_ic
from bentleybot_assets.core.labels import ENTRY_LAG

TOP_FRACTION = 0.3

Floats = npt.NDArray[np.float64]
Holdings = dict[int, npt.NDArray[np.bool_]]
"""Trading session (position on the session axis) to the instruments that are held from its close on."""


def backtest(
    out_of_sample: pl.DataFrame,
    bars: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    horizon: int,
    cost_bps: float | Mapping[str, float],
) -> pl.DataFrame:
    """Follow each algorithm's forecasts, as contract ``models/backtest``.

    Long-only and fully invested: every ``horizon`` sessions, counted from the algorithm's first forecast, the 30 %
    of the members with the best scores (rounded up, ties by symbol) are bought in equal weights at the close of
    the next session. Between trades the weights drift with total returns. The benchmark holds every member that
    any algorithm scored, in equal weights, bought at the same closes at the same cost.

    An instrument without a bar at the trading session cannot be bought. One without a bar while it is held earns
    nothing until its next bar, whose total return covers the gap, and is sold at its last price.

    Args:
        out_of_sample: contract ``models/out_of_sample``, sorted by algorithm, symbol and session.
        bars: ``market/daily_bars``, sorted by symbol and session.
        labels: contract ``models/labels``, for the rank IC.
        horizon: sessions between rebalances, and horizon of the label.
        cost_bps: cost of trading one way, in basis points of the traded value; one number, or one per symbol.

    Returns:
        One row per algorithm and exchange session from its first forecast to its last; returns are fractions of
        the equity at the previous close, and ``net_return`` is exactly ``gross_return - cost``. ``rank_ic`` is
        null while the outcome is unknown.

    Raises:
        ValueError: unsorted input, or a symbol without cost or bars.
    """
    require_sorted(out_of_sample, ("algorithm", "symbol", "session"), "models/out_of_sample")
    require_sorted(bars, ("symbol", "session"), "market/daily_bars")
    if out_of_sample.is_empty():
        return Backtest.empty()
    universe = out_of_sample.select("symbol", "session").unique()
    parts = []
    for (algorithm,), forecasts in out_of_sample.group_by("algorithm", maintain_order=True):
        market = _Market(bars, universe, forecasts["session"].min(), forecasts["session"].max(), cost_bps)
        scores = market.matrix(forecasts, "score")
        decided = range(0, len(market.sessions) - ENTRY_LAG, horizon)
        decisions = [position for position in decided if np.isfinite(scores[position]).any()]
        portfolio = market.hold({t + ENTRY_LAG: _best(scores[t]) for t in decisions})
        benchmark = market.hold({t + ENTRY_LAG: market.is_member[t] for t in decisions})
        parts.append(
            pl.DataFrame(
                {
                    "algorithm": [algorithm] * len(market.sessions),
                    "session": market.sessions,
                    "gross_return": portfolio.gross,
                    "cost": portfolio.cost,
                    "net_return": portfolio.gross - portfolio.cost,
                    "benchmark_return": benchmark.gross - benchmark.cost,
                    "turnover": portfolio.turnover,
                }
            )
        )
    ics = rank_ic(out_of_sample, labels, horizon=horizon)
    return (
        pl.concat(parts)
        .join(ics, on=["algorithm", "session"], how="left")
        .select(list(Backtest.polars_schema()))
        .sort("algorithm", "session")
    )
