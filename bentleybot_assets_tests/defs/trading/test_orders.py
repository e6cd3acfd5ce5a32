"""What the orders' own check finds; what is recorded, and what a decided session gets back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
import pytest

from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.defs.trading.orders import orders, quantity_is_target_less_position
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.ledger.decisions import Account
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring import refusals
from bentleybot_assets.wiring.partitions import sessions


def an_order(order_id: str, side: str, quantity: int, *, position: int, target: int) -> pl.DataFrame:
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
    [an_order("a", "BUY", 5, position=1, target=6), an_order("b", "SELL", 5, position=6, target=1)],
)


@pytest.mark.parametrize("frame", [GOOD, Orders.empty_frame()], ids=["a buy and a sell", "no order"])
def test_orders_that_lead_to_their_target_pass(frame: pl.DataFrame) -> None:
    finding = quantity_is_target_less_position(frame)
    assert finding.passed
    assert finding.evidence == {"orders": []}


@pytest.mark.parametrize(
    "wrong",
    [an_order("c", "BUY", 4, position=1, target=6), an_order("c", "SELL", 5, position=1, target=6)],
    ids=["wrong quantity", "wrong direction"],
)
def test_an_order_that_misses_its_target_is_named(wrong: pl.DataFrame) -> None:
    finding = quantity_is_target_less_position(pl.concat([GOOD, wrong]))
    assert not finding.passed
    assert finding.evidence == {"orders": ["c" * 32]}


DAY = date(2022, 12, 28)


def targets(**quantities: int) -> pl.DataFrame:
    """Targets of the session's members, of which two shares each are held, at 10 USD."""
    rows = [
        {
            "symbol": symbol,
            "session": DAY,
            "weight": 0.1,
            "reference_price_usd": 10.0,
            "price_source": "split_adjusted_close",
            "position_quantity": 2,
            "target_quantity": quantity,
            "target_value_usd": 10.0 * quantity,
        }
        for symbol, quantity in quantities.items()
    ]
    return pl.DataFrame(rows, schema=TargetWeights.polars_schema())


def instruments(*symbols: str) -> pl.DataFrame:
    row = {"asset_class": "equity", "currency": "USD", "valid_from": date(2020, 1, 1), "is_tradable": True}
    return pl.DataFrame([{"symbol": symbol, **row} for symbol in symbols], schema=Instruments.polars_schema())


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Materialises the orders of the session from these tables; the gate has nothing against it."""
    monkeypatch.setattr(refusals, "tables_behind", lambda _: iter(()))
    upstream = [
        dg.AssetSpec(["trading", "target_weights"], partitions_def=sessions).with_io_manager_key("warehouse_io"),
        dg.AssetSpec(["market", "instruments"]).with_io_manager_key("warehouse_io"),
    ]

    def materialise(aims: pl.DataFrame, members: pl.DataFrame, *, cash_usd: float = 1000.0) -> bool:
        monkeypatch.setenv("BENTLEYBOT_ACCOUNT__CASH_USD", f"{cash_usd}")
        resources = the_desk()
        warehouse = resources["warehouse"].open()
        warehouse.publish(TargetWeights, aims, [DAY])
        warehouse.publish(Instruments, members)
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [orders, *upstream],
                instance=instance,
                selection=[orders.key],
                partition_key=f"{DAY}",
                resources=resources,
                raise_on_error=False,
            ).success

    return materialise


def the_desk() -> dict[str, Any]:
    return resources_of(Settings.load())


def test_a_decision_is_recorded_with_the_account_it_was_made_for(order: Callable[..., bool]) -> None:
    assert order(targets(AAPL=5, IBM=2), instruments("AAPL", "IBM"))
    ledger, strategy = the_desk()["ledger"].open(), the_desk()["desk"].strategy
    assert ledger.orders(DAY).select("symbol", "side", "quantity").rows() == [("AAPL", "BUY", 3)]
    assert ledger.account(DAY, strategy) == Account(1000.0, {"AAPL": 2, "IBM": 2})


def test_a_decided_session_gets_its_orders_back_whatever_has_changed_since(order: Callable[..., bool]) -> None:
    assert order(targets(AAPL=5), instruments("AAPL"))
    ledger, strategy = the_desk()["ledger"].open(), the_desk()["desk"].strategy
    ledger.record_refusal(DAY, check="contract", table="market/daily_bars", evidence="x", dagster_run_id="another")
    placed = ledger.orders(DAY)

    assert order(targets(AAPL=9), instruments("IBM"), cash_usd=5.0)
    assert the_desk()["warehouse"].open().read(Orders, [DAY]).equals(placed)
    assert ledger.orders(DAY).equals(placed)
    assert ledger.account(DAY, strategy) == Account(1000.0, {"AAPL": 2})
    assert ledger.open_refusals(DAY).is_empty()


def test_a_refusal_stays_open_while_no_decision_can_be_recorded(order: Callable[..., bool]) -> None:
    ledger = the_desk()["ledger"].open()
    ledger.record_refusal(DAY, check="contract", table="market/daily_bars", evidence="x", dagster_run_id="another")
    assert not order(targets(AAPL=5), instruments("IBM"))
    assert ledger.open_refusals(DAY).height == 1
    assert order(targets(AAPL=5), instruments("AAPL"))
    assert ledger.open_refusals(DAY).is_empty()
