"""``models/out_of_sample``: walk-forward forecasts."""

from __future__ import annotations

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.models import OutOfSample
from bentleybot_assets.core.walk_forward import walk_forward
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.wiring.tables import Finding, table_asset


def scores_differ_between_members(frame: pl.DataFrame) -> Finding:
    """No algorithm gives all members of a session the same score."""
    constant = (
        frame.group_by("algorithm", "session")
        .agg(pl.col("score").n_unique().alias("scores"), pl.len().alias("members"))
        .filter(pl.col("scores") == 1, pl.col("members") > 1)
    )
    return Finding(constant.is_empty(), {"sessions_with_one_score": constant.height})


@table_asset(
    OutOfSample,
    kinds={"scikitlearn", "parquet"},
    checks=[scores_differ_between_members],
    ins={
        "matrix": dg.AssetIn(key=["features", "matrix"]),
        "labels": dg.AssetIn(key=["models", "labels"]),
    },
)
def out_of_sample(matrix: pl.DataFrame, labels: pl.DataFrame, desk: Desk) -> pl.DataFrame:
    """Refit every year and forecast the year that follows."""
    return walk_forward(matrix, labels, horizon=desk.horizon_sessions)
