"""What the clean bars' own check finds, and what the asset shows of itself."""

from __future__ import annotations

import polars as pl
import pytest

from bentleybot_assets.defs.market.daily_bars import no_session_gaps, preview
from bentleybot_assets_tests.scenario import SESSIONS, clean_bars

BARS = clean_bars(sessions=SESSIONS[:10])


def test_an_unbroken_history_passes() -> None:
    finding = no_session_gaps(BARS)
    assert finding.passed
    assert finding.evidence == {}


def test_an_instrument_that_is_listed_late_and_delisted_early_has_no_gap() -> None:
    short = (pl.col("symbol") == "BBB") & ~pl.col("session").is_in(SESSIONS[3:7])
    assert no_session_gaps(BARS.filter(~short)).passed


def test_missing_sessions_are_counted_by_instrument() -> None:
    lost = pl.DataFrame(
        {"symbol": ["BBB", "BBB", "CCC"], "session": [SESSIONS[4], SESSIONS[5], SESSIONS[8]]},
    )
    finding = no_session_gaps(BARS.join(lost, on=["symbol", "session"], how="anti", maintain_order="left"))
    assert not finding.passed
    assert finding.evidence == {"BBB": 2, "CCC": 1}


def test_the_preview_shows_growth_counts_and_the_newest_bars() -> None:
    shown = preview(BARS.with_columns(is_outlier=pl.col("session") == SESSIONS[2]))
    assert (shown["instruments"], shown["outliers"]) == (3, 3)
    newest = shown["newest_bars"].value
    assert all(f"| {symbol} " in newest for symbol in ("AAA", "BBB", "CCC"))
    assert str(SESSIONS[9]) in newest
    assert str(SESSIONS[8]) not in newest
    mean = BARS.group_by("session", maintain_order=True).agg(pl.col("total_return").mean())["total_return"]
    grown = float((1 + mean.fill_null(0)).product())
    last = float(shown["growth"].value.split("→")[1].split()[0])
    assert last == pytest.approx(grown, rel=1e-3)
