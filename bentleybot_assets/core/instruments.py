"""The universe: the watchlist matched with what is delivered (table ``market/instruments``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from bentleybot_assets.contracts.market import Instruments

_NEVER_BOUGHT = "index"


@dataclass(frozen=True)
class WatchlistEntry:
    """One membership of the universe; an instrument that left and came back has two.

    Attributes:
        symbol: as the market connection names it.
        name: full name.
        asset_class: one of ``contracts.market.ASSET_CLASSES``.
        sector: GICS sector, or the style of a fund.
        currency: ISO 4217 currency it trades in.
        exchange: market identifier code of the calendar it follows.
        valid_from: first session in the universe; None: the first one delivered.
        valid_to: last session in the universe; None while it is a member.
    """

    symbol: str
    name: str
    asset_class: str
    sector: str
    currency: str = "USD"
    exchange: str = "XNYS"
    valid_from: date | None = None
    valid_to: date | None = None


def instruments(watchlist: Sequence[WatchlistEntry], bars: pl.DataFrame) -> pl.DataFrame:
    """State who is in the universe; columns of contract ``market/instruments``, sorted by its grain.

    Delivered symbols that are not on the watchlist are ignored. An instrument is close-only if no bar of it has a
    high that ``market/daily_bars`` can use: none delivered, or only ones adjusted for dividends.

    A membership that has ended and whose symbol was never delivered is left out: a connection that fetches market
    data asks for current members only.

    Args:
        watchlist: memberships; those of one symbol do not overlap.
        bars: contract ``raw/market/daily_bars``, any order.

    Raises:
        ValueError: a current member was never delivered.
    """
    usable_high = pl.col("high").is_not_null() & (pl.col("price_basis") != "fully_adjusted")
    delivered = {
        symbol: (first, has_high)
        for symbol, first, has_high in bars.group_by("symbol")
        .agg(pl.col("session").min(), usable_high.any().alias("has_high"))
        .iter_rows()
    }
    missing = sorted({entry.symbol for entry in watchlist if entry.valid_to is None} - delivered.keys())
    if missing:
        raise ValueError(
            f"On the watchlist, but never delivered to raw/market/daily_bars: {', '.join(missing)}. Correct the "
            "watchlist in bentleybot.yaml (valid_to ends a membership), or let the market connection deliver them."
        )
    rows = [
        {
            "symbol": entry.symbol,
            "valid_from": entry.valid_from or delivered[entry.symbol][0],
            "valid_to": entry.valid_to,
            "name": entry.name,
            "asset_class": entry.asset_class,
            "sector": entry.sector,
            "currency": entry.currency,
            "exchange": entry.exchange,
            "is_tradable": entry.asset_class != _NEVER_BOUGHT,
            "is_close_only": not delivered[entry.symbol][1],
        }
        for entry in watchlist
        if entry.symbol in delivered
    ]
    return pl.DataFrame(rows, schema=Instruments.polars_schema()).sort(Instruments.rules().grain)
