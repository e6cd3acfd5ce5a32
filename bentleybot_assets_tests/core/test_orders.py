"""Targets become orders that trade exactly the difference, under ids that a re-run finds again."""

from __future__ import annotations

from datetime import date
from hashlib import sha256

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core.orders import order_id, order_intents
from bentleybot_assets_tests.core.test_signals import COSTS, instruments

SESSION = date(2022, 12, 28)
MEMBERS = instruments(AAPL="equity", SPY="etf", IBM="equity")


def targets(price: float = 10.0, **holdings: tuple[int, int]) -> pl.DataFrame:
    """Target weights of symbols given as (position, target)."""
    rows = [
        {
            "symbol": symbol,
            "session": SESSION,
            "weight": 0.1,
            "reference_price_usd": price,
            "price_source": "split_adjusted_close",
            "position_quantity": position,
            "target_quantity": target,
            "target_value_usd": target * price,
        }
        for symbol, (position, target) in holdings.items()
    ]
    return pl.DataFrame(rows, schema=TargetWeights.polars_schema())


def intents(frame: pl.DataFrame, members: pl.DataFrame = MEMBERS, **changes: object) -> pl.DataFrame:
    decision = {
        "strategy": "ranked",
        "revision": "1",
        "account_mode": "paper",
        "data_mode": "sample",
        "costs_bps": COSTS,
        **changes,
    }
    return order_intents(frame, members, **decision)  # type: ignore[arg-type]


def test_a_target_above_the_position_is_bought_and_one_below_is_sold() -> None:
    orders = intents(targets(AAPL=(3, 10), SPY=(8, 2), IBM=(5, 5))).sort("symbol")
    Orders.to_schema().validate(orders)
    assert orders.select("symbol", "side", "quantity", "estimated_value_usd").rows() == [
        ("AAPL", "BUY", 7, 70.0),
        ("SPY", "SELL", 6, 60.0),
    ]
    assert set(orders["state"]) == {"PENDING"}


def test_the_cost_is_that_of_the_asset_class() -> None:
    orders = intents(targets(price=100.0, AAPL=(0, 10), SPY=(0, 10))).sort("symbol")
    assert orders["estimated_cost_usd"].to_list() == pytest.approx([0.5, 0.3])  # 5 and 3 basis points of 1,000 USD


def test_nothing_to_change_is_no_order() -> None:
    orders = intents(targets(AAPL=(3, 3)))
    assert orders.equals(Orders.empty_frame())


def test_the_id_is_the_hash_of_what_was_decided() -> None:
    expected = sha256(b"ranked|2022-12-28|AAPL|10|1").hexdigest()[:32]
    assert intents(targets(AAPL=(3, 10)))["order_id"].to_list() == [expected]


def test_prices_positions_and_costs_do_not_change_the_id() -> None:
    one = intents(targets(AAPL=(3, 10)))
    other = intents(targets(price=11.0, AAPL=(2, 10)), costs_bps={"equity": 9.0})
    assert one["order_id"].equals(other["order_id"])


def test_each_part_of_a_decision_changes_the_id() -> None:
    decisions = [
        ("ranked", SESSION, "AAPL", 10, "1"),
        ("other", SESSION, "AAPL", 10, "1"),
        ("ranked", date(2022, 12, 29), "AAPL", 10, "1"),
        ("ranked", SESSION, "IBM", 10, "1"),
        ("ranked", SESSION, "AAPL", 11, "1"),
        ("ranked", SESSION, "AAPL", 10, "2"),
    ]
    assert len({order_id(*decision) for decision in decisions}) == len(decisions)


def test_a_name_that_could_blur_two_decisions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'a\|b' contains '\|'"):
        intents(targets(AAPL=(3, 10)), strategy="a|b")


def test_targets_of_two_sessions_are_refused() -> None:
    two = pl.concat([targets(AAPL=(3, 10)), targets(AAPL=(3, 10)).with_columns(session=date(2022, 12, 29))])
    with pytest.raises(ValueError, match="Targets must be of one session"):
        intents(two)


def test_a_symbol_without_an_instrument_is_named() -> None:
    with pytest.raises(ValueError, match="ZZZ is not a tradable member"):
        intents(targets(ZZZ=(0, 1)))


def test_an_asset_class_without_a_cost_is_named() -> None:
    with pytest.raises(ValueError, match="no cost for asset class etf of SPY"):
        intents(targets(SPY=(0, 1)), costs_bps={"equity": 5.0})


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z]{1,5}", fullmatch=True),
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
        min_size=1,
        max_size=10,
    ),
    st.floats(0.01, 1e5),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_orders_lead_from_every_position_to_its_target(holdings: dict[str, tuple[int, int]], price: float) -> None:
    members = instruments(**dict.fromkeys(holdings, "equity"))
    orders = intents(targets(price, **holdings), members)
    Orders.to_schema().validate(orders)
    after = {symbol: position for symbol, (position, _) in holdings.items()}
    for row in orders.iter_rows(named=True):
        after[row["symbol"]] += row["quantity"] if row["side"] == "BUY" else -row["quantity"]
    assert after == {symbol: target for symbol, (_, target) in holdings.items()}
    assert len(orders) == sum(position != target for position, target in holdings.values())
    assert intents(targets(price, **dict(reversed(holdings.items()))), members).equals(orders)
