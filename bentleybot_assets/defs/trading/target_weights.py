"""``trading/target_weights``: what the account should own."""

from __future__ import annotations

from datetime import date

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.core.point_in_time import Deliveries
from bentleybot_assets.core.sizing import Limits
from bentleybot_assets.core.sizing import target_weights as compute
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.decisions import each_undecided_session
from bentleybot_assets.wiring.partitions import one_session_at_a_time, sessions
from bentleybot_assets.wiring.tables import Finding, table_asset

_TOLERANCE = 1e-9


def weights_need_no_leverage(frame: pl.DataFrame) -> Finding:
    """The weights of a session sum to at most one."""
    totals = frame.group_by("session").agg(pl.col("weight").sum())
    highest = totals["weight"].max()
    return Finding(highest is None or float(highest) <= 1 + _TOLERANCE, {"highest_sum": highest})


@table_asset(
    TargetWeights,
    kinds={"polars", "parquet"},
    checks=[weights_need_no_leverage],
    ins={
        "signals": dg.AssetIn(key=["signals", "trading_signals"]),
        "raw_bars": dg.AssetIn(key=["raw", "market", "daily_bars"]),
        "raw_actions": dg.AssetIn(key=["raw", "market", "corporate_actions"]),
        "bars": dg.AssetIn(key=["market", "daily_bars"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
    partitions_def=sessions,
    backfill_policy=one_session_at_a_time,
    pool="trading",
)
def target_weights(
    context: dg.AssetExecutionContext,
    *,
    signals: pl.DataFrame,
    raw_bars: pl.DataFrame,
    raw_actions: pl.DataFrame,
    bars: pl.LazyFrame,
    instruments: pl.DataFrame,
    desk: Desk,
    ledger: LedgerResource,
    warehouse: WarehouseResource,
) -> pl.DataFrame:
    """Size positions within the limits, at prices known by the session's cut-off."""
    delivered = Deliveries(raw_bars, raw_actions, instruments)

    def of(day: date) -> pl.DataFrame:
        return compute(
            signals,
            delivered.prices(day, bars),
            instruments,
            positions=desk.holdings,
            cash_usd=desk.cash_usd,
            limits=Limits(
                max_weight=desk.max_weight,
                min_cash_weight=desk.min_cash_weight,
                min_trade_weight=desk.min_trade_weight,
            ),
        )

    return each_undecided_session(
        context, TargetWeights, of, warehouse=warehouse.open(), ledger=ledger.open(), strategy=desk.strategy
    )
