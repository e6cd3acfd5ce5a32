"""What the hourly bars' own check finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bentleybot_assets.contracts.raw.market import HourlyBars
from bentleybot_assets.defs.raw.market import bars_are_known_after_they_closed
from bentleybot_assets_tests.scenario import delivered

BEGAN = datetime(2018, 1, 2, 15, tzinfo=UTC)
CLOSED = BEGAN + timedelta(hours=1)


def test_a_bar_that_is_known_when_it_closes_passes() -> None:
    bars = delivered(HourlyBars, {"symbol": "AAA", "bar_at": BEGAN, "event_at": CLOSED, "available_at": CLOSED})
    assert bars_are_known_after_they_closed(bars).passed


def test_a_bar_that_is_fetched_before_it_closed_is_named() -> None:
    early = {"event_at": CLOSED, "available_at": CLOSED, "fetched_at": CLOSED - timedelta(seconds=1)}
    finding = bars_are_known_after_they_closed(delivered(HourlyBars, {"symbol": "AAA", "bar_at": BEGAN, **early}))
    assert not finding.passed
    assert finding.evidence["first"].startswith("symbol=AAA, bar_at=2018-01-02 15:00:00+00:00")
