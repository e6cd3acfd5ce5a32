from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bentleybot_assets.core.evaluation import annual_excess_return, is_too_good, newey_west_t, rank_ic
from bentleybot_assets.core.labels import labels
from bentleybot_assets_tests.core.markets import SYMBOLS, daily_bars, instruments, random_prices, sessions

HORIZON = 5


def scores(values: np.ndarray) -> pl.DataFrame:
    """One forecast per session and symbol; NaN means none."""
    days = sessions(len(values))
    return pl.DataFrame(
        [
            {"algorithm": "ridge", "symbol": symbol, "session": day, "score": float(values[row, column])}
            for row, day in enumerate(days)
            for column, symbol in enumerate(SYMBOLS[: values.shape[1]])
            if np.isfinite(values[row, column])
        ]
    ).sort("symbol", "session")


def test_rank_ic_equals_scipys_spearman_correlation():
    count = 40
    truth = labels(daily_bars(random_prices(count)), instruments(), (HORIZON,))
    forecasts = scores(np.random.default_rng(3).integers(0, 4, size=(count, len(SYMBOLS))).astype(float))  # with ties
    result = rank_ic(forecasts, truth, horizon=HORIZON)
    assert result.height == count - 1 - HORIZON
    for session, found in result.select("session", "rank_ic").iter_rows():
        both = forecasts.join(truth, on=["symbol", "session"]).filter(session=session)
        expected = spearmanr(both["score"], both["forward_return"]).statistic
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_perfect_forecast_has_rank_ic_one_and_its_opposite_minus_one():
    truth = labels(daily_bars(random_prices(30)), instruments(), (HORIZON,))
    forecasts = truth.select(pl.lit("ridge").alias("algorithm"), "symbol", "session", score="forward_return")
    assert rank_ic(forecasts, truth, horizon=HORIZON)["rank_ic"].to_list() == [1.0] * 24
    opposite = forecasts.with_columns(-pl.col("score"))
    assert rank_ic(opposite, truth, horizon=HORIZON)["rank_ic"].to_list() == [-1.0] * 24


def test_a_session_of_fewer_than_five_members_has_no_rank_ic():
    values = np.random.default_rng(0).normal(size=(20, len(SYMBOLS)))
    values[3, 4:] = np.nan
    values[4, 5:] = np.nan
    truth = labels(daily_bars(random_prices(20)), instruments(), (HORIZON,))
    result = rank_ic(scores(values), truth, horizon=HORIZON)["rank_ic"].is_null()
    assert result.to_list() == [row == 3 for row in range(14)]


def test_a_constant_score_has_no_rank_ic():
    truth = labels(daily_bars(random_prices(20)), instruments(), (HORIZON,))
    assert rank_ic(scores(np.ones((20, len(SYMBOLS)))), truth, horizon=HORIZON)["rank_ic"].null_count() == 14


def test_only_labels_of_the_horizon_count():
    truth = labels(daily_bars(random_prices(40)), instruments(), (HORIZON, 20))
    forecasts = scores(np.random.default_rng(0).normal(size=(40, len(SYMBOLS))))
    both = rank_ic(forecasts, truth, horizon=HORIZON)
    assert both.equals(rank_ic(forecasts, truth.filter(horizon_sessions=HORIZON), horizon=HORIZON))


@given(seed=st.integers(0, 10_000), count=st.integers(8, 60), lags=st.integers(0, 6))
def test_newey_west_equals_its_double_sum_definition(seed: int, count: int, lags: int):
    series = np.random.default_rng(seed).normal(0.1, 1, size=count).cumsum() / 5
    deviation = series - series.mean()
    # Variance of a mean: the sum of all pairs' covariances over n squared, pairs further apart than lags left out.
    variance = sum(
        max(0.0, 1 - abs(i - j) / (lags + 1)) * deviation[i] * deviation[j] for i in range(count) for j in range(count)
    )
    assert newey_west_t(series, lags=lags) == pytest.approx(series.mean() / (math.sqrt(variance) / count), rel=1e-9)


def test_without_lags_newey_west_is_the_ordinary_t_statistic():
    # mean 2.5, population variance 1.25, four values
    assert newey_west_t([1.0, 2.0, 3.0, 4.0], lags=0) == pytest.approx(2.5 / math.sqrt(1.25 / 4))


def test_overlap_lowers_the_t_statistic():
    shocks = np.random.default_rng(5).normal(0.2, 1, size=400)
    overlapping = np.convolve(shocks, np.ones(20) / 20, mode="valid")
    assert newey_west_t(overlapping, lags=20) < newey_west_t(overlapping, lags=0) / 2


@pytest.mark.parametrize("series", [[], [0.3], [0.1, 0.2, 0.3], [0.2, 0.2, 0.2, 0.2, 0.2]])
def test_too_few_or_constant_values_have_no_t_statistic(series: list[float]):
    assert newey_west_t(series, lags=2) is None


def test_a_missing_value_is_not_averaged_over():
    with pytest.raises(ValueError, match="value 1 is nan"):
        newey_west_t(pl.Series([0.1, None, 0.2]), lags=0)


def test_annual_excess_return_compounds():
    grows_ten_percent = pl.Series([1.10 ** (1 / 252) - 1] * 504)
    grows_four_percent = pl.Series([1.04 ** (1 / 252) - 1] * 504)
    assert annual_excess_return(grows_ten_percent, grows_four_percent) == pytest.approx(0.06)


def test_less_than_a_year_is_not_annualised():
    assert annual_excess_return(pl.Series([0.01] * 251), pl.Series([0.0] * 251)) is None
    assert annual_excess_return(pl.Series([0.01] * 252), pl.Series([0.0] * 252)) is not None


def test_a_rank_ic_beyond_what_is_credible_is_reported():
    noise = np.random.default_rng(0).normal(0, 0.3, size=500)
    assert is_too_good(pl.Series([*(0.385 + noise), None]), lags=5)
    assert is_too_good(pl.Series(-0.385 + noise), lags=5)
    assert not is_too_good(pl.Series(0.03 + noise), lags=5)


def test_chance_in_a_short_sample_is_not_called_a_leak():
    few = pl.Series([0.5, -0.4, 0.45, -0.3, 0.6, -0.2, 0.3])
    assert few.mean() > 0.1
    assert not is_too_good(few, lags=2)
