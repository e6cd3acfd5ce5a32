from __future__ import annotations

import functools
from datetime import date

import numpy as np
import polars as pl
import pytest

from bentleybot_assets.contracts.models import Backtest, ReturnForecaster
from bentleybot_assets.core.backtest import backtest
from bentleybot_assets.core.evaluation import newey_west_t
from bentleybot_assets.core.labels import labels
from bentleybot_assets.core.model_versions import return_forecaster
from bentleybot_assets.core.walk_forward import walk_forward
from bentleybot_assets_tests.core import markets

HORIZON = 5
COUNT = 800  # sessions: 2015 to the beginning of 2018


@functools.cache
def bars() -> pl.DataFrame:
    return markets.daily_bars(markets.random_prices(COUNT))


@functools.cache
def truth() -> pl.DataFrame:
    return labels(bars(), markets.instruments(), (HORIZON,))


@functools.cache
def matrix() -> pl.DataFrame:
    return markets.matrix(bars())


def versions(history: pl.DataFrame) -> pl.DataFrame:
    return return_forecaster(matrix(), truth(), history, horizon=HORIZON)


def of_2018(history: pl.DataFrame) -> dict[str, dict[str, object]]:
    rows = versions(history).filter(pl.col("serves_from").dt.year() == 2018)
    return {row["algorithm"]: row for row in rows.to_dicts()}


def history(
    *, momentum: float = 0.0, ridge: float = 0.0, rank_ic: float | None = 0.0, first: date = date(2016, 1, 4)
) -> pl.DataFrame:
    """A back-test of 2016 on in which each algorithm beats a flat benchmark by a constant annual return.

    The rank IC swings by 0.3 around its mean.
    """
    days = [day for day in markets.sessions(COUNT) if day >= first]
    swings = 0.3 * np.resize([1.0, -1.0], len(days))
    parts = [
        pl.DataFrame(
            {
                "algorithm": algorithm,
                "session": days,
                "gross_return": (1 + annual) ** (1 / 252) - 1,
                "cost": 0.0,
                "net_return": (1 + annual) ** (1 / 252) - 1,
                "benchmark_return": 0.0,
                "turnover": 0.0,
                "rank_ic": None if rank_ic is None else rank_ic + swings,
            },
            schema_overrides={"rank_ic": pl.Float64},
        )
        for algorithm, annual in (("momentum", momentum), ("ridge", ridge))
    ]
    return pl.concat(parts).select(list(Backtest.polars_schema()))


def test_there_is_one_version_per_algorithm_and_year_and_its_table_satisfies_the_contract():
    result = versions(history())
    ReturnForecaster.validate(result)
    assert result["model_version"].is_sorted()
    by_year = result.sort("serves_from", "algorithm")
    assert by_year.select(pl.col("serves_from").dt.year(), "algorithm").rows() == [
        (year, algorithm) for year in (2016, 2017, 2018) for algorithm in ("momentum", "ridge")
    ]
    assert by_year["serves_to"].to_list()[::2] == [date(year, 12, 31) for year in (2016, 2017, 2018)]
    assert by_year["newest_exit_session"].to_list()[::2] == [date(2015, 12, 31), date(2016, 12, 30), date(2017, 12, 29)]
    momentum, ridge = by_year.tail(2).to_dicts()
    assert momentum["features"] == "momentum_12_1"
    assert momentum["training_rows"] == 0
    assert ridge["features"] == "return_1d,return_5d,return_21d,momentum_12_1"
    assert ridge["parameters"] == '{"alpha": 100.0, "window_years": 8}'
    assert ridge["training_rows"] == matrix().filter(pl.col("session") <= ridge["train_end"]).height


def test_evidence_is_what_was_known_when_the_version_took_over():
    past = history(momentum=0.08, ridge=-0.02, rank_ic=0.01)
    ridge = of_2018(past)["ridge"]
    known = past.filter(pl.col("algorithm") == "ridge", pl.col("session") <= ridge["train_end"])
    # Labels of the last 6 sessions of 2017 ended in 2018.
    assert ridge["train_end"] == date(2017, 12, 20)
    assert ridge["evidence_sessions"] == known.height
    assert ridge["evidence_rank_ic"] == pytest.approx(known["rank_ic"].mean())
    assert ridge["evidence_rank_ic_t"] == pytest.approx(newey_west_t(known["rank_ic"], lags=HORIZON))
    assert ridge["evidence_excess_return"] == pytest.approx(-0.02)
    assert of_2018(past)["momentum"]["evidence_excess_return"] == pytest.approx(0.08)


def test_what_became_known_after_a_version_took_over_is_no_evidence():
    past = history(momentum=0.08, ridge=0.02, rank_ic=0.05)
    after = pl.col("session") > date(2016, 12, 21)
    shocked = past.with_columns(
        pl.when(after).then(0.5).otherwise("net_return").alias("net_return"),
        pl.when(after).then(-0.9).otherwise("rank_ic").alias("rank_ic"),
    )
    of_2017 = pl.col("serves_from") <= date(2017, 1, 3)
    assert versions(past).filter(of_2017).equals(versions(shocked).filter(of_2017))
    assert not versions(past).equals(versions(shocked))


@pytest.mark.parametrize(
    ("momentum", "ridge", "champion"),
    [
        (0.03, 0.05, "ridge"),
        (0.05, 0.03, "momentum"),
        (-0.05, 0.01, "ridge"),
        (-0.05, -0.01, "momentum"),
        (0.04, 0.04, "momentum"),
    ],
)
def test_ridge_is_champion_only_if_it_earned_more_than_the_benchmark_and_than_momentum(
    momentum: float, ridge: float, champion: str
):
    rows = of_2018(history(momentum=momentum, ridge=ridge))
    assert [algorithm for algorithm, row in rows.items() if row["is_champion"]] == [champion]


def test_champion_and_challenger_are_compared_on_the_same_sessions():
    """Momentum's earlier years were bad; since ridge is forecast too, momentum has been the better one."""
    past = history(momentum=0.05, ridge=0.03)
    since = past["session"].unique().sort()[200]
    lost = pl.when(pl.col("session") < since).then(pl.col("net_return") - 0.001).otherwise("net_return")
    young_ridge = past.filter((pl.col("algorithm") == "momentum") | (pl.col("session") >= since)).with_columns(
        net_return=pl.when(pl.col("algorithm") == "momentum").then(lost).otherwise("net_return")
    )
    rows = of_2018(young_ridge)
    assert rows["momentum"]["evidence_excess_return"] < rows["ridge"]["evidence_excess_return"]
    assert rows["momentum"]["is_champion"]


def test_without_a_year_of_evidence_momentum_decides_and_has_no_edge():
    young = versions(history(ridge=0.5, rank_ic=0.2, first=date(2017, 6, 1)))
    assert young.filter("is_champion")["algorithm"].unique().to_list() == ["momentum"]
    assert young["evidence_excess_return"].null_count() == young.height
    assert not young["has_edge"].any()


def test_every_year_has_exactly_one_champion():
    for past in (history(), history(momentum=0.1, ridge=0.2), history(rank_ic=None)):
        champions = versions(past).group_by("serves_from").agg(pl.col("is_champion").sum())
        assert champions["is_champion"].to_list() == [1, 1, 1]


@pytest.mark.parametrize(
    ("ridge", "rank_ic", "has_edge"),
    [(0.05, 0.05, True), (0.05, 0.0005, False), (0.05, -0.05, False), (-0.05, 0.05, False), (0.05, None, False)],
)
def test_an_edge_needs_a_significant_rank_ic_and_a_positive_excess_return(
    ridge: float, rank_ic: float | None, *, has_edge: bool
):
    assert of_2018(history(ridge=ridge, rank_ic=rank_ic))["ridge"]["has_edge"] == has_edge


def test_nothing_that_happens_later_changes_a_version_that_serves():
    def chain(prices: np.ndarray) -> pl.DataFrame:
        market = markets.daily_bars(prices)
        known = labels(market, markets.instruments(), (HORIZON,))
        features = markets.matrix(market)
        forecasts = walk_forward(features, known, horizon=HORIZON)
        history_ = backtest(forecasts, market, known, horizon=HORIZON, cost_bps=10)
        return return_forecaster(features, known, history_, horizon=HORIZON)

    prices = markets.random_prices(COUNT)
    whole = chain(prices)
    assert whole["evidence_rank_ic_t"].null_count() == 2  # the first year's
    for at in (505, 520, 756):
        day = markets.sessions(COUNT)[at]
        serving = pl.col("serves_from") <= day
        later_prices = prices.copy()
        later_prices[at + 1 :] *= np.random.default_rng(at).uniform(0.5, 2, size=later_prices[at + 1 :].shape)
        assert whole.filter(serving).height >= 4
        assert whole.filter(serving).equals(chain(later_prices).filter(serving))
        assert whole.filter(serving).equals(chain(prices[: at + 1]))


def test_an_unsorted_backtest_is_rejected():
    with pytest.raises(ValueError, match="models/backtest must be sorted"):
        versions(history().reverse())
