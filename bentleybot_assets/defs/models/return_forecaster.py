"""``models/return_forecaster``: every model version, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.models import ReturnForecaster
from bentleybot_assets.core.model_versions import return_forecaster as compute
from bentleybot_assets.core.walk_forward import fit, refits
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.mlflow import Mlflow
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.tables import Finding, table_asset

_EVIDENCE = ("evidence_sessions", "evidence_rank_ic", "evidence_rank_ic_t", "evidence_excess_return")


def no_training_label_reaches_into_service(frame: pl.DataFrame) -> Finding:
    """Each version serves only sessions after the newest outcome it was trained on."""
    wrong = frame.filter(pl.col("newest_exit_session") >= pl.col("serves_from"))
    return Finding(wrong.is_empty(), {"versions": wrong["model_version"].to_list()})


def one_champion_serves_at_a_time(frame: pl.DataFrame) -> Finding:
    """Exactly one version decides in each period of service."""
    champions = frame.group_by("serves_from").agg(pl.col("is_champion").sum()).filter(pl.col("is_champion") != 1)
    return Finding(champions.is_empty(), {"periods": [str(day) for day in champions["serves_from"].sort()]})


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """The newest versions and what is known of them."""
    newest = frame.sort("serves_from", "algorithm", descending=[True, False]).select(
        "algorithm", "serves_from", "is_champion", "has_edge", "evidence_rank_ic", "evidence_rank_ic_t",
        "evidence_excess_return", "evidence_sessions", "model_version",
    )  # fmt: skip
    return {"versions": previews.table(newest, rows=6)}


@table_asset(
    ReturnForecaster,
    kinds={"scikitlearn", "mlflow"},
    checks=[no_training_label_reaches_into_service, one_champion_serves_at_a_time],
    preview=preview,
    ins={
        "matrix": dg.AssetIn(key=["features", "matrix"]),
        "labels": dg.AssetIn(key=["models", "labels"]),
        "backtest": dg.AssetIn(key=["models", "backtest"]),
    },
    pool="training",
)
def return_forecaster(
    context: dg.AssetExecutionContext,
    *,
    matrix: pl.DataFrame,
    labels: pl.DataFrame,
    backtest: pl.DataFrame,
    desk: Desk,
    mlflow: Mlflow,
) -> Iterator[pl.DataFrame]:
    """Describe every version; fit and register those that serve the sessions this deployment decides."""
    horizon = desk.horizon_sessions
    versions = compute(matrix, labels, backtest, horizon=horizon)
    champion = versions.filter("is_champion").sort("serves_from").row(-1, named=True)
    with mlflow.training_run(context) as run:
        for refit in refits(matrix, labels, horizon=horizon, serving_since=date.fromisoformat(desk.sessions_start)):
            if refit.algorithm == "ridge":
                run.register(refit.model_version, fit(refit.training, refit.features))
        run.promote(champion["model_version"])
        run.log_params(
            {name: champion[name] for name in ("algorithm", "model_version", "horizon_sessions", "features")}
        )
        run.log_metrics({name: champion[name] for name in _EVIDENCE})
        yield versions
