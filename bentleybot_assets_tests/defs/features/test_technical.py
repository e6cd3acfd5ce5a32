"""What the features' own check finds, and what the asset shows of itself."""

from __future__ import annotations

import polars as pl
import pytest

from bentleybot_assets.contracts.features import Technical
from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.defs.features.technical import preview, windows_fill_once
from bentleybot_assets_tests.scenario import SESSIONS

LONGEST_WINDOW = 252


def history(**features: float | None) -> pl.DataFrame:
    """A symbol whose return features are null for a full window; at its last two rows they are as given."""
    full = {"return_252d": 0.1, "momentum_12_1": 0.1, "rsi_14": 50.0} | features
    rows = [
        {"symbol": "AAA", "session": day, "available_at": cut_off(day), **(full if number >= LONGEST_WINDOW else {})}
        for number, day in enumerate(SESSIONS[: LONGEST_WINDOW + 2])
    ]
    return pl.DataFrame(rows, schema=Technical.polars_schema(), infer_schema_length=None)


def test_windows_that_fill_after_a_year_pass() -> None:
    finding = windows_fill_once(history())
    assert finding.passed
    assert finding.evidence == {"rows_without_returns": 0, "first": "none"}


@pytest.mark.parametrize("feature", ["return_252d", "momentum_12_1"])
def test_returns_that_are_missing_after_their_window_are_counted_and_named(feature: str) -> None:
    finding = windows_fill_once(history(**{feature: None}))
    assert not finding.passed
    late = SESSIONS[LONGEST_WINDOW : LONGEST_WINDOW + 2]
    assert finding.evidence == {
        "rows_without_returns": 2,
        "first": "; ".join(f"symbol=AAA, session={session}" for session in late),
    }


def test_each_instrument_has_a_window_of_its_own() -> None:
    second = history().with_columns(symbol=pl.lit("BBB")).head(LONGEST_WINDOW)
    assert windows_fill_once(pl.concat([history(), second])).passed


def test_the_preview_shows_the_median_and_the_newest_features() -> None:
    other = history(rsi_14=60.0).with_columns(symbol=pl.lit("BBB"))
    shown = preview(pl.concat([history(), other]))
    assert "55 → 55" in shown["rsi_14"].value
    assert shown["newest_features"].value.splitlines()[0].split() == [
        "|", "symbol", "|", "momentum_12_1", "|", "rsi_14", "|", "macd_histogram", "|", "ma_200_gap", "|",
    ]  # fmt: skip
    assert len(shown["newest_features"].value.splitlines()) == 2 + 2
