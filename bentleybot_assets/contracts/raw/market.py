"""The streams of the ``market`` connection, as delivered."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, Utc, column

PRICE_BASES = ("unadjusted", "split_adjusted", "fully_adjusted")


class DailyBars(Contract):
    """Daily bars as delivered by the market connection: an append-only log, delivered at least once.

    A later delivery of the same bar is a newer version, told apart by ``fetched_at``.
    """

    _rules = TableRules(grain=("symbol", "session", "fetched_at"), is_log=True, may_be_empty=True)

    symbol: str = column("Instrument as the source names it", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Exchange date of the bar")
    open: float = column("First price", unit="currency", nullable=True, finite=False)
    high: float = column("Highest price", unit="currency", nullable=True, finite=False)
    low: float = column("Lowest price", unit="currency", nullable=True, finite=False)
    close: float = column("Last price, on price_basis", unit="currency", nullable=True, finite=False)
    adjusted_close: float = column(
        "Close adjusted by the source for splits and dividends, where it delivers one",
        unit="currency",
        nullable=True,
        finite=False,
    )
    volume: float = column("Shares traded", unit="shares", nullable=True, finite=False)
    price_basis: str = column(
        "What open, high, low and close are adjusted for: nothing, splits, or splits and dividends",
        isin=PRICE_BASES,
    )
    currency: str = column("ISO 4217 currency of the prices", str_matches=r"^[A-Z]{3}$")
    event_at: Utc = column("When the bar closed")
    available_at: Utc = column("When the bar could first be known")
    is_modelled: bool = column("available_at follows the publication rule instead of being observed")
    fetched_at: Utc = column("When this version was fetched or recorded")
    source: str = column("Where the record comes from")
    source_version: str = column("Version of that source")


class CorporateActions(Contract):
    """Splits and dividends as delivered by the market connection: an append-only log."""

    _rules = TableRules(grain=("symbol", "ex_date", "action", "fetched_at"), is_log=True, may_be_empty=True)

    symbol: str = column("Instrument as the source names it", str_matches=SYMBOL_PATTERN)
    ex_date: pl.Date = column("First session without the right")
    action: str = column("Kind of action", isin=("split", "dividend"))
    value: float = column(
        "Split: new shares per old share. Dividend: amount per share, adjusted for later splits",
        finite=False,
        nullable=True,
    )
    is_withdrawn: bool = column("The source told this action before and does not any more")
    currency: str = column("ISO 4217 currency of a dividend", str_matches=r"^[A-Z]{3}$")
    event_at: Utc = column("When the action took effect")
    available_at: Utc = column("When the action could first be known")
    is_modelled: bool = column("available_at follows the publication rule instead of being observed")
    fetched_at: Utc = column("When this version was fetched or recorded")
    source: str = column("Where the record comes from")
    source_version: str = column("Version of that source")
