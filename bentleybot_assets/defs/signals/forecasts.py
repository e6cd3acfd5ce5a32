"""``signals/forecasts``: champion and challenger, side by side."""

from __future__ import annotations

import functools
from datetime import date

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.signals import Forecasts
from bentleybot_assets.core.forecasts import forecasts as compute
from bentleybot_assets.core.point_in_time import Deliveries
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.mlflow import Mlflow
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.decisions import each_undecided_session
from bentleybot_assets.wiring.partitions import sessions
from bentleybot_assets.wiring.tables import Finding, table_asset


def one_version_is_champion(frame: pl.DataFrame) -> Finding:
    """Exactly one version decides at each session."""
    champions = frame.group_by("session").agg(
        pl.col("model_version").filter(pl.col("is_champion")).n_unique().alias("champions")
    )
    wrong = champions.filter(pl.col("champions") != 1)
    return Finding(wrong.is_empty(), {"sessions": [str(day) for day in wrong["session"].sort()]})


def scores_differ_between_members(frame: pl.DataFrame) -> Finding:
    """No version gives all members the same score."""
    constant = (
        frame.group_by("model_version", "session")
        .agg(pl.col("score").n_unique().alias("scores"), pl.len().alias("members"))
        .filter(pl.col("scores") == 1, pl.col("members") > 1)
    )
    return Finding(constant.is_empty(), {"versions": constant["model_version"].unique().to_list()})


@table_asset(
    Forecasts,
    kinds={"scikitlearn", "parquet"},
    checks=[one_version_is_champion, scores_differ_between_members],
    ins={
        "raw_bars": dg.AssetIn(key=["raw", "market", "daily_bars"]),
        "raw_actions": dg.AssetIn(key=["raw", "market", "corporate_actions"]),
        "matrix": dg.AssetIn(key=["features", "matrix"]),
        "versions": dg.AssetIn(key=["models", "return_forecaster"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
    partitions_def=sessions,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def forecasts(
    context: dg.AssetExecutionContext,
    *,
    raw_bars: pl.DataFrame,
    raw_actions: pl.DataFrame,
    matrix: pl.LazyFrame,
    versions: pl.DataFrame,
    instruments: pl.DataFrame,
    mlflow: Mlflow,
    ledger: LedgerResource,
    desk: Desk,
    warehouse: WarehouseResource,
) -> pl.DataFrame:
    """Let each version that serves a session rank its members, on what was known at the session's cut-off."""
    load = functools.cache(mlflow.load)
    delivered = Deliveries(raw_bars, raw_actions, instruments)

    def of(day: date) -> pl.DataFrame:
        return compute(
            delivered.members(day, matrix),
            versions.filter(pl.col("serves_from") <= day, pl.col("serves_to") >= day),
            instruments,
            load,
            session=day,
        )

    return each_undecided_session(
        context, Forecasts, of, warehouse=warehouse.open(), ledger=ledger.open(), strategy=desk.strategy
    )
