"""What the balances' own check finds."""

from __future__ import annotations

import pytest

from bentleybot_assets.contracts.raw.portfolio import Balances
from bentleybot_assets.defs.raw.portfolio import balances_have_an_amount
from bentleybot_assets_tests.scenario import delivered

ACCOUNT = {"institution": "bank", "account": "1"}


@pytest.mark.parametrize(
    "amounts", [{"current": -10.5}, {"available": 0.0}, {"current": 1.0, "available": 2.0}], ids=str
)
def test_a_balance_that_tells_an_amount_passes(amounts: dict[str, float]) -> None:
    assert balances_have_an_amount(delivered(Balances, {**ACCOUNT, **amounts})).passed


@pytest.mark.parametrize("amounts", [{}, {"current": float("nan")}, {"credit_limit": 500.0}], ids=str)
def test_a_balance_without_an_amount_is_named(amounts: dict[str, float]) -> None:
    finding = balances_have_an_amount(delivered(Balances, {**ACCOUNT, **amounts}))
    assert not finding.passed
    assert finding.evidence["first"].startswith("institution=bank, account=1, event_at=")
