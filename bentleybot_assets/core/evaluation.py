"""How good a forecast was: rank correlation with what followed, its significance, and the money it made.

Does not belong here: making forecasts (``walk_forward``) or trading them (``backtest``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

SESSIONS_PER_YEAR = 252

MIN_RANKED_MEMBERS = 5
"""A rank correlation of fewer members is noise by construction."""

CREDIBLE_RANK_IC = 0.10
"""Honest forecasts of stocks reach a mean rank IC of 0.02 to 0.05; a label leaked into a feature, 0.4."""

_LEAK_T = 3.0
"""Below this, a mean beyond ``CREDIBLE_RANK_IC`` is what a short sample does by chance."""


def rank_ic(forecasts: pl.DataFrame, labels: pl.DataFrame, *, horizon: int) -> pl.DataFrame:
    """Spearman correlation of score and forward return within each session.

    Args:
        forecasts: columns of contract ``models/out_of_sample``, any order.
        labels: contract ``models/labels``; only rows of ``horizon`` sessions are used.
        horizon: horizon of the label, in sessions.

    Returns:
        Columns algorithm, session, rank_ic, sorted. Only sessions at least one of whose outcomes is known;
        rank_ic is null where fewer than 5 members have both, or where one of the two is constant.
    """
    outcomes = labels.filter(pl.col("horizon_sessions") == horizon).select("symbol", "session", "forward_return")
    by_session = ("algorithm", "session")
    ranked = forecasts.join(outcomes, on=["symbol", "session"], maintain_order="left").with_columns(
        score_rank=pl.col("score").rank("average").over(by_session),
        return_rank=pl.col("forward_return").rank("average").over(by_session),
    )
    correlation = pl.corr("score_rank", "return_rank").fill_nan(None).clip(-1.0, 1.0)
    return (
        ranked.group_by(by_session)
        .agg(rank_ic=pl.when(pl.len() >= MIN_RANKED_MEMBERS).then(correlation))
        .sort(by_session)
    )


def newey_west_t(values: Sequence[float] | npt.NDArray[np.float64] | pl.Series, *, lags: int) -> float | None:
    """The t statistic of the mean of an autocorrelated series.

    Newey and West (1987): the long-run variance with Bartlett weights 1 - l / (lags + 1), without
    small-sample correction. Labels that overlap for ``horizon`` sessions need at least ``horizon`` lags.

    Args:
        values: oldest first, without missing values.
        lags: autocovariances that count.

    Returns:
        The statistic; None where it is not defined: ``lags + 1`` values or fewer, or no variance.

    Raises:
        ValueError: a value is missing or not finite.
    """
    series = np.asarray(values, dtype=np.float64)
    if not np.isfinite(series).all():
        position = int(np.flatnonzero(~np.isfinite(series))[0])
        raise ValueError(
            f"Newey-West needs finite values, but value {position} is {series[position]}. Drop missing sessions first."
        )
    count = len(series)
    if count <= lags + 1:
        return None
    mean = float(series.mean())
    deviation = series - mean
    variance = float(deviation @ deviation)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(deviation[lag:] @ deviation[:-lag])
    variance /= count
    if variance <= np.finfo(np.float64).eps * max(1.0, mean * mean):
        return None
    return mean / math.sqrt(variance / count)


def annual_excess_return(returns: pl.Series, benchmark: pl.Series) -> float | None:
    """Compound annual return less the benchmark's, as a fraction.

    Args:
        returns: session returns as fractions, oldest first; net or gross, as the benchmark is.
        benchmark: the benchmark's returns of the same sessions.

    Returns:
        The difference at 252 sessions a year; None for less than a year, which would be extrapolated.
    """
    if len(returns) < SESSIONS_PER_YEAR:
        return None
    return _annual_return(returns) - _annual_return(benchmark)


def _annual_return(returns: pl.Series) -> float:
    growth = float(np.log1p(returns.to_numpy()).sum())
    return math.expm1(growth * SESSIONS_PER_YEAR / len(returns))


def is_too_good(rank_ics: pl.Series, *, lags: int) -> bool:
    """Whether a series of session rank ICs is too good to be honest: look for a leak before believing it.

    Args:
        rank_ics: oldest first; missing sessions are dropped.
        lags: Newey-West lags, the horizon of the label.
    """
    known = rank_ics.drop_nulls()
    t = newey_west_t(known, lags=lags)
    return t is not None and abs(t) >= _LEAK_T and abs(float(known.to_numpy().mean())) > CREDIBLE_RANK_IC
