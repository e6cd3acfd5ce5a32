"""What the bills' own check finds."""

from __future__ import annotations

from datetime import date

import pytest

from bentleybot_assets.contracts.raw.market import RiskFreeRates
from bentleybot_assets.defs.raw.market import rates_are_in_percent
from bentleybot_assets_tests.scenario import delivered

BILL = {"series": "3 months", "rate_date": date(2018, 1, 2)}


@pytest.mark.parametrize("rate_pct", [None, 0.0, 0.01, -0.05, 4.3, 16.3])
def test_what_bills_have_yielded_passes(rate_pct: float | None) -> None:
    assert rates_are_in_percent(delivered(RiskFreeRates, {**BILL, "rate_pct": rate_pct})).passed


@pytest.mark.parametrize("rate_pct", [430.0, 0.00043, float("nan")], ids=str)
def test_a_rate_in_another_unit_is_named(rate_pct: float) -> None:
    finding = rates_are_in_percent(delivered(RiskFreeRates, {**BILL, "rate_pct": rate_pct}))
    assert not finding.passed
    assert finding.evidence["first"].startswith("series=3 months, rate_date=2018-01-02, rate_pct=")
