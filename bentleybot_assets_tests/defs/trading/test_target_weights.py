"""What the target weights' own check finds."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.defs.trading.target_weights import weights_need_no_leverage

DAY, NEXT = date(2022, 12, 27), date(2022, 12, 28)


def weights(day: date, **by_symbol: float) -> pl.DataFrame:
    rows = [{"symbol": symbol, "session": day, "weight": weight} for symbol, weight in by_symbol.items()]
    return pl.DataFrame(rows, schema=TargetWeights.polars_schema())


def test_weights_that_sum_to_one_at_each_session_pass() -> None:
    finding = weights_need_no_leverage(pl.concat([weights(DAY, AAA=0.7, BBB=0.3), weights(NEXT, AAA=0.5)]))
    assert finding.passed
    assert finding.evidence["highest_sum"] == pytest.approx(1.0)


def test_weights_that_sum_to_more_than_one_fail_with_the_sum() -> None:
    finding = weights_need_no_leverage(pl.concat([weights(DAY, AAA=0.7, BBB=0.31), weights(NEXT, AAA=0.1)]))
    assert not finding.passed
    assert finding.evidence["highest_sum"] == pytest.approx(1.01)
