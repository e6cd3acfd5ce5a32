"""What the raw bars' own check finds."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from bentleybot_assets.defs.raw.market import bars_are_known_after_they_closed
from bentleybot_assets_tests.scenario import raw_bars

BARS = raw_bars(symbols=("AAA",)).head(3)


def test_bars_known_after_their_close_pass() -> None:
    finding = bars_are_known_after_they_closed(BARS)
    assert finding.passed
    assert finding.evidence == {"bars_known_too_early": 0, "first": "none"}


@pytest.mark.parametrize("when", ["available_at", "fetched_at"])
def test_a_bar_known_before_its_close_is_counted_and_named(when: str) -> None:
    last = pl.col("session") == BARS["session"].max()
    early = pl.when(last).then(pl.col("event_at") - timedelta(seconds=1)).otherwise(pl.col(when))
    finding = bars_are_known_after_they_closed(BARS.with_columns(early.alias(when)))
    assert not finding.passed
    assert finding.evidence["bars_known_too_early"] == 1
    assert finding.evidence["first"].startswith("symbol=AAA, session=2018-01-04, event_at=2018-01-04 21:00:00+00:00")
    assert f"{when}=2018-01-04 20:59:59+00:00" in finding.evidence["first"]


def test_of_many_bars_the_first_three_are_named() -> None:
    early = raw_bars(symbols=("AAA", "BBB")).with_columns(available_at=pl.col("event_at") - timedelta(days=1))
    named = bars_are_known_after_they_closed(early).evidence["first"].split("; ")
    assert [bar.partition(", event_at")[0] for bar in named] == [
        "symbol=AAA, session=2018-01-02",
        "symbol=AAA, session=2018-01-03",
        "symbol=AAA, session=2018-01-04",
    ]
