from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.core.labels import labels
from bentleybot_assets_tests.core.markets import SYMBOLS, daily_bars, instruments, random_prices, sessions

THREE = SYMBOLS[:3]


def three_instruments() -> pl.DataFrame:
    prices = np.array([[10.0, 20.0, 30.0], [11.0, 20.0, 30.0], [12.0, 20.0, 33.0], [22.0, 10.0, 33.0], [1.0, 1.0, 1.0]])
    return daily_bars(prices)


def test_a_label_runs_from_the_next_close_to_the_close_that_many_sessions_later():
    day = sessions(5)
    result = labels(three_instruments(), instruments(THREE), (2,))
    first = result.filter(session=day[0])
    assert first["entry_session"].to_list() == [day[1]] * 3
    assert first["exit_session"].to_list() == [day[3]] * 3
    assert first["forward_return"].to_list() == pytest.approx([22 / 11 - 1, 10 / 20 - 1, 33 / 30 - 1])
    assert first["forward_rank"].to_list() == [0.5, -0.5, 0.0]


def test_labels_satisfy_their_contract():
    prices = random_prices(60)
    result = labels(daily_bars(prices), instruments(), (5, 20))
    Labels.validate(result)
    assert result.equals(result.sort("symbol", "session", "horizon_sessions"))


def test_sessions_whose_outcome_is_unknown_have_no_label():
    days = sessions(60)
    result = labels(daily_bars(random_prices(60)), instruments(), (5, 20))
    newest = result.group_by("horizon_sessions").agg(pl.col("session").max()).sort("horizon_sessions")
    assert newest["session"].to_list() == [days[60 - 1 - 6], days[60 - 1 - 21]]


def test_the_price_of_the_decision_does_not_enter_its_label():
    prices = random_prices(30)
    changed = prices.copy()
    changed[10] *= np.linspace(0.5, 2.0, prices.shape[1])
    at = sessions(30)[10]
    before, after = (labels(daily_bars(p), instruments(), (5,)).filter(session=at) for p in (prices, changed))
    assert before.equals(after)


def test_a_gap_does_not_stretch_a_horizon():
    prices = random_prices(30)
    prices[10, 0] = np.nan
    days = sessions(30)
    result = labels(daily_bars(prices), instruments(), (5,))
    with_gap = result.filter(symbol="AAA")["session"].to_list()
    # Decisions 4..10 would need the missing bar as decision, entry, exit or on the way.
    assert with_gap == [*days[:4], *days[11:24]]
    assert result.filter(symbol="BBB")["session"].to_list() == days[:24]


def test_a_holiday_is_not_a_gap():
    week_of_thanksgiving = sessions_between(date(2021, 11, 22), date(2021, 12, 1))
    assert date(2021, 11, 25) not in week_of_thanksgiving
    bars = daily_bars(random_prices(len(week_of_thanksgiving)), week_of_thanksgiving)
    result = labels(bars, instruments(), (3,))
    assert result["session"].unique().sort().to_list() == week_of_thanksgiving[: len(week_of_thanksgiving) - 4]


def test_only_tradable_members_are_labelled_and_ranked():
    days = sessions(10)
    universe = instruments(THREE, AAA={"is_tradable": False}, BBB={"valid_to": days[1]}, CCC={"valid_from": days[1]})
    result = labels(daily_bars(random_prices(10, 3)), universe, (2,))
    assert result.filter(symbol="AAA").is_empty()
    assert result.filter(symbol="BBB")["session"].to_list() == days[:2]
    assert result.filter(symbol="CCC")["session"].to_list() == days[1:7]
    # BBB is alone on the first session, meets CCC on the second, and CCC is alone from then on.
    ranks = result.sort("session", "symbol")["forward_rank"].to_list()
    assert ranks[0] == 0.0
    assert sorted(ranks[1:3]) == [-0.5, 0.5]
    assert ranks[3:] == [0.0] * 5


def test_equal_returns_share_their_mean_rank():
    prices = np.array([[1.0, 1.0, 1.0, 1.0]] * 2 + [[2.0, 3.0, 3.0, 4.0]])
    result = labels(daily_bars(prices), instruments(SYMBOLS[:4]), (1,))
    assert result["forward_rank"].to_list() == pytest.approx([-0.5, 0.0, 0.0, 0.5])


def test_reversed_bars_are_rejected():
    with pytest.raises(ValueError, match="market/daily_bars must be sorted by symbol, session"):
        labels(three_instruments().reverse(), instruments(THREE))


def test_a_horizon_below_one_session_is_rejected():
    with pytest.raises(ValueError, match="at least 1 session"):
        labels(three_instruments(), instruments(THREE), (5, 0))


def test_no_bars_have_no_labels():
    result = labels(three_instruments().clear(), instruments(THREE))
    assert result.schema == Labels.empty_frame().schema
    assert result.is_empty()


@given(
    seed=st.integers(0, 10_000),
    holes=st.sets(st.tuples(st.integers(0, 24), st.integers(0, 3)), max_size=12),
    horizon=st.integers(1, 6),
)
def test_labels_equal_a_row_by_row_definition(seed: int, holes: set[tuple[int, int]], horizon: int):
    prices = np.round(random_prices(25, 4, seed), 0)  # rounded, so that returns tie
    for row, column in holes:
        prices[row, column] = np.nan
    days = sessions(25)
    expected = {}
    for row in range(25 - horizon - 1):
        outcomes = {
            symbol: prices[row + 1 + horizon, column] / prices[row + 1, column] - 1
            for column, symbol in enumerate(SYMBOLS[:4])
            if np.isfinite(prices[row : row + 2 + horizon, column]).all()
        }
        ranks = rankdata(list(outcomes.values()))
        for (symbol, outcome), rank in zip(outcomes.items(), ranks, strict=True):
            centred = (rank - 1) / (len(ranks) - 1) - 0.5 if len(ranks) > 1 else 0.0
            expected[symbol, days[row]] = (outcome, centred)
    result = labels(daily_bars(prices), instruments(SYMBOLS[:4]), (horizon,))
    found = {(row["symbol"], row["session"]): (row["forward_return"], row["forward_rank"]) for row in result.to_dicts()}
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, abs=1e-12)
