"""What the corporate actions' own check finds."""

from __future__ import annotations

from datetime import date

import pytest

from bentleybot_assets.defs.raw.market import values_are_positive
from bentleybot_assets_tests.scenario import corporate_actions

DAY = date(2019, 1, 3)


def test_positive_values_pass() -> None:
    finding = values_are_positive(corporate_actions(("AAA", DAY, "split", 0.25), ("BBB", DAY, "dividend", 0.01)))
    assert finding.passed
    assert finding.evidence == {"actions_without_positive_value": 0, "first": "none"}


@pytest.mark.parametrize("value", [None, 0.0, -0.5, float("nan")])
def test_an_action_without_a_positive_value_is_counted_and_named(value: float | None) -> None:
    finding = values_are_positive(corporate_actions(("AAA", DAY, "split", value), ("BBB", DAY, "dividend", 0.01)))
    assert not finding.passed
    assert finding.evidence == {
        "actions_without_positive_value": 1,
        "first": f"symbol=AAA, ex_date=2019-01-03, action=split, value={value}",
    }
