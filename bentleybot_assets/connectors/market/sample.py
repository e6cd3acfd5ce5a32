"""Recorded market data that ships inside installed packages: real prices, offline, not market data of today.

=======================  ==========================  ========================================================
data set                 symbols                     what it is
=======================  ==========================  ========================================================
skfolio/sp500_dataset    20 stocks, 1990-2022        closes adjusted for splits and dividends, nothing else
skfolio/sp500_index      ^GSPC, 1990-2022            level of a price index: dividends are *not* in it
skfolio/factors_dataset  5 factor ETFs, 2014-2022    closes adjusted for splits and dividends, nothing else
bokeh_sampledata/stocks  IBM, GOOG, FB, 2000-2013    unadjusted OHLCV, and an adjusted close
=======================  ==========================  ========================================================

bokeh's AAPL and MSFT are left out: a symbol has one source. Hourly bars, exchange rates and rates of bills are
``sample_rates``.

Nobody saw these records arrive, so ``available_at`` follows the publication rule, and ``fetched_at`` is the
instant at which the data set's last bar became available: the log is the same on every machine and every day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, iso
from bentleybot_assets.connectors.market import sample_rates
from bentleybot_assets.connectors.market.recordings import Recording
from bentleybot_assets.connectors.market.records import action_times, bar_times, to_records
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets.contracts.sessions import DATA_DELAY, close_at

SAMPLE_LAST_SESSION = date(2022, 12, 28)
"""The newest session of the sample."""

_INDEX = "^GSPC"

_DIVIDEND_STEP = 1e-6
"""Smallest relative step of the adjustment factor that counts as a dividend.

The factor, adjusted over unadjusted close, only moves at a dividend or split. Both prices are stored as
decimals, so it carries rounding noise: at most 1e-13 in this file, against 1e-3 for IBM's smallest dividend.
"""

_INFERRED_DECIMALS = 6
"""An inferred dividend is rounded to this many decimals, which leaves its amount and drops that noise."""


@dataclass(frozen=True)
class _DataSet(Recording):
    """A file of daily bars; ``price_basis`` says what its prices are adjusted for."""

    symbols: tuple[str, ...]
    price_basis: str


def _until(session: date) -> str:
    """The instant of a recording that ends with ``session``: when its last bar became available."""
    return iso(close_at(session) + DATA_DELAY)


_OHLCV = _DataSet(
    name="bokeh_sampledata/stocks",
    package="bokeh_sampledata",
    path="_data/stocks.csv.gz",
    fetched_at=_until(date(2013, 3, 1)),
    symbols=("FB", "GOOG", "IBM"),
    price_basis="unadjusted",
)
_DATA_SETS = (
    _DataSet(
        name="skfolio/sp500_dataset",
        package="skfolio",
        path="datasets/data/sp500_dataset.csv.gz",
        fetched_at=_until(SAMPLE_LAST_SESSION),
        symbols=(
            *("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO"),
            *("LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM"),
        ),
        price_basis="fully_adjusted",
    ),
    _DataSet(
        name="skfolio/sp500_index",
        package="skfolio",
        path="datasets/data/sp500_index.csv.gz",
        fetched_at=_until(SAMPLE_LAST_SESSION),
        symbols=(_INDEX,),
        price_basis="fully_adjusted",
    ),
    _DataSet(
        name="skfolio/factors_dataset",
        package="skfolio",
        path="datasets/data/factors_dataset.csv.gz",
        fetched_at=_until(SAMPLE_LAST_SESSION),
        symbols=("MTUM", "QUAL", "SIZE", "USMV", "VLUE"),
        price_basis="fully_adjusted",
    ),
    _OHLCV,
)
_COLUMNS = {
    "Date": "session",
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adjusted_close",
    "Volume": "volume",
}
_DATA_SET_OF = {symbol: data_set for data_set in _DATA_SETS for symbol in data_set.symbols}


class SampleFeed:
    """The ``sample`` mode. What is not named is read whole.

    Args:
        symbols: daily bars and corporate actions to read; empty means every recorded one.
        start_date: first day to read.
        hourly_symbols: hourly bars to read; empty means every recorded one.
        fx_pairs: exchange rates to read; empty means every recorded one.
        risk_free_series: rates of bills to read; empty means every recorded one.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        start_date: date,
        *,
        hourly_symbols: Sequence[str] = (),
        fx_pairs: Sequence[str] = (),
        risk_free_series: Sequence[str] = (),
    ) -> None:
        self.symbols = tuple(symbols) or tuple(sorted(_DATA_SET_OF))
        self.hourly_symbols = tuple(hourly_symbols) or (sample_rates.FX_SYMBOL,)
        self.fx_pairs = tuple(fx_pairs) or (sample_rates.FX_PAIR,)
        self.risk_free_series = tuple(risk_free_series) or (sample_rates.BILL_SERIES,)
        self._start = start_date.isoformat()
        self._tables: dict[_DataSet, pl.DataFrame] = {}

    def check(self) -> None:
        """See :class:`Feed`."""
        for data_set in {_data_set(symbol) for symbol in self.symbols}:
            data_set.read()
        for symbol in self.hourly_symbols:
            _require("hourly_symbols", symbol, sample_rates.FX_SYMBOL)
        for pair in self.fx_pairs:
            _require("fx_pairs", pair, sample_rates.FX_PAIR)
        for series in self.risk_free_series:
            _require("risk_free_series", series, sample_rates.BILL_SERIES)
        sample_rates.FX.read()
        sample_rates.BILLS.read()

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        data_set = _data_set(symbol)
        constants = _constants(data_set, DailyBars) | {
            "symbol": symbol,
            "currency": "USD",
            "price_basis": data_set.price_basis,
        }
        return self._after(mark, "session", self._bars(symbol), constants)

    def corporate_actions(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. Only unadjusted prices show any: dividends, inferred from the adjusted close."""
        data_set = _data_set(symbol)
        if data_set is not _OHLCV:
            return (), mark
        constants = _constants(data_set, CorporateActions) | {
            "symbol": symbol,
            "currency": "USD",
            "action": "dividend",
            "is_withdrawn": False,
            "source": f"{data_set.name}, inferred from adjusted close",
        }
        return self._after(mark, "ex_date", _inferred_dividends(self._bars(symbol)), constants)

    def hourly_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        _require("hourly_symbols", symbol, sample_rates.FX_SYMBOL)
        constants = _constants(sample_rates.FX, HourlyBars) | {
            "symbol": symbol,
            "currency": sample_rates.FX_PAIR[3:],
            "price_basis": "unadjusted",
        }
        return self._after(mark, "bar_at", sample_rates.hourly_bars(), constants)

    def fx_rates(self, pair: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. Derived from the hourly bars."""
        _require("fx_pairs", pair, sample_rates.FX_PAIR)
        constants = _constants(sample_rates.FX, FxRates) | {
            "base_currency": pair[:3],
            "quote_currency": pair[3:],
            "source": f"{sample_rates.FX.name}, last hour's close by New York's",
        }
        return self._after(mark, "rate_date", sample_rates.fx_rates(), constants)

    def risk_free_rates(self, series: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        _require("risk_free_series", series, sample_rates.BILL_SERIES)
        constants = _constants(sample_rates.BILLS, RiskFreeRates) | {"series": series, "currency": "USD"}
        return self._after(mark, "rate_date", sample_rates.risk_free_rates(), constants)

    def _after(
        self, mark: Mark | None, cursor: str, rows: pl.DataFrame, constants: Record
    ) -> tuple[Iterable[Record], Mark | None]:
        """Rows later than the mark (ISO dates compare as texts) as records, and the mark of the last one."""
        rows = rows.filter(pl.col(cursor) >= self._start)
        if mark is not None:
            rows = rows.filter(pl.col(cursor) > mark[cursor])
        if rows.is_empty():
            return (), mark
        return to_records(rows, constants), {cursor: rows[cursor][-1]}

    def _bars(self, symbol: str) -> pl.DataFrame:
        """The symbol's bars, oldest first: what varies between them, dates and instants as texts."""
        data_set = _data_set(symbol)
        table = self._table(data_set)
        if data_set is _OHLCV:
            return table.filter(pl.col("Ticker") == symbol).drop("Ticker")
        column = "SP500" if symbol == _INDEX else symbol
        return table.select("session", "event_at", "available_at", close=column)

    def _table(self, data_set: _DataSet) -> pl.DataFrame:
        """The file with contract names and times; symbols side by side, or below each other (OHLCV)."""
        if data_set not in self._tables:
            table = data_set.read()
            table = table.hstack(bar_times(table["Date"].str.to_date()))
            self._tables[data_set] = table.rename(_COLUMNS, strict=False)
        return self._tables[data_set]


def _data_set(symbol: str) -> _DataSet:
    try:
        return _DATA_SET_OF[symbol]
    except KeyError:
        raise ConfigError(
            f"The sample has no symbol {symbol}. Take it out of `symbols`, or use one of "
            f"{', '.join(sorted(_DATA_SET_OF))}."
        ) from None


def _require(setting: str, named: str, recorded: str) -> None:
    """Raise ConfigError unless the only one that is recorded was named."""
    if named != recorded:
        raise ConfigError(f"The sample has no {named}. Take it out of `{setting}`, or use {recorded}.")


def _constants(recording: Recording, contract: type[RawContract]) -> Record:
    """What all records of a recording share; every other column null until a row fills it."""
    return dict.fromkeys(contract.polars_schema()) | recording.provenance()


def _inferred_dividends(bars: pl.DataFrame) -> pl.DataFrame:
    """Dividends that explain the steps of the adjustment factor.

    The data set multiplies all earlier closes by ``close / (close + dividend)`` of the ex-date; that
    convention gives back the amounts IBM declared (0.13 in 2000 to 0.85 in 2013, four a year), which the more
    usual one, on the close of the day before, misses by up to 5 %. A split would show as a far larger step;
    none is in these series.
    """
    factor = pl.col("adjusted_close") / pl.col("close")
    dividends = (
        bars.with_columns(step=factor / factor.shift(1) - 1)
        .filter(pl.col("step").abs() > _DIVIDEND_STEP)
        .select(ex_date="session", value=(pl.col("step") * pl.col("close")).round(_INFERRED_DECIMALS))
    )
    return dividends.hstack(action_times(dividends["ex_date"].str.to_date()))
