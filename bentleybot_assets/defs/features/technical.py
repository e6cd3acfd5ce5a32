"""``features/technical``: technical features per instrument and session."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.features import Technical
from bentleybot_assets.core.technical import BAR_COLUMNS
from bentleybot_assets.core.technical import technical as compute
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.io_manager import COLUMNS
from bentleybot_assets.wiring.tables import Finding, first_rows, table_asset

_LONGEST_WINDOW = 252


def windows_fill_once(frame: pl.DataFrame) -> Finding:
    """After the longest window an instrument has all of its return features."""
    late = frame.filter(
        pl.int_range(pl.len()).over("symbol") >= _LONGEST_WINDOW,
        pl.col("return_252d").is_null() | pl.col("momentum_12_1").is_null(),
    )
    return Finding(
        late.is_empty(), {"rows_without_returns": late.height, "first": first_rows(late, "symbol", "session")}
    )


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """Median RSI of the newest five years, and the newest features."""
    newest = frame["session"].max()
    rsi = (
        frame.filter(pl.col("session").dt.year() > newest.year - 5)
        .group_by("session")
        .agg(pl.col("rsi_14").median())
        .sort("session")["rsi_14"]
    )
    return {
        "rsi_14": previews.line(rsi, "Median RSI of all instruments, newest five years"),
        "newest_features": previews.table(
            frame.filter(session=newest).select("symbol", "momentum_12_1", "rsi_14", "macd_histogram", "ma_200_gap")
        ),
    }


@table_asset(
    Technical,
    kinds={"polars", "parquet"},
    checks=[windows_fill_once],
    preview=preview,
    ins={"bars": dg.AssetIn(key=["market", "daily_bars"], metadata={COLUMNS: list(BAR_COLUMNS)})},
)
def technical(bars: pl.DataFrame) -> pl.DataFrame:
    """Compute every technical feature over the whole history."""
    return compute(bars)
