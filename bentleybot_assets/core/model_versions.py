"""Which model versions exist, on what evidence, and which of them decides.

Does not belong here: how a version is trained (``walk_forward``) or what following it earned (``backtest``).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from bentleybot_assets.contracts.models import ReturnForecaster
from bentleybot_assets.core._frames import require_sorted
from bentleybot_assets.core.evaluation import annual_excess_return, newey_west_t
from bentleybot_assets.core.walk_forward import Refit, refits

BASELINE = "momentum"
"""Serves whenever nothing has shown to be better."""

EDGE_T = 2.0
"""An edge is claimed from this t statistic on."""


def return_forecaster(
    matrix: pl.DataFrame, labels: pl.DataFrame, backtest: pl.DataFrame, *, horizon: int
) -> pl.DataFrame:
    """Every model version with its evidence, as contract ``models/return_forecaster``.

    The evidence of a version is what the earlier versions of its algorithm achieved out of sample up to its
    own ``train_end``, the last session whose outcome was known when it took over. So no row changes when
    later data arrive, and no version is judged by forecasts of its own.

    In each year ridge is champion if its evidence of excess return is positive and better than momentum's,
    otherwise momentum is. A version has an edge if its rank IC has a t statistic of at least 2 and its
    excess return is positive.

    Args:
        matrix: contract ``features/matrix``, sorted by symbol and session.
        labels: contract ``models/labels``.
        backtest: contract ``models/backtest`` of the forecasts of the same matrix and labels, sorted by
            algorithm and session.
        horizon: horizon of the label, in sessions.

    Raises:
        ValueError: unsorted input, or a matrix that mixes feature versions.
    """
    require_sorted(backtest, ("algorithm", "session"), "models/backtest")
    rows = [_row(refit, backtest, horizon) for refit in refits(matrix, labels, horizon=horizon)]
    versions = pl.DataFrame(rows, schema={**ReturnForecaster.polars_schema()})
    return _with_champion(versions).sort("model_version")


def _row(refit: Refit, backtest: pl.DataFrame, horizon: int) -> dict[str, Any]:
    known = backtest.filter((pl.col("algorithm") == refit.algorithm) & (pl.col("session") <= refit.train_end))
    rank_ics = known["rank_ic"].drop_nulls()
    t = newey_west_t(rank_ics, lags=horizon)
    excess = annual_excess_return(known["net_return"], known["benchmark_return"])
    return {
        "model_version": refit.model_version,
        "algorithm": refit.algorithm,
        "serves_from": refit.serves_from,
        "serves_to": refit.serves_to,
        "train_start": refit.train_start,
        "train_end": refit.train_end,
        "newest_exit_session": refit.newest_exit_session,
        "horizon_sessions": horizon,
        "training_rows": refit.training.height,
        "features": ",".join(refit.features),
        "parameters": refit.parameters,
        "evidence_sessions": len(rank_ics),
        "evidence_rank_ic": rank_ics.mean(),
        "evidence_rank_ic_t": t,
        "evidence_excess_return": excess,
        "is_champion": False,
        "has_edge": t is not None and t >= EDGE_T and excess is not None and excess > 0,
    }


def _with_champion(versions: pl.DataFrame) -> pl.DataFrame:
    """Mark the champion of each year."""
    is_baseline = pl.col("algorithm") == BASELINE
    baseline_excess = pl.col("evidence_excess_return").filter(is_baseline).first().over("serves_from")
    is_better = (pl.col("evidence_excess_return") > pl.max_horizontal(0.0, baseline_excess)).fill_null(value=False)
    is_challenger_champion = ~is_baseline & is_better
    return versions.with_columns(
        is_champion=pl.when(is_baseline)
        .then(~is_challenger_champion.any().over("serves_from"))
        .otherwise(is_challenger_champion)
    )
