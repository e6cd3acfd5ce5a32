"""Clean market tables: who is in the universe, and closed bars that can be trusted."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from bentleybot_assets.contracts._base import CURRENCY_PATTERN, SYMBOL_PATTERN, Contract, TableRules, Utc, column
from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE, FRIDAY, closures

ASSET_CLASSES = ("equity", "etf", "index")


class Instruments(Contract):
    """The universe: which instruments are followed, from when to when."""

    _rules = TableRules(grain=("symbol", "valid_from"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    valid_from: pl.Date = column("First session in the universe")
    valid_to: pl.Date = column("Last session in the universe; null while it is a member", nullable=True)
    name: str = column("Full name")
    asset_class: str = column("Asset class", isin=ASSET_CLASSES)
    sector: str = column("GICS sector, or the style of a fund")
    currency: str = column("ISO 4217 currency it trades in", str_matches=CURRENCY_PATTERN)
    exchange: str = column("Market identifier code (ISO 10383) of the calendar it follows")
    is_tradable: bool = column("May be bought and sold; an index may not")
    is_close_only: bool = column("The source delivers only a close for it")


class DailyBars(Contract):
    """One closed, deduplicated bar per instrument and exchange session, oldest first.

    Of a bar that its source corrected, the newest values stand here; the raw log keeps the others. A session is
    decided on the values that were known at its cut-off.

    Instruments for which the source has only a close (a fund's NAV, an adjusted close) fill ``mark_price`` and
    the total-return columns; their open, high, low, close and volume are null.
    """

    _rules = TableRules(grain=("symbol", "session"), quarantines_rows=True)

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Exchange session")
    open: float = column("Split-adjusted open", unit="currency", nullable=True, gt=0)
    high: float = column("Split-adjusted high", unit="currency", nullable=True, gt=0)
    low: float = column("Split-adjusted low", unit="currency", nullable=True, gt=0)
    close: float = column("Split-adjusted close", unit="currency", nullable=True, gt=0)
    volume: float = column("Split-adjusted volume", unit="shares", nullable=True, ge=0)
    mark_price: float = column("Price used to value and size a position", unit="currency", gt=0)
    price_source: str = column("Where mark_price comes from", isin=("split_adjusted_close", "fully_adjusted_close"))
    total_return: float = column(
        "Return since the instrument's previous bar, dividends reinvested; null at its first bar",
        unit="fraction",
        nullable=True,
        gt=-1,
    )
    total_return_close: float = column(
        "Forward total-return index, equal to mark_price at the instrument's first bar",
        unit="currency",
        gt=0,
    )
    is_outlier: bool = column("The return exceeds 8 trailing standard deviations without a corporate action")
    currency: str = column("ISO 4217 currency of the prices", str_matches=CURRENCY_PATTERN)
    event_at: Utc = column("When the bar closed")
    available_at: Utc = column("When the bar could first be known, with the actions that entered its return")
    is_modelled: bool = column("available_at follows the publication rule instead of being observed")
    fetched_at: Utc = column("When this version was fetched or recorded")
    source: str = column("Where the bar comes from")
    source_version: str = column("Version of that source")

    @pa.check("session", name="session_is_a_nyse_session")
    def _session_is_a_nyse_session(cls, data: PolarsData) -> pl.LazyFrame:
        day = pl.col(data.key)
        return data.lazyframe.select((day.dt.weekday() <= FRIDAY) & ~day.is_in(closures().implode()))

    @pa.check("session", name="session_is_the_exchange_date_of_its_close")
    def _session_is_the_exchange_date_of_its_close(cls, data: PolarsData) -> pl.LazyFrame:
        closed_on = pl.col("event_at").dt.convert_time_zone(EXCHANGE_TIMEZONE).dt.date()
        return data.lazyframe.select(closed_on == pl.col(data.key))

    @pa.check("available_at", name="bar_is_known_after_it_closed")
    def _bar_is_known_after_it_closed(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) >= pl.col("event_at"))

    @pa.check("session", name="bar_was_closed_when_fetched")
    def _bar_was_closed_when_fetched(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("event_at") <= pl.col("fetched_at"))

    @pa.check("high", name="high_is_at_least_low")
    def _high_is_at_least_low(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("high") >= pl.col("low")).fill_null(value=True))

    @pa.check("open", name="open_is_within_the_range")
    def _open_is_within_the_range(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("open").is_between(pl.col("low"), pl.col("high")).fill_null(value=True))

    @pa.check("close", name="close_is_within_the_range")
    def _close_is_within_the_range(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("close").is_between(pl.col("low"), pl.col("high")).fill_null(value=True))
