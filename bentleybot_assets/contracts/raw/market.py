"""The streams of the ``market`` connection, as delivered."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import CURRENCY_PATTERN, SYMBOL_PATTERN, TableRules, Utc, column
from bentleybot_assets.contracts.raw._base import RawContract

PRICE_BASES = ("unadjusted", "split_adjusted", "fully_adjusted")


class DailyBars(RawContract):
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
    currency: str = column("ISO 4217 currency of the prices", str_matches=CURRENCY_PATTERN)


class CorporateActions(RawContract):
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
    currency: str = column("ISO 4217 currency of a dividend", str_matches=CURRENCY_PATTERN)


class HourlyBars(RawContract):
    """Hourly bars as delivered by the market connection, closed ones only: an append-only log."""

    _rules = TableRules(grain=("symbol", "bar_at", "fetched_at"), is_log=True, may_be_empty=True)

    symbol: str = column("Instrument as the source names it", str_matches=SYMBOL_PATTERN)
    bar_at: Utc = column("When the bar began; it closed at event_at")
    open: float = column("First price", unit="currency", nullable=True, finite=False)
    high: float = column("Highest price", unit="currency", nullable=True, finite=False)
    low: float = column("Lowest price", unit="currency", nullable=True, finite=False)
    close: float = column("Last price, on price_basis", unit="currency", nullable=True, finite=False)
    volume: float = column("Shares traded", unit="shares", nullable=True, finite=False)
    price_basis: str = column("What the prices are adjusted for", isin=PRICE_BASES)
    currency: str = column("ISO 4217 currency of the prices", str_matches=CURRENCY_PATTERN)


class FxRates(RawContract):
    """Exchange rates as delivered by the market connection, one per pair and day: an append-only log."""

    _rules = TableRules(
        grain=("base_currency", "quote_currency", "rate_date", "fetched_at"), is_log=True, may_be_empty=True
    )

    base_currency: str = column("ISO 4217 currency of which one unit is priced", str_matches=CURRENCY_PATTERN)
    quote_currency: str = column("ISO 4217 currency that it is priced in", str_matches=CURRENCY_PATTERN)
    rate_date: pl.Date = column("Exchange date of the rate")
    rate: float = column("Units of quote_currency for one of base_currency, at event_at", nullable=True, finite=False)


class RiskFreeRates(RawContract):
    """Rates of Treasury bills as delivered by the market connection: an append-only log."""

    _rules = TableRules(grain=("series", "rate_date", "fetched_at"), is_log=True, may_be_empty=True)

    series: str = column("Which bill, and how its rate is told")
    rate_date: pl.Date = column("First day of the period that the rate is of")
    rate_pct: float = column(
        "Rate in percent a year, as the series tells it", unit="percent", nullable=True, finite=False
    )
    currency: str = column("ISO 4217 currency of the bill", str_matches=CURRENCY_PATTERN)
