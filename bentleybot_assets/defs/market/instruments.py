"""``market/instruments``: the universe."""

from __future__ import annotations

from datetime import date

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.core.instruments import WatchlistEntry
from bentleybot_assets.core.instruments import instruments as compute
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.wiring.tables import Finding, table_asset


def memberships_end_after_they_begin(frame: pl.DataFrame) -> Finding:
    """No instrument leaves the universe before it enters."""
    wrong = frame.filter(pl.col("valid_to") < pl.col("valid_from"))
    return Finding(wrong.is_empty(), {"instruments": wrong["symbol"].to_list()})


@table_asset(
    Instruments,
    kinds={"polars", "parquet"},
    checks=[memberships_end_after_they_begin],
    ins={"bars": dg.AssetIn(key=["raw", "market", "daily_bars"])},
)
def instruments(desk: Desk, bars: pl.DataFrame) -> pl.DataFrame:
    """Match the watchlist with what the connection delivers."""
    watchlist = [
        WatchlistEntry(
            symbol=item.symbol,
            name=item.name,
            asset_class=item.asset_class,
            sector=item.sector,
            currency=item.currency,
            exchange=item.exchange,
            valid_from=date.fromisoformat(item.valid_from),
            valid_to=date.fromisoformat(item.valid_to) if item.valid_to else None,
        )
        for item in desk.watchlist
    ]
    return compute(watchlist, bars)
