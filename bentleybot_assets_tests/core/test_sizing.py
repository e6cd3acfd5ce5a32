"""Signals become whole shares: within cash, caps and what is worth trading."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.core.sizing import Limits, target_weights
from bentleybot_assets_tests.core.test_signals import instruments

SESSION = date(2022, 12, 28)
NO_BAND = Limits(min_trade_weight=0.0)


def signals(**actions: str) -> pl.DataFrame:
    """Signals ranked in the order they are given, best first."""
    rows = [
        {
            "symbol": symbol,
            "session": SESSION,
            "action": action,
            "percentile": 1 - number / len(actions),
            "confidence": 0.5,
            "reasons": "RANK_MIDDLE",
            "expected_cost_bps": 10.0,
            "model_version": "c" * 16,
        }
        for number, (symbol, action) in enumerate(actions.items())
    ]
    return pl.DataFrame(rows, schema=TradingSignals.polars_schema()).sort("symbol")


def prices(**marks: float | None) -> pl.DataFrame:
    """The columns of market/daily_bars that sizing reads."""
    return pl.DataFrame(
        {
            "symbol": list(marks),
            "session": [SESSION] * len(marks),
            "mark_price": pl.Series(list(marks.values()), dtype=pl.Float64),
            "price_source": ["split_adjusted_close"] * len(marks),
            "currency": ["USD"] * len(marks),
        }
    )


def size(
    actions: dict[str, str],
    marks: dict[str, float],
    positions: dict[str, int] | None = None,
    cash: float = 0.0,
    limits: Limits = NO_BAND,
    **asset_classes: str,
) -> dict[str, int]:
    members = instruments(**{symbol: asset_classes.get(symbol, "equity") for symbol in actions})
    targets = target_weights(
        signals(**actions), prices(**marks), members, positions=positions or {}, cash_usd=cash, limits=limits
    )
    TargetWeights.to_schema().validate(targets)
    return dict(targets.select("symbol", "target_quantity").iter_rows())


def test_names_to_buy_share_what_may_be_invested_equally_in_whole_shares() -> None:
    wide = Limits(max_weight={"equity": 1.0}, min_trade_weight=0.0)
    assert size({"A": "BUY", "B": "BUY"}, {"A": 100.0, "B": 30.0}, cash=10_000, limits=wide) == {
        "A": 47,  # 4,750 USD each
        "B": 158,
    }


def test_no_name_is_bought_beyond_its_cap_and_the_rest_stays_cash() -> None:
    assert size({"A": "BUY", "B": "BUY"}, {"A": 1.0, "B": 1.0}, cash=10_000) == {"A": 1_000, "B": 1_000}


def test_what_a_capped_name_cannot_take_is_shared_by_the_others() -> None:
    # Equal shares of 9,500 USD would be 1,900 each: the equity is capped at 1,000, the funds take 2,125 each.
    actions = dict.fromkeys(["A", "B", "C", "D", "E"], "BUY")
    funds = dict.fromkeys(["B", "C", "D", "E"], "etf")
    assert size(actions, dict.fromkeys(actions, 1.0), cash=10_000, **funds) == {
        "A": 1_000,
        "B": 2_125,
        "C": 2_125,
        "D": 2_125,
        "E": 2_125,
    }


def test_a_hold_keeps_its_shares_and_a_sell_gives_up_all() -> None:
    actions = {"A": "HOLD", "B": "SELL", "C": "HOLD"}
    assert size(actions, {"A": 10.0, "B": 10.0, "C": 10.0}, {"A": 7, "B": 9}, cash=100) == {"A": 7, "B": 0, "C": 0}


def test_money_from_a_sale_is_invested_in_the_same_plan() -> None:
    wide = Limits(max_weight={"equity": 1.0}, min_trade_weight=0.0)
    assert size({"A": "BUY", "B": "SELL"}, {"A": 1.0, "B": 10.0}, {"B": 100}, limits=wide) == {"A": 950, "B": 0}


def test_held_names_are_paid_for_before_new_ones() -> None:
    # Equity 1,000, investable 950, held 800: 150 is left for two names.
    wide = Limits(max_weight={"equity": 1.0}, min_trade_weight=0.0)
    actions = {"A": "HOLD", "B": "BUY", "C": "BUY"}
    assert size(actions, dict.fromkeys(actions, 1.0), {"A": 800}, cash=200, limits=wide) == {"A": 800, "B": 75, "C": 75}


def test_where_held_names_are_worth_more_than_may_be_invested_nothing_is_bought() -> None:
    actions = {"A": "HOLD", "B": "BUY"}
    assert size(actions, {"A": 1.0, "B": 1.0}, {"A": 980}, cash=20) == {"A": 980, "B": 0}


def test_a_change_that_is_not_worth_its_cost_is_left_out() -> None:
    limits = Limits(max_weight={"equity": 0.5}, min_trade_weight=0.01)
    # Equity 1,000: targets are 475 each, and 470 is less than 10 USD away from it.
    actions = {"A": "BUY", "B": "BUY"}
    held = size(actions, {"A": 1.0, "B": 1.0}, {"A": 470}, cash=530, limits=limits)
    assert held == {"A": 470, "B": 480}


def test_a_position_that_outgrew_its_cap_is_trimmed_even_by_little() -> None:
    limits = Limits(min_cash_weight=0.0, min_trade_weight=0.01)
    assert size({"A": "BUY"}, {"A": 1.0}, {"A": 105}, cash=895, limits=limits) == {"A": 100}


def test_a_small_position_is_still_sold_off() -> None:
    assert size({"A": "SELL"}, {"A": 1.0}, {"A": 1}, cash=9_999, limits=Limits()) == {"A": 0}


def test_a_budget_too_small_for_all_serves_the_best_ranked() -> None:
    # 950 USD among 200 names would be 4.75 each, below 10.50: the best 90 take 10.55 each.
    ranked = [f"S{(7 * number) % 200:03d}" for number in range(200)]
    limits = Limits(min_trade_weight=0.0105)
    targets = size(dict.fromkeys(ranked, "BUY"), dict.fromkeys(ranked, 0.01), cash=1_000, limits=limits)
    assert {symbol for symbol in ranked if targets[symbol]} == set(ranked[:90])
    assert {targets[symbol] for symbol in ranked[:90]} == {1_055}


def test_the_weight_is_what_was_aimed_at_and_the_value_what_is_bought() -> None:
    targets = target_weights(
        signals(A="BUY"), prices(A=300.0), instruments(A="equity"), positions={}, cash_usd=10_000, limits=Limits()
    )
    assert targets.select("weight", "target_quantity", "target_value_usd", "reference_price_usd", "price_source").row(
        0
    ) == (
        0.1,
        3,
        900.0,
        300.0,
        "split_adjusted_close",
    )


def test_prices_of_other_symbols_and_sessions_do_not_matter() -> None:
    bars = pl.concat([prices(A=300.0, Z=1.0), prices(A=1.0).with_columns(session=date(2022, 12, 27))])
    given_more = target_weights(
        signals(A="BUY"), bars, instruments(A="equity"), positions={}, cash_usd=10_000, limits=Limits()
    )
    assert given_more["target_quantity"].to_list() == [3]


@pytest.mark.parametrize("mark", [float("nan"), float("inf"), 0.0, -1.0, None])
def test_a_price_that_is_not_positive_is_named(mark: float | None) -> None:
    with pytest.raises(ValueError, match="mark_price of B in market/daily_bars at session 2022-12-28 is"):
        size({"A": "BUY", "B": "HOLD"}, {"A": 1.0, "B": mark}, cash=100)  # type: ignore[dict-item]


def test_a_signal_without_a_price_is_named() -> None:
    with pytest.raises(ValueError, match="B has a signal but no bar"):
        size({"A": "BUY", "B": "HOLD"}, {"A": 1.0}, cash=100)


def test_a_position_without_a_signal_is_named() -> None:
    with pytest.raises(ValueError, match=r"Z is held \(5 shares\) but has no signal"):
        size({"A": "BUY"}, {"A": 1.0, "Z": 1.0}, {"Z": 5}, cash=100)


def test_a_short_position_is_refused() -> None:
    with pytest.raises(ValueError, match="position in A is -1"):
        size({"A": "BUY"}, {"A": 1.0}, {"A": -1}, cash=100)


def test_an_instrument_in_another_currency_is_named() -> None:
    with pytest.raises(ValueError, match="A is priced in EUR"):
        target_weights(
            signals(A="BUY"),
            prices(A=1.0).with_columns(currency=pl.lit("EUR")),
            instruments(A="equity"),
            positions={},
            cash_usd=100,
            limits=Limits(),
        )


@pytest.mark.parametrize("cash", [-1.0, float("nan"), float("inf")])
def test_cash_that_is_no_amount_is_refused(cash: float) -> None:
    with pytest.raises(ValueError, match="cash_usd is"):
        size({"A": "BUY"}, {"A": 1.0}, cash=cash)


def test_an_account_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="neither cash nor positions"):
        size({"A": "BUY"}, {"A": 1.0})


def test_an_asset_class_without_a_cap_is_named() -> None:
    with pytest.raises(ValueError, match="no max_weight for asset class etf of A"):
        size({"A": "BUY"}, {"A": 1.0}, cash=100, limits=Limits(max_weight={"equity": 0.1}), A="etf")


@pytest.mark.parametrize(
    "wrong", [{"max_weight": {"equity": 1.1}}, {"min_cash_weight": -0.1}, {"min_trade_weight": float("nan")}]
)
def test_limits_are_fractions(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be a fraction"):
        Limits(**wrong)  # type: ignore[arg-type]


@st.composite
def accounts(draw: st.DrawFn) -> dict[str, object]:
    """Any account: what is followed, said, held and allowed."""
    names = [f"S{number}" for number in range(draw(st.integers(1, 12)))]
    marks = {name: draw(st.floats(0.5, 900.0)) for name in names}
    return {
        "actions": {name: draw(st.sampled_from(["BUY", "BUY", "HOLD", "SELL"])) for name in names},
        "marks": marks,
        "classes": {name: draw(st.sampled_from(["equity", "etf"])) for name in names},
        "positions": {name: draw(st.integers(0, 60)) for name in names if draw(st.booleans())},
        "cash": draw(st.floats(1.0, 50_000.0)),
        "limits": Limits(
            max_weight={"equity": draw(st.floats(0.02, 0.4)), "etf": draw(st.floats(0.05, 0.6))},
            min_cash_weight=draw(st.floats(0.0, 0.3)),
            min_trade_weight=draw(st.sampled_from([0.0, 0.01, 0.03])),
        ),
    }


@given(accounts())
@settings(derandomize=True, max_examples=200, deadline=None)
def test_no_plan_breaks_a_limit(account: dict) -> None:  # type: ignore[type-arg]
    marks, positions, limits = account["marks"], account["positions"], account["limits"]
    targets = target_weights(
        signals(**account["actions"]),
        prices(**marks),
        instruments(**account["classes"]),
        positions=positions,
        cash_usd=account["cash"],
        limits=limits,
    )
    TargetWeights.to_schema().validate(targets)
    equity = account["cash"] + sum(positions.get(name, 0) * marks[name] for name in marks)
    cent = 1e-9 * equity
    bought = sold = 0.0
    for row in targets.iter_rows(named=True):
        action, mark = account["actions"][row["symbol"]], marks[row["symbol"]]
        before, after = row["position_quantity"], row["target_quantity"]
        cap = limits.max_weight[account["classes"][row["symbol"]]] * equity
        assert before == positions.get(row["symbol"], 0)
        assert math.isclose(row["target_value_usd"], after * mark)
        if action == "SELL":
            assert after == 0
        if action == "HOLD":
            assert after == before
        if action == "BUY":
            assert after * mark <= cap + cent
            small = abs(after - before) * mark < limits.min_trade_weight * equity
            assert not small or after == before or before * mark > cap
        bought += max(0, after - before) * mark
        sold += max(0, before - after) * mark
    investable = (1 - limits.min_cash_weight) * equity
    assert targets["target_value_usd"].sum() <= investable + cent or bought == 0
    assert bought <= account["cash"] + sold + cent


@given(accounts())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_plan_that_was_carried_out_is_its_own_successor(account: dict) -> None:  # type: ignore[type-arg]
    """Where every change is worth trading, targets depend on equity alone; rounding may move one share."""
    marks = account["marks"]
    arguments = (signals(**account["actions"]), prices(**marks), instruments(**account["classes"]))
    limits = replace(account["limits"], min_trade_weight=0.0)
    first = target_weights(*arguments, positions=account["positions"], cash_usd=account["cash"], limits=limits)
    owned = dict(first.select("symbol", "target_quantity").iter_rows())
    equity = account["cash"] + sum(account["positions"].get(name, 0) * marks[name] for name in marks)
    cash = max(0.0, equity - first["target_value_usd"].sum())
    second = target_weights(*arguments, positions=owned, cash_usd=cash, limits=limits)
    assert (second["target_quantity"] - second["position_quantity"]).abs().max() in {0, 1}
