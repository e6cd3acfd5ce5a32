"""What the positions' own check finds."""

from __future__ import annotations

import pytest

from bentleybot_assets.contracts.raw.portfolio import Positions
from bentleybot_assets.defs.raw.portfolio import positions_add_up
from bentleybot_assets_tests.scenario import delivered

HELD = {"institution": "broker", "account": "1", "security": "KO", "kind": "equity"}


@pytest.mark.parametrize(
    "told",
    [
        {"quantity": 3.0, "price": 63.61, "value": 190.83},
        {"quantity": -3.0, "price": 63.61, "value": -190.83},
        {"quantity": 3.0, "price": None, "value": 190.83},
        {"quantity": 3.0, "price": 63.61, "value": None},
        {"kind": "option", "quantity": 1.0, "price": 2.0, "value": 200.0},
    ],
    ids=str,
)
def test_holdings_that_add_up_or_do_not_tell_all_pass(told: dict[str, object]) -> None:
    assert positions_add_up(delivered(Positions, {**HELD, **told})).passed


def test_a_holding_that_is_worth_something_else_is_named() -> None:
    finding = positions_add_up(delivered(Positions, {**HELD, "quantity": 3.0, "price": 63.61, "value": 19083.0}))
    assert not finding.passed
    assert finding.evidence["first"].endswith("security=KO, quantity=3.0, price=63.61, value=19083.0")
