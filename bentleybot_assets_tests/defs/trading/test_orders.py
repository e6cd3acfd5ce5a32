"""What the orders' own check finds."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.defs.trading.orders import quantity_is_target_less_position


def order(order_id: str, side: str, quantity: int, *, position: int, target: int) -> pl.DataFrame:
    row = {
        "order_id": order_id * 32,
        "session": date(2022, 12, 28),
        "symbol": order_id.upper(),
        "side": side,
        "quantity": quantity,
        "position_quantity": position,
        "target_quantity": target,
    }
    return pl.DataFrame([row], schema=Orders.polars_schema())


GOOD = pl.concat(
    [order("a", "BUY", 5, position=1, target=6), order("b", "SELL", 5, position=6, target=1)],
)


@pytest.mark.parametrize("frame", [GOOD, Orders.empty_frame()], ids=["a buy and a sell", "no order"])
def test_orders_that_lead_to_their_target_pass(frame: pl.DataFrame) -> None:
    finding = quantity_is_target_less_position(frame)
    assert finding.passed
    assert finding.evidence == {"orders": []}


@pytest.mark.parametrize(
    "wrong",
    [order("c", "BUY", 4, position=1, target=6), order("c", "SELL", 5, position=1, target=6)],
    ids=["wrong quantity", "wrong direction"],
)
def test_an_order_that_misses_its_target_is_named(wrong: pl.DataFrame) -> None:
    finding = quantity_is_target_less_position(pl.concat([GOOD, wrong]))
    assert not finding.passed
    assert finding.evidence == {"orders": ["c" * 32]}
