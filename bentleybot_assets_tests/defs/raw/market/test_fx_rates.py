"""What the exchange rates' own check finds."""

from __future__ import annotations

from datetime import date

import pytest

from bentleybot_assets.contracts.raw.market import FxRates
from bentleybot_assets.defs.raw.market import rates_are_positive
from bentleybot_assets_tests.scenario import delivered

PAIR = {"base_currency": "EUR", "quote_currency": "USD", "rate_date": date(2018, 1, 2)}


def test_positive_rates_pass() -> None:
    assert rates_are_positive(delivered(FxRates, {**PAIR, "rate": 1.2})).passed


@pytest.mark.parametrize("rate", [None, 0.0, -1.2, float("nan")])
def test_a_rate_that_is_not_positive_is_named(rate: float | None) -> None:
    finding = rates_are_positive(delivered(FxRates, {**PAIR, "rate": rate}))
    assert not finding.passed
    assert finding.evidence["first"] == f"base_currency=EUR, quote_currency=USD, rate_date=2018-01-02, rate={rate}"
