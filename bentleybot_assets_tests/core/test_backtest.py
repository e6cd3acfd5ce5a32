from __future__ import annotations

import functools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.core.backtest import backtest
from bentleybot_assets.core.labels import labels
from bentleybot_assets_tests.core import markets
from bentleybot_assets_tests.core.markets import SYMBOLS, daily_bars, instruments, random_prices, sessions


def forecasts(scores: np.ndarray, algorithm: str = "ridge") -> pl.DataFrame:
    """Scores, sessions by symbols; NaN means that the symbol was not scored."""
    rows = [
        (algorithm, symbol, day, float(scores[row, column]))
        for row, day in enumerate(sessions(len(scores)))
        for column, symbol in enumerate(SYMBOLS[: scores.shape[1]])
        if np.isfinite(scores[row, column])
    ]
    schema = {"algorithm": pl.String, "symbol": pl.String, "session": pl.Date, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("algorithm", "symbol", "session")


def follow(scores: np.ndarray, prices: np.ndarray, *, horizon: int = 5, cost_bps: float | dict[str, float] = 10.0):
    bars = daily_bars(prices)
    return backtest(
        forecasts(scores), bars, labels(bars, instruments(), (horizon,)), horizon=horizon, cost_bps=cost_bps
    )


@functools.cache
def noise(count: int = 400) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(count, len(SYMBOLS)))


def test_a_position_is_bought_at_the_next_close_and_earns_from_the_session_after():
    # The score of session 0 picks AAA (1 of 3 members). It is bought at 11, sold at 24 after two sessions.
    prices = np.array([[10.0, 5, 5], [11, 5, 5], [12, 5, 5], [24, 5, 5], [48, 5, 5]])
    scores = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    result = follow(scores, prices, horizon=2, cost_bps=100)
    assert result["gross_return"].to_list() == pytest.approx([0, 0, 12 / 11 - 1, 24 / 12 - 1, 0])
    # At the close of session 1 all equity is traded, at the close of session 3 all is sold and bought again.
    assert result["turnover"].to_list() == pytest.approx([0, 1, 0, 2, 0])
    # The second cost is 2 % of an equity that doubled in that session.
    assert result["cost"].to_list() == pytest.approx([0, 0.01, 0, 0.04, 0])
    assert result["net_return"].to_list() == pytest.approx([0, -0.01, 12 / 11 - 1, 0.96, 0])


def test_the_benchmark_holds_every_member_and_pays_the_same_cost():
    prices = np.array([[10.0, 5, 5], [10, 5, 5], [20, 5, 5], [20, 5, 5], [20, 5, 5]])
    result = follow(np.tile([0.0, 1, 2], (5, 1)), prices, horizon=2, cost_bps=100)
    thirds = 1 / 3
    drifted = np.array([0.5, 0.25, 0.25])  # after AAA doubled
    traded = np.abs(drifted - thirds).sum()
    expected = [0, -0.01, 1 * thirds, -0.01 * traded, 0]
    assert result["benchmark_return"].to_list() == pytest.approx(expected)


def test_thirty_percent_of_the_members_are_held_rounded_up():
    def members_held(count: int) -> int:
        prices = np.ones((4, count))
        prices[2:, 0] = 2.0  # the best member doubles after it was bought
        scores = np.tile(-np.arange(count, dtype=float), (4, 1))
        return round(1 / follow_many(scores, prices)["gross_return"][2])

    def follow_many(scores: np.ndarray, prices: np.ndarray) -> pl.DataFrame:
        names = [f"S{i:02}" for i in range(scores.shape[1])]
        bars = daily_bars(prices, symbols=names)
        rows = (
            forecasts(np.ones((4, 1)))
            .drop("symbol", "score")
            .join(pl.DataFrame({"symbol": names, "score": scores[0]}), how="cross")
        )
        rows = rows.select("algorithm", "symbol", "session", "score").sort("algorithm", "symbol", "session")
        return backtest(rows, bars, labels(bars, instruments(names), (3,)), horizon=3, cost_bps=0)

    assert [members_held(count) for count in (1, 3, 4, 10, 11, 20)] == [1, 1, 2, 3, 4, 6]


def test_equal_scores_go_to_the_symbols_that_sort_first():
    prices = np.ones((4, 4))
    prices[2:, :2] = 2.0
    assert follow(np.zeros((4, 4)), prices, horizon=3)["gross_return"][2] == pytest.approx(1.0)


def one_jump_a_session(count: int, symbols: int) -> np.ndarray:
    """In session s the symbol s modulo ``symbols`` gains 10 %, all others nothing."""
    growth = np.ones((count, symbols))
    growth[np.arange(count), np.arange(count) % symbols] = 1.1
    return 100 * np.cumprod(growth, axis=0)


@pytest.mark.parametrize(("seen_ahead", "earns"), [(0, False), (1, False), (2, True)])
def test_a_strategy_that_knows_the_bar_it_trades_on_earns_nothing_from_it(seen_ahead: int, earns: bool):  # noqa: FBT001
    count, symbols = 60, 3
    # The score of session t names the symbol that jumps in session t + seen_ahead.
    scores = np.zeros((count, symbols))
    scores[np.arange(count), (np.arange(count) + seen_ahead) % symbols] = 1.0
    gross = follow(scores, one_jump_a_session(count, symbols), horizon=1)["gross_return"].to_numpy()
    # The return of t+2 is the first that a decision of t may earn: only a prophet gets all of it.
    assert gross[2:] == pytest.approx(np.full(count - 2, 0.1 if earns else 0.0))


def test_random_scores_have_no_rank_ic_and_lose_their_cost():
    result = follow(noise(), random_prices(400))
    ics = result["rank_ic"].drop_nulls().to_numpy()
    # Labels overlap for 5 sessions, so a fifth of them is independent.
    assert abs(ics.mean()) < 2 * ics.std() / math.sqrt(len(ics) / 5)
    gross_excess = (
        np.log1p(result["gross_return"].to_numpy()).sum() - np.log1p(result["benchmark_return"].to_numpy()).sum()
    )
    net_excess = np.log1p(result["net_return"].to_numpy()).sum() - np.log1p(result["benchmark_return"].to_numpy()).sum()
    assert result["cost"].sum() > 0.05
    assert net_excess < gross_excess
    assert net_excess < 0.05


def test_net_is_gross_less_cost_to_the_last_bit():
    result = follow(noise(), random_prices(400))
    assert (result["net_return"] == result["gross_return"] - result["cost"]).all()
    assert (result.filter(pl.col("turnover") > 0)["cost"] > 0).all()
    assert (result.filter(pl.col("turnover") == 0)["cost"] == 0).all()


def test_without_cost_net_is_gross():
    result = follow(noise(), random_prices(400), cost_bps=0)
    assert (result["net_return"] == result["gross_return"]).all()
    assert result["turnover"].sum() > 50


@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 7), cost=st.floats(0, 200))
def test_equity_equals_that_of_an_account_kept_in_dollars(seed: int, horizon: int, cost: float):
    count, symbols = 40, 6
    prices = random_prices(count, symbols, seed)
    scores = np.random.default_rng(seed).normal(size=(count, symbols))
    result = follow(scores, prices, horizon=horizon, cost_bps=cost)

    dollars, cash = np.zeros(symbols), 1_000.0
    equity = []
    for row in range(count):
        if row:
            dollars = dollars * prices[row] / prices[row - 1]
        decided = row - 1
        if decided >= 0 and decided % horizon == 0:
            best = sorted(range(symbols), key=lambda s: (-scores[decided, s], SYMBOLS[s]))[:2]  # 30 % of 6, rounded up
            total = dollars.sum() + cash
            target = np.array([total / 2 if s in best else 0.0 for s in range(symbols)])
            fee = np.abs(target - dollars).sum() * cost / 10_000
            dollars, cash = target * (1 - fee / total), 0.0
        equity.append(dollars.sum() + cash)
    expected = np.array(equity) / 1_000.0
    assert np.cumprod(1 + result["net_return"].to_numpy()) == pytest.approx(expected, rel=1e-10)


def test_each_symbol_may_have_its_own_cost():
    prices = np.ones((5, 3))
    scores = np.tile([1.0, 0, 0], (5, 1))
    costs = {"AAA": 7.0, "BBB": 500.0, "CCC": 500.0}
    assert follow(scores, prices, horizon=4, cost_bps=costs)["cost"][1] == pytest.approx(7e-4)


def test_a_symbol_without_cost_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="names no cost for BBB, CCC"):
        follow(np.ones((5, 3)), np.ones((5, 3)), cost_bps={"AAA": 1.0})


def test_an_instrument_without_a_bar_at_the_trading_session_is_not_bought():
    prices = np.array([[10.0, 5, 5], [np.nan, 5, 5], [30, 5, 6], [30, 5, 6]])
    scores = np.tile([2.0, 0, 1], (4, 1))
    # One of three is held; AAA cannot be bought, so nothing is.
    assert follow(scores, prices, horizon=3)["gross_return"].to_list() == [0, 0, 0, 0]
    four = np.column_stack([prices, [5.0, 5, 5, 5]])
    result = follow(np.tile([2.0, 0, 1, 0], (4, 1)), four, horizon=3)
    # Two of four are wanted; all equity goes to the one that can be had.
    assert result["gross_return"][2] == pytest.approx(0.2)


def test_a_gap_in_a_holding_is_earned_at_its_next_bar():
    prices = np.array([[10.0, 5, 5], [10, 5, 5], [np.nan, 5, 5], [15, 5, 5], [15, 5, 5]])
    result = follow(np.tile([1.0, 0, 0], (5, 1)), prices, horizon=4)
    assert result["gross_return"].to_list() == pytest.approx([0, 0, 0, 0.5, 0])


def test_a_rebalance_without_scores_is_skipped_and_the_holdings_stay():
    scores = np.tile([1.0, 0, 0], (7, 1))
    scores[2] = np.nan
    prices = np.cumprod(np.full((7, 3), 1.01), axis=0)
    result = follow(scores, prices, horizon=2)
    assert np.flatnonzero(result["turnover"].to_numpy()).tolist() == [1]
    assert result["gross_return"].to_list()[2:] == pytest.approx([0.01] * 5)


def test_later_prices_and_newcomers_leave_earlier_rows_unchanged():
    count, cut = 120, 90
    prices, scores = random_prices(count), noise(count).copy()
    scores[cut + 1 :, 0] = np.nan
    without_newcomer = scores.copy()
    scores[: cut + 1, 4] = np.nan  # EEE is first scored after the cut
    without_newcomer[:, 4] = np.nan
    prices_later = prices.copy()
    prices_later[cut + 1 :] *= 3
    day = sessions(count)[cut]

    def until_the_cut(result: pl.DataFrame) -> pl.DataFrame:
        return result.filter(pl.col("session") <= day).drop("rank_ic")

    whole = until_the_cut(follow(scores, prices))
    assert whole.height == cut + 1
    assert whole.equals(until_the_cut(follow(scores, prices_later)))
    assert whole.equals(until_the_cut(follow(without_newcomer, prices)))
    for last in (cut, cut + 1, cut + 4):
        assert whole.equals(until_the_cut(follow(scores[: last + 1], prices[: last + 1])))


def test_algorithms_are_followed_side_by_side():
    prices = random_prices(60)
    bars = daily_bars(prices)
    truth = labels(bars, instruments(), (5,))
    ridge = forecasts(noise(60))
    momentum = forecasts(-noise(60), "momentum").filter(pl.col("session") >= sessions(60)[7])
    both = backtest(pl.concat([momentum, ridge]), bars, truth, horizon=5, cost_bps=10)
    Backtest.validate(both)
    assert both.filter(algorithm="ridge").equals(backtest(ridge, bars, truth, horizon=5, cost_bps=10))
    # Momentum, forecast from the eighth session on, waits for the day on which ridge trades too.
    assert both.filter(algorithm="momentum")["session"][0] == sessions(60)[10]
    trades = [both.filter(pl.col("turnover") > 0, algorithm=name)["session"] for name in ("momentum", "ridge")]
    assert set(trades[0]) <= set(trades[1])
    later = both.filter(pl.col("session") > sessions(60)[11]).partition_by("algorithm")
    assert later[0]["benchmark_return"].equals(later[1]["benchmark_return"])


def test_the_rank_ic_of_a_session_is_null_until_its_outcome_is_known():
    known = follow(noise(60), random_prices(60))["rank_ic"].is_not_null().to_list()
    assert known == [True] * 54 + [False] * 6


def test_unsorted_input_is_rejected():
    bars = daily_bars(random_prices(30))
    truth = labels(bars, instruments(), (5,))
    rows = forecasts(noise(30))
    with pytest.raises(ValueError, match="models/out_of_sample must be sorted"):
        backtest(rows.reverse(), bars, truth, horizon=5, cost_bps=10)
    with pytest.raises(ValueError, match="market/daily_bars must be sorted"):
        backtest(rows, bars.reverse(), truth, horizon=5, cost_bps=10)


def test_no_forecasts_have_no_history():
    bars = daily_bars(random_prices(30))
    rows = forecasts(noise(30)).clear()
    result = backtest(rows, bars, markets.matrix(bars).clear(), horizon=5, cost_bps=10)
    assert result.equals(Backtest.empty_frame())
