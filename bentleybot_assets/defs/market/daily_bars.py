"""``market/daily_bars``: closed bars that can be trusted."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.core.bars import daily_bars as compute
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.tables import Finding, table_asset


def no_session_gaps(frame: pl.DataFrame) -> Finding:
    """Each instrument has a bar for every session from its first to its last."""
    calendar = pl.Series("session", sessions_between(frame["session"].min(), frame["session"].max()))
    spans = frame.group_by("symbol").agg(first=pl.col("session").min(), last=pl.col("session").max(), bars=pl.len())
    gaps = spans.with_columns(
        missing=calendar.search_sorted(spans["last"]) - calendar.search_sorted(spans["first"]) + 1 - spans["bars"]
    ).filter(pl.col("missing") > 0)
    return Finding(gaps.is_empty(), dict(gaps.sort("symbol").select("symbol", "missing").iter_rows()))


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """The equal-weight total return of the newest five years, and the newest bars."""
    newest = frame["session"].max()
    by_session = (
        frame.filter(pl.col("session").dt.year() > newest.year - 5)
        .group_by("session")
        .agg(pl.col("total_return").mean())
        .sort("session")
    )
    growth = (1 + by_session["total_return"].fill_null(0)).cum_prod()
    return {
        "growth": previews.line(growth, "Equal-weight total return of all instruments, newest five years"),
        "instruments": frame["symbol"].n_unique(),
        "outliers": int(frame["is_outlier"].sum()),
        "newest_bars": previews.table(
            frame.filter(session=newest).select("symbol", "session", "mark_price", "total_return", "price_source")
        ),
    }


@table_asset(
    DailyBars,
    kinds={"polars", "parquet"},
    warnings=[no_session_gaps],
    preview=preview,
    ins={
        "bars": dg.AssetIn(key=["raw", "market", "daily_bars"]),
        "corporate_actions": dg.AssetIn(key=["raw", "market", "corporate_actions"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
)
def daily_bars(bars: pl.DataFrame, corporate_actions: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Deduplicate, adjust and index what was delivered."""
    return compute(bars, corporate_actions, instruments)
