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

    In each year ridge is champion if its excess return up to its ``train_end`` is positive and better than momentum's
    over the same sessions, otherwise momentum is. A version has an edge if its rank IC has a t statistic of at least
    2 and its excess return is positive.

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
    return _with_champion(versions, backtest).sort("model_version")


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


def _with_champion(versions: pl.DataFrame, backtest: pl.DataFrame) -> pl.DataFrame:
    """Mark the champion of each year."""
    champions = [_champion(year, backtest) for year in versions.partition_by("serves_from")]
    return versions.with_columns(is_champion=pl.col("model_version").is_in(champions))


def _champion(year: pl.DataFrame, backtest: pl.DataFrame) -> str:
    """The version that decides in a year."""
    (baseline,) = year.filter(algorithm=BASELINE)["model_version"]
    for challenger in year.filter(pl.col("algorithm") != BASELINE).iter_rows(named=True):
        if _is_better(challenger, backtest):
            return str(challenger["model_version"])
    return str(baseline)


def _is_better(challenger: dict[str, Any], backtest: pl.DataFrame) -> bool:
    """Whether a challenger earned an excess return, and more than the baseline on the very same sessions."""
    known = backtest.filter(pl.col("session") <= challenger["train_end"])
    own = known.filter(algorithm=challenger["algorithm"])
    baselines = known.filter(algorithm=BASELINE)
    own, baselines = own.join(baselines, on="session", how="semi"), baselines.join(own, on="session", how="semi")
    excess, to_beat = (
        annual_excess_return(track["net_return"], track["benchmark_return"]) for track in (own, baselines)
    )
    return excess is not None and to_beat is not None and excess > max(0.0, to_beat)
