"""``signals/trading_signals``: what to do with each member, and why."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets.core.signals import trading_signals as compute
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.decisions import each_undecided_session
from bentleybot_assets.wiring.partitions import sessions
from bentleybot_assets.wiring.tables import Finding, table_asset


def sells_rank_below_buys(frame: pl.DataFrame) -> Finding:
    """At no session is a member sold that ranks above one that is bought."""
    edges = frame.group_by("session").agg(
        best_sell=pl.col("percentile").filter(pl.col("action") == "SELL").max(),
        worst_buy=pl.col("percentile").filter(pl.col("action") == "BUY").min(),
    )
    wrong = edges.filter(pl.col("best_sell") >= pl.col("worst_buy"))
    return Finding(wrong.is_empty(), {"sessions": [str(day) for day in wrong["session"].sort()]})


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """How many of each action, and the strongest signals."""
    counts = dict(frame.group_by("action").len().sort("action").iter_rows())
    strongest = frame.sort("percentile", descending=True).select("symbol", "action", "percentile", "reasons")
    return {**{action.lower(): count for action, count in counts.items()}, "signals": previews.table(strongest, 30)}


@table_asset(
    TradingSignals,
    kinds={"polars", "parquet"},
    checks=[sells_rank_below_buys],
    preview=preview,
    ins={
        "forecasts": dg.AssetIn(key=["signals", "forecasts"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
        "versions": dg.AssetIn(key=["models", "return_forecaster"]),
    },
    partitions_def=sessions,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def trading_signals(
    context: dg.AssetExecutionContext,
    *,
    forecasts: pl.DataFrame,
    instruments: pl.DataFrame,
    versions: pl.DataFrame,
    desk: Desk,
    ledger: LedgerResource,
    warehouse: WarehouseResource,
) -> pl.DataFrame:
    """Turn the champion's ranking into actions."""

    def of(day: date) -> pl.DataFrame:
        return compute(
            forecasts.filter(session=day),
            instruments,
            versions,
            costs_bps=desk.cost_bps,
            buy_at=desk.buy_at,
            sell_at=desk.sell_at,
        )

    return each_undecided_session(
        context, TradingSignals, of, warehouse=warehouse.open(), ledger=ledger.open(), strategy=desk.strategy
    )
