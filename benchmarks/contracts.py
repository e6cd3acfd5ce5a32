"""The tables of the benchmarks, declared like the platform's own."""

# ruff: noqa: N805 - a pandera check is a class method without the decorator
from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, column


class Bars(Contract):
    """Daily bars: eight columns, and the rules that ``contract`` compares with bare polars."""

    _rules = TableRules(grain=("symbol", "session"), quarantines_rows=True)

    symbol: str = column("Instrument")
    session: pl.Date = column("Exchange session")
    open: float = column("Open", unit="USD", gt=0)
    high: float = column("High", unit="USD", gt=0)
    low: float = column("Low", unit="USD", gt=0)
    close: float = column("Close", unit="USD", gt=0)
    adjusted_close: float = column("Adjusted close", unit="USD", gt=0)
    volume: float = column("Volume", unit="shares", ge=0)

    @pa.check("high", name="high_is_at_least_low")
    def _high_is_at_least_low(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("high") >= pl.col("low"))

    @pa.check("high", name="high_is_at_least_open_and_close")
    def _high_is_at_least_open_and_close(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("high") >= pl.col("open")) & (pl.col("high") >= pl.col("close")))

    @pa.check("low", name="low_is_at_most_open_and_close")
    def _low_is_at_most_open_and_close(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("low") <= pl.col("open")) & (pl.col("low") <= pl.col("close")))


class Features(Contract):
    """The fourteen features."""

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Exchange session")
    ret1: float = column("Return over 1 session", nullable=True)
    ret5: float = column("Return over 5 sessions", nullable=True)
    ret20: float = column("Return over 20 sessions", nullable=True)
    ret60: float = column("Return over 60 sessions", nullable=True)
    ma5: float = column("Mean of 5 closes over the close", nullable=True)
    ma20: float = column("Mean of 20 closes over the close", nullable=True)
    ma60: float = column("Mean of 60 closes over the close", nullable=True)
    std5: float = column("Standard deviation of 5 closes over the close", nullable=True)
    std20: float = column("Standard deviation of 20 closes over the close", nullable=True)
    max20: float = column("Highest high of 20 over the close", nullable=True)
    min20: float = column("Lowest low of 20 over the close", nullable=True)
    vr20: float = column("Volume over its mean of 20", nullable=True)
    corr20: float = column("Correlation of close and log volume over 20", nullable=True)
    stoch14: float = column("Close within the range of 14", nullable=True)
