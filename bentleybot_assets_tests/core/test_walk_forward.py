from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from bentleybot_assets.contracts.models import OutOfSample
from bentleybot_assets.contracts.sessions import last_known_day, sessions_between
from bentleybot_assets.core.evaluation import is_too_good, rank_ic
from bentleybot_assets.core.labels import labels
from bentleybot_assets.core.walk_forward import RIDGE_ALPHA, Refit, fit, forecast, refits, walk_forward
from bentleybot_assets_tests.core import markets

HORIZON = 5
COUNT = 800  # sessions: 2015 to the beginning of 2018
FEATURES = ("return_1d", "return_5d", "return_21d", "momentum_12_1")


@functools.cache
def bars() -> pl.DataFrame:
    return markets.daily_bars(markets.random_prices(COUNT))


@functools.cache
def truth() -> pl.DataFrame:
    return labels(bars(), markets.instruments(), (HORIZON, 20))


@functools.cache
def matrix() -> pl.DataFrame:
    return markets.matrix(bars())


def refits_of(features: pl.DataFrame, outcomes: pl.DataFrame) -> dict[tuple[str, int], Refit]:
    return {(r.algorithm, r.serves_from.year): r for r in refits(features, outcomes, horizon=HORIZON)}


def test_forecasts_satisfy_their_contract_and_come_from_both_algorithms_every_year():
    result = walk_forward(matrix(), truth(), horizon=HORIZON)
    OutOfSample.validate(result)
    served = result.group_by("algorithm").agg(pl.col("session").dt.year().unique().sort()).sort("algorithm")
    assert served.rows() == [("momentum", [2016, 2017, 2018]), ("ridge", [2016, 2017, 2018])]
    assert result.equals(result.sort("algorithm", "symbol", "session"))


def test_the_first_year_has_no_forecast_because_nothing_was_known_before_it():
    assert walk_forward(matrix().filter(pl.col("session").dt.year() == 2015), truth(), horizon=HORIZON).is_empty()


def test_no_training_label_ends_on_or_after_the_first_session_served():
    exits = truth().filter(horizon_sessions=HORIZON).select("symbol", "session", "exit_session")
    for refit in refits(matrix(), truth(), horizon=HORIZON):
        latest = refit.training.join(exits, on=["symbol", "session"])["exit_session"].max()
        assert latest is None or latest < refit.serves_from
        # Nor is more purged than must be: the next session's labels end on the first session served.
        beyond = exits.filter(pl.col("session") > refit.train_end).sort("session")["exit_session"][0]
        assert beyond == refit.serves_from


def test_a_version_serves_its_calendar_year():
    served = {r.serves_from.year: (r.serves_from, r.serves_to) for r in refits_of(matrix(), truth()).values()}
    assert served[2016] == (date(2016, 1, 4), date(2016, 12, 31))
    assert served[2018] == (date(2018, 1, 2), date(2018, 12, 31))


def test_the_year_in_which_the_session_table_ends_is_served_to_its_end():
    year = last_known_day().year
    days = sessions_between(date(year - 1, 1, 1), date(year, 2, 1))
    unfinished = markets.daily_bars(markets.random_prices(len(days)), days)
    served = refits_of(markets.matrix(unfinished), labels(unfinished, markets.instruments(), (HORIZON,)))
    assert served["ridge", year].serves_to == date(year, 12, 31)
    assert last_known_day() < date(year, 12, 31)  # otherwise this shows nothing


def test_a_version_states_the_exit_of_the_newest_outcome_it_learned_from():
    exits = truth().filter(horizon_sessions=HORIZON).select("symbol", "session", "exit_session")
    # The week before 2017 lacks a feature that ridge uses: it learned nothing from it, momentum did.
    last_week = pl.col("session").is_between(date(2016, 12, 12), date(2016, 12, 31))
    lacking = matrix().with_columns(return_5d=pl.when(~last_week).then(pl.col("return_5d")))
    versions = refits_of(lacking, truth())
    ridge, momentum = versions["ridge", 2017], versions["momentum", 2017]
    assert ridge.newest_exit_session == ridge.training.join(exits, on=["symbol", "session"])["exit_session"].max()
    assert ridge.train_end == date(2016, 12, 9)
    assert ridge.newest_exit_session == date(2016, 12, 19)
    assert momentum.newest_exit_session == date(2016, 12, 30)


def test_the_window_reaches_back_eight_calendar_years():
    days = markets.sessions(2600, date(2005, 1, 3))
    long = markets.daily_bars(markets.random_prices(2600, 3), days)
    window = refits_of(markets.matrix(long), labels(long, markets.instruments(), (HORIZON,)))["ridge", 2015]
    assert window.train_start == date(2007, 1, 3)


def test_ridge_forecasts_with_what_scikit_learn_fits_on_the_purged_window():
    first_served = date(2017, 1, 3)
    examples = matrix().join(truth().filter(horizon_sessions=HORIZON), on=["symbol", "session"])
    examples = examples.filter(pl.col("exit_session") < first_served)
    model = Ridge(alpha=RIDGE_ALPHA).fit(examples.select(FEATURES).to_numpy(), examples["forward_rank"].to_numpy())
    of_2017 = matrix().filter(pl.col("session").dt.year() == 2017)
    expected = model.predict(of_2017.select(FEATURES).to_numpy())
    found = walk_forward(matrix(), truth(), horizon=HORIZON).filter(
        pl.col("algorithm") == "ridge", pl.col("session").dt.year() == 2017
    )
    assert found["score"].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_momentum_is_the_rank_of_twelve_less_one_month_momentum():
    found = walk_forward(matrix(), truth(), horizon=HORIZON).filter(algorithm="momentum")
    joined = found.join(matrix(), on=["symbol", "session"])
    assert joined.height == found.height
    assert (joined["score"] == joined["momentum_12_1"]).all()


def test_a_session_forecast_alone_has_the_same_bits_as_within_its_year():
    refit = refits_of(matrix(), truth())["ridge", 2017]
    model = fit(refit.training, refit.features)
    of_2017 = matrix().filter(pl.col("session").dt.year() == 2017)
    whole = forecast(model, of_2017)
    for day in of_2017["session"].unique().sort()[::50]:
        alone = forecast(model, of_2017.filter(session=day))
        assert alone["score"].to_numpy().tobytes() == whole.filter(session=day)["score"].to_numpy().tobytes()


def test_a_model_refuses_a_matrix_without_its_features():
    refit = refits_of(matrix(), truth())["ridge", 2017]
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="return_5d"):
        forecast(fit(refit.training, refit.features), matrix().drop("return_5d"))


def test_nothing_that_happens_later_changes_a_forecast():
    cut = markets.sessions(COUNT)[600]
    prices = markets.random_prices(COUNT)
    prices[601:] *= np.random.default_rng(9).uniform(0.5, 2.0, size=prices[601:].shape)
    changed = markets.daily_bars(prices)
    after = walk_forward(markets.matrix(changed), labels(changed, markets.instruments(), (HORIZON,)), horizon=HORIZON)
    before = walk_forward(matrix(), truth(), horizon=HORIZON)
    until = pl.col("session") <= cut
    assert before.filter(until).height > 4000
    assert before.filter(until).equals(after.filter(until))
    assert not before.filter(~until).equals(after.filter(~until))


def test_a_session_without_later_data_is_forecast_as_it_is_with_them():
    for at in (300, 499, 505, 506, 511, 640):
        cut = markets.sessions(COUNT)[at]
        known = bars().filter(pl.col("session") <= cut)
        early = walk_forward(markets.matrix(known), labels(known, markets.instruments(), (HORIZON,)), horizon=HORIZON)
        late = walk_forward(matrix(), truth(), horizon=HORIZON).filter(pl.col("session") <= cut)
        assert early.equals(late)


def test_two_computations_give_the_same_bytes():
    first, second = (walk_forward(matrix(), truth(), horizon=HORIZON) for _ in range(2))
    assert first["score"].to_numpy().tobytes() == second["score"].to_numpy().tobytes()


def test_a_feature_that_too_few_rows_have_is_not_used():
    six_percent_missing = (
        matrix().with_row_index().with_columns(return_5d=pl.when(pl.col("index") % 16 != 0).then(pl.col("return_5d")))
    )
    assert refits_of(matrix(), truth())["ridge", 2017].features == FEATURES
    assert refits_of(six_percent_missing, truth())["ridge", 2017].features == (
        "return_1d", "return_21d", "momentum_12_1",
    )  # fmt: skip


def test_a_row_that_lacks_a_used_feature_is_neither_trained_on_nor_forecast():
    lacking = matrix().with_columns(
        return_5d=pl.when((pl.col("symbol") != "AAA") | (pl.col("session").dt.day() != 1)).then(pl.col("return_5d"))
    )
    refit = refits_of(lacking, truth())["ridge", 2017]
    assert "return_5d" in refit.features
    on_the_first = (pl.col("symbol") == "AAA") & (pl.col("session").dt.day() == 1)
    assert refit.training.filter(on_the_first).is_empty()
    forecasts = walk_forward(lacking, truth(), horizon=HORIZON).filter(on_the_first)
    assert forecasts["algorithm"].unique().to_list() == ["momentum"]


def test_too_few_training_rows_make_no_ridge_version():
    # 2015 leaves 186 sessions with features and known outcomes: 2 symbols have 372 rows, 3 have 558.
    def algorithms(symbols: int) -> set[str]:
        few = matrix().filter(pl.col("symbol").is_in(markets.SYMBOLS[:symbols]))
        return {algorithm for algorithm, year in refits_of(few, truth()) if year == 2016}

    assert algorithms(2) == {"momentum"}
    assert algorithms(3) == {"momentum", "ridge"}


def test_a_version_is_named_by_what_it_was_trained_on():
    versions = refits_of(matrix(), truth())
    assert len({r.model_version for r in versions.values()}) == len(versions) == 6
    assert all(len(r.model_version) == 16 for r in versions.values())

    in_2016 = (pl.col("session") == date(2016, 6, 1)) & (pl.col("symbol") == "AAA")
    revised = truth().with_columns(forward_rank=pl.when(in_2016).then(0.123).otherwise(pl.col("forward_rank")))
    changed = {key for key, r in refits_of(matrix(), revised).items() if r.model_version != versions[key].model_version}
    assert changed == {("ridge", 2017), ("ridge", 2018)}

    other_features = refits_of(matrix().with_columns(feature_version=pl.lit("ba9876543210")), truth())
    assert not {r.model_version for r in other_features.values()} & {r.model_version for r in versions.values()}


def test_versions_of_the_past_can_be_left_out():
    recent = list(refits(matrix(), truth(), horizon=HORIZON, serving_since=date(2017, 6, 1)))
    every = list(refits(matrix(), truth(), horizon=HORIZON))
    assert [r.model_version for r in recent] == [r.model_version for r in every[2:]]


def test_labels_of_another_horizon_are_not_trained_on():
    only = truth().filter(horizon_sessions=HORIZON)
    assert walk_forward(matrix(), truth(), horizon=HORIZON).equals(walk_forward(matrix(), only, horizon=HORIZON))
    assert refits_of(matrix(), only).keys() == refits_of(matrix(), truth()).keys()


def test_a_matrix_of_two_feature_versions_is_refused():
    mixed = matrix().with_columns(
        feature_version=pl.when(pl.col("symbol") == "AAA").then(pl.lit("ba9876543210")).otherwise("feature_version")
    )
    with pytest.raises(ValueError, match="mixes feature versions 0123456789ab, ba9876543210"):
        walk_forward(mixed, truth(), horizon=HORIZON)


def test_a_reversed_matrix_is_rejected():
    with pytest.raises(ValueError, match="features/matrix must be sorted"):
        walk_forward(matrix().reverse(), truth(), horizon=HORIZON)


def test_an_empty_matrix_has_no_forecasts():
    assert walk_forward(matrix().clear(), truth(), horizon=HORIZON).equals(OutOfSample.empty_frame())


def test_a_fitted_model_survives_being_described_again():
    refit = refits_of(matrix(), truth())["ridge", 2018]
    shuffled = replace(refit, training=refit.training.sort("session", "symbol"))
    assert fit(shuffled.training, refit.features).coef_.tobytes() == fit(refit.training, refit.features).coef_.tobytes()


@pytest.mark.parametrize("sees_tomorrow", [False, True])
def test_a_feature_that_sees_the_future_is_caught(sees_tomorrow: bool):  # noqa: FBT001
    price = pl.col("total_return_close")
    leak = {"return_5d": (price.shift(-2) / price.shift(-1) - 1).over("symbol")} if sees_tomorrow else None
    features = markets.matrix(bars(), with_features=leak)
    ics = rank_ic(walk_forward(features, truth(), horizon=HORIZON), truth(), horizon=HORIZON).filter(algorithm="ridge")
    mean = ics["rank_ic"].mean()
    assert (mean > 0.10) == sees_tomorrow
    assert is_too_good(ics["rank_ic"], lags=HORIZON) == sees_tomorrow


def test_an_outcome_that_became_known_later_is_not_trained_on():
    until = pl.col("session") < date(2015, 12, 31)
    late = pl.lit(datetime(2016, 6, 1, tzinfo=UTC), dtype=pl.Datetime("us", "UTC"))
    delivered = bars().with_columns(available_at=pl.when(until).then("available_at").otherwise(late))
    outcomes = labels(delivered, markets.instruments(), (HORIZON,))
    trained = refits_of(matrix(), outcomes)["ridge", 2016].training
    exits = outcomes.join(trained.select("symbol", "session"), on=["symbol", "session"])
    assert exits["exit_session"].max() == date(2015, 12, 30)
    assert refits_of(matrix(), truth())["ridge", 2016].training.height > trained.height
