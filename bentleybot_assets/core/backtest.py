"""What following the forecasts would have earned, net of cost.

Belongs here: the arithmetic of holding and trading. Does not belong here: forecasts, the sizing of orders.

Time order of one rebalance: the scores of session t decide; the trade happens at the close of t+1, after that
session's return has gone to the old holdings; the new ones earn from t+2 on. A strategy can therefore never
earn the return of the bar that made its signal, nor that of the bar it trades on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import polars as pl

from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.core._frames import require_sorted
from bentleybot_assets.core.evaluation import rank_ic
from bentleybot_assets.core.labels import ENTRY_LAG

TOP_FRACTION = Fraction(3, 10)
"""Share of the members that is held; exact, so that 30 % of 10 is 3."""

BAR_COLUMNS = ("symbol", "session", "total_return")
"""Columns of ``market/daily_bars`` that a back-test needs."""

_BPS = 1e-4

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def backtest(
    out_of_sample: pl.DataFrame,
    bars: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    horizon: int,
    cost_bps: float | Mapping[str, float],
) -> pl.DataFrame:
    """Follow each algorithm's forecasts, as contract ``models/backtest``.

    Long-only and fully invested: every ``horizon`` sessions, counted from the first forecast of any algorithm so that
    all trade on the same days, the 30 % of the members with the best scores (rounded up, ties by symbol) are bought in
    equal weights at the close of the next session. Between trades the weights drift with total returns. The benchmark
    holds every member that any algorithm scored, in equal weights, bought at the same closes at the same cost.

    An instrument without a bar at the trading session cannot be bought. One without a bar while it is held
    earns nothing until its next bar, whose total return covers the gap; if none follows, it is sold at its
    last price.

    Args:
        out_of_sample: contract ``models/out_of_sample``, sorted by algorithm, symbol and session.
        bars: :data:`BAR_COLUMNS` of ``market/daily_bars``, sorted by symbol and session.
        labels: contract ``models/labels``, for the rank IC.
        horizon: sessions between rebalances, and horizon of the label.
        cost_bps: cost of trading one way, in basis points of the traded value; one number, or one per symbol.

    Returns:
        One row per algorithm and session from its first decision to its last forecast. Returns and cost are fractions
        of the equity at the previous close, ``net_return`` is exactly ``gross_return - cost``. ``rank_ic`` is
        null while the outcome is unknown.

    Raises:
        ValueError: unsorted input, or a symbol that ``cost_bps`` does not name.
    """
    require_sorted(out_of_sample, ("algorithm", "symbol", "session"), "models/out_of_sample")
    require_sorted(bars, ("symbol", "session"), "market/daily_bars")
    if out_of_sample.is_empty():
        return Backtest.empty_frame()
    symbols = out_of_sample["symbol"].unique().sort()
    sessions = bars["session"].unique().sort()
    sessions = sessions.filter(sessions.is_between(out_of_sample["session"].min(), out_of_sample["session"].max()))
    returns = _grid(bars, "total_return", sessions, symbols)
    market = _Market(
        sessions=sessions,
        symbols=symbols,
        is_member=np.isfinite(_grid(out_of_sample, "score", sessions, symbols)),
        has_bar=np.isfinite(returns),
        returns=np.nan_to_num(returns, nan=0.0),
        cost_rates=_cost_rates(cost_bps, symbols),
    )
    tracks = [
        market.follow(forecasts, horizon).with_columns(algorithm=pl.lit(algorithm))
        for (algorithm,), forecasts in out_of_sample.group_by("algorithm", maintain_order=True)
    ]
    ics = rank_ic(out_of_sample, labels, horizon=horizon)
    return (
        pl.concat(tracks)
        .join(ics, on=["algorithm", "session"], how="left")
        .select(list(Backtest.polars_schema()))
        .sort("algorithm", "session")
    )


def _grid(rows: pl.DataFrame, value: str, sessions: pl.Series, symbols: pl.Series) -> Floats:
    """Values as an array of sessions by symbols; NaN where there is no row or no value."""
    axis_0 = pl.DataFrame({"session": sessions}).with_row_index("row")
    axis_1 = pl.DataFrame({"symbol": symbols}).with_row_index("column")
    cells = (
        rows.select("symbol", "session", value).drop_nulls(value).join(axis_0, on="session").join(axis_1, on="symbol")
    )
    grid = np.full((len(sessions), len(symbols)), np.nan)
    grid[cells["row"].to_numpy(), cells["column"].to_numpy()] = cells[value].to_numpy()
    return grid


def _cost_rates(cost_bps: float | Mapping[str, float], symbols: pl.Series) -> Floats:
    if not isinstance(cost_bps, Mapping):
        return np.full(len(symbols), cost_bps * _BPS)
    unnamed = [symbol for symbol in symbols if symbol not in cost_bps]
    if unnamed:
        raise ValueError(f"cost_bps names no cost for {', '.join(unnamed)}. Add one per symbol in basis points.")
    return np.array([cost_bps[symbol] * _BPS for symbol in symbols])


def _best(scores: Floats) -> Mask:
    """The top share of the scored members; ties go to the symbol that sorts first."""
    count = int(np.isfinite(scores).sum())
    held = np.argsort(-scores, kind="stable")[: math.ceil(count * TOP_FRACTION)]
    mask = np.zeros(len(scores), dtype=np.bool_)
    mask[held] = True
    return mask


@dataclass(frozen=True)
class _Track:
    """A portfolio's history, one value per session."""

    gross_return: Floats
    cost: Floats
    turnover: Floats


@dataclass(frozen=True)
class _Market:
    """What can be held, what it earns and what trading it costs; arrays are sessions by symbols."""

    sessions: pl.Series
    symbols: pl.Series
    is_member: Mask
    has_bar: Mask
    returns: Floats
    cost_rates: Floats

    def follow(self, forecasts: pl.DataFrame, horizon: int) -> pl.DataFrame:
        """One algorithm and its benchmark, from its first decision to its last forecast."""
        scores = _grid(forecasts, "score", self.sessions, self.symbols)
        scored = np.flatnonzero(np.isfinite(scores).any(axis=1))
        first, last = int(scored[0]), int(scored[-1])
        first += -first % horizon
        decisions = range(first, last + 1 - ENTRY_LAG, horizon)
        strategy = self.hold({t + ENTRY_LAG: _best(scores[t]) for t in decisions})
        benchmark = self.hold({t + ENTRY_LAG: self.is_member[t] for t in decisions})
        served = slice(first, last + 1)
        return pl.DataFrame(
            {
                "session": self.sessions[served],
                "gross_return": strategy.gross_return[served],
                "cost": strategy.cost[served],
                "net_return": (strategy.gross_return - strategy.cost)[served],
                "benchmark_return": (benchmark.gross_return - benchmark.cost)[served],
                "turnover": strategy.turnover[served],
            }
        )

    def hold(self, wanted: Mapping[int, Mask]) -> _Track:
        """Hold equal weights of what is wanted, from the close of one trading session to the next.

        Where nothing is wanted, or nothing of it can be bought, the old holdings stay. Sums run over
        instruments that are held or traded only, in the order of symbols: another instrument that appears
        later leaves earlier results unchanged to the last bit.
        """
        gross, cost, turnover = (np.zeros(len(self.sessions)) for _ in range(3))
        weights = np.zeros(len(self.cost_rates))
        trades = sorted(now for now in wanted if (wanted[now] & self.has_bar[now]).any())
        for now, until in itertools.pairwise([*trades, len(self.sessions) - 1]):
            buyable = wanted[now] & self.has_bar[now]
            target = buyable / buyable.sum()
            touched = np.flatnonzero((target > 0) | (weights > 0))
            traded = np.abs(target - weights)[touched]
            turnover[now] = traded.sum()
            cost[now] = (traded * self.cost_rates[touched]).sum() * (1 + gross[now])

            held = np.flatnonzero(target)
            growth = 1 + self.returns[now : until + 1, held]
            growth[0] = 1.0
            values = np.ascontiguousarray(target[held] * np.cumprod(growth, axis=0))
            equity = values.sum(axis=1)
            gross[now + 1 : until + 1] = equity[1:] / equity[:-1] - 1
            weights = np.zeros(len(target))
            weights[held] = values[-1] / equity[-1]
        return _Track(gross, cost, turnover)
