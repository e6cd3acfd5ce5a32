"""What each serving model version says of a session's members.

Does not belong here: fitting (``walk_forward``), choosing the champion (``model_versions``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from bentleybot_assets.contracts.signals import Forecasts
from bentleybot_assets.core.walk_forward import MOMENTUM, forecast

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge


MIN_COVERAGE = 0.8
"""A ranking of fewer of the session's members is a ranking of whoever happened to be delivered."""


def forecasts(
    members: pl.DataFrame,
    versions: pl.DataFrame,
    instruments: pl.DataFrame,
    load: Callable[[str], Ridge],
    *,
    session: date,
) -> pl.DataFrame:
    """Forecasts of one session, as contract ``signals/forecasts``.

    Args:
        members: rows of ``features/matrix`` of this session that were known at its cut-off.
        versions: rows of ``models/return_forecaster`` that serve this session.
        instruments: contract ``market/instruments``; says who should be there.
        load: gives the fitted model of a version.
        session: session of the decision; named in errors.

    Raises:
        ValueError: there is nothing to forecast or nobody to forecast it; the message says what to materialise.
    """
    if members.is_empty():
        raise ValueError(
            f"features/matrix has no row of session {session} that was known at its cut-off. Sync the market "
            "connection, materialise market/daily_bars and what follows it, or choose a session with bars."
        )
    is_member = (pl.col("valid_from") <= session) & (pl.col("valid_to") >= session).fill_null(value=True)
    expected = instruments.filter("is_tradable", is_member)["symbol"]
    if versions.is_empty():
        raise ValueError(
            f"No version of models/return_forecaster serves session {session}. Materialise it on newer data."
        )
    ranked = []
    for version in versions.sort("algorithm").iter_rows(named=True):
        scores = _scores(members, version, load)
        if scores.height < MIN_COVERAGE * len(expected):
            missing = sorted(set(expected) - set(scores["symbol"]))
            raise ValueError(
                f"Only {scores.height} of {len(expected)} members have the features at session {session} that "
                f"{version['algorithm']} (version {version['model_version']}) needs; {', '.join(missing)} lack them. "
                "Sync the market connection again, or take them off the watchlist."
            )
        ranked.append(_ranked(scores, version))
    return pl.concat(ranked).sort("model_version", "symbol", "session")


def _scores(members: pl.DataFrame, version: dict[str, object], load: Callable[[str], Ridge]) -> pl.DataFrame:
    if version["algorithm"] == "momentum":
        return members.select("symbol", "session", score=pl.col(MOMENTUM)).drop_nulls("score")
    return forecast(load(str(version["model_version"])), members)


def _ranked(scores: pl.DataFrame, version: dict[str, object]) -> pl.DataFrame:
    best_is_one = (pl.col("score").rank("average") - 1) / pl.max_horizontal(pl.len() - 1, 1)
    return scores.with_columns(
        model_version=pl.lit(version["model_version"]),
        algorithm=pl.lit(version["algorithm"]),
        percentile=best_is_one,
        is_champion=pl.lit(version["is_champion"]),
    ).select(list(Forecasts.polars_schema()))
