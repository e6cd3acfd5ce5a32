"""``models/backtest``: what following the forecasts would have returned."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.core.backtest import BAR_COLUMNS
from bentleybot_assets.core.backtest import backtest as compute
from bentleybot_assets.core.evaluation import is_too_good
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.io_manager import COLUMNS
from bentleybot_assets.wiring.tables import Finding, table_asset

_TOLERANCE = 1e-12
_MIN_LAGS = 20
"""Outcomes of sessions less than a horizon apart overlap; a month covers the usual horizon."""


def net_is_gross_less_cost(frame: pl.DataFrame) -> Finding:
    """Each session's net return is its gross return less the trading cost."""
    gap = (frame["gross_return"] - frame["cost"] - frame["net_return"]).abs().max()
    return Finding(gap is not None and float(gap) < _TOLERANCE, {"largest_gap": gap})


def forecasts_are_not_too_good(frame: pl.DataFrame) -> Finding:
    """No algorithm forecasts better than honest ones can; if one does, it has seen the future."""
    suspects = [
        name
        for (name,), rows in frame.partition_by("algorithm", as_dict=True).items()
        if is_too_good(rows["rank_ic"], lags=max(_MIN_LAGS, _sessions_without_outcome(rows)))
    ]
    return Finding(not suspects, {"algorithms": sorted(suspects)})


def _sessions_without_outcome(rows: pl.DataFrame) -> int:
    """Sessions at the end of one algorithm's history whose outcome is not known yet: the horizon shows in the data."""
    is_known = rows.sort("session")["rank_ic"].is_not_null()
    return int(is_known.reverse().cum_sum().eq(0).sum())


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """Growth of each algorithm and of the benchmark."""
    curves = {
        f"growth_{name}": previews.line((1 + rows["net_return"]).cum_prod(), f"{name}, net of cost, out of sample")
        for (name,), rows in frame.sort("session").partition_by("algorithm", as_dict=True).items()
    }
    benchmark = frame.unique("session").sort("session")["benchmark_return"]
    curves["growth_benchmark"] = previews.line((1 + benchmark).cum_prod(), "Equal-weight universe, net of cost")
    return {**curves, "newest": previews.table(frame.sort("session", descending=True))}


@table_asset(
    Backtest,
    kinds={"polars", "parquet"},
    checks=[net_is_gross_less_cost, forecasts_are_not_too_good],
    preview=preview,
    ins={
        "out_of_sample": dg.AssetIn(key=["models", "out_of_sample"]),
        "bars": dg.AssetIn(key=["market", "daily_bars"], metadata={COLUMNS: list(BAR_COLUMNS)}),
        "labels": dg.AssetIn(key=["models", "labels"]),
    },
)
def backtest(out_of_sample: pl.DataFrame, bars: pl.DataFrame, labels: pl.DataFrame, desk: Desk) -> pl.DataFrame:
    """Follow each algorithm's forecasts, net of cost."""
    return compute(out_of_sample, bars, labels, horizon=desk.horizon_sessions, cost_bps=max(desk.cost_bps.values()))
