"""Market data from Yahoo Finance as Yahoo delivers them, and what it tells anew.

Prices are split-adjusted (``price_basis``), the close adjusted for dividends comes beside daily ones. Only what has
closed is read. Instruments trade in New York, or around the clock (currencies, crypto assets); their days are those of
the time zone that Yahoo names (London's for currencies, UTC for crypto assets), their closes are told in UTC.

Yahoo rewrites history: it corrects a bar for some days, and a split or dividend changes every earlier price.
So each sync reads the last few sessions again (of what trades around the clock, the last few days that it traded on),
whole, whether by days or by hours. A bar that changed is sent again as a newer version. If the adjusted close of the
oldest of them changed (of hourly bars the close), all prices have moved and the whole history is sent again, so that
its newest versions are on one basis. What did not change is not sent. An action that Yahoo no longer has is sent again
as withdrawn: one that moves to another day must not count twice.

History that is read for the first time follows the publication rule. What is told of a day that was read before (a
correction, a late bar or action, a new basis) was first seen now: its ``available_at`` is the fetch.

The daily rate of a currency is the close of its day as Yahoo states it; in recordings of past years that is close to
the day's open, so a rate can be a day older than its day says.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, iso
from bentleybot_assets.connectors.market.calendars import NEW_YORK
from bentleybot_assets.connectors.market.charts import ACTION, HOURLY, PRICES, Chart, Charts, Wanted
from bentleybot_assets.connectors.market.records import action_times, local_date, to_records
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets.contracts.sessions import last_closed_session

BILLS = {"us_bill_13_weeks_discount": "^IRX"}
"""Series of Treasury bills, and Yahoo's symbols for them: the discount of the newest 13-week bill, in percent."""

_NOISE = 1e-5
"""Relative difference below which a value is unchanged: Yahoo computes anew, in single precision."""

_A_WEEK = timedelta(days=7)

_logger = logging.getLogger("airbyte.market")


@dataclass(frozen=True)
class _Stream:
    """How a chart's bars become a stream's records, are remembered and compared.

    Attributes:
        contract: declares the columns.
        cursor: the stream's cursor column, which a mark calls the newest row by.
        key: the chart's column that names a row.
        values: the stream's columns to the chart's: what is told and compared.
        basis: the chart's column whose change in the oldest row means that all have moved; None if they never do. Then
            a row without its value tells nothing, and is left out.
    """

    contract: type[RawContract]
    cursor: str
    key: str
    values: Mapping[str, str]
    basis: str | None

    def recent(self, bars: pl.DataFrame, rows: int) -> dict[str, dict[str, float | None]]:
        """Key to values of the last rows: what the next sync compares with."""
        last = bars.select(self.key, *self.values.values()).tail(rows)
        return {row.pop(self.key): row for row in last.iter_rows(named=True)}

    def news(self, bars: pl.DataFrame, mark: Mark) -> pl.DataFrame:
        """The rows that are new or differ from what was read before."""
        before = mark["recent"]
        return bars.filter(
            pl.Series(
                [
                    key not in before or not all(_is_same(values[name], before[key][name]) for name in values)
                    for key, values in self.recent(bars, bars.height).items()
                ],
                dtype=pl.Boolean,
            )
        )


_DAILY = _Stream(DailyBars, "session", "session", {name: name for name in PRICES}, "adjusted_close")
_ACTIONS = replace(_DAILY, contract=CorporateActions, cursor="ex_date")
_HOURLY = _Stream(HourlyBars, "bar_at", "bar_at", {name: name for name in PRICES if name != "adjusted_close"}, "close")
_FX = _Stream(FxRates, "rate_date", "session", {"rate": "close"}, None)
_BILLS = _Stream(RiskFreeRates, "rate_date", "session", {"rate_pct": "close"}, None)


class YahooFeed:
    """The ``yahoo`` mode. What is not named is not asked for.

    Args:
        symbols: daily bars and corporate actions to read, as Yahoo names them.
        start_date: first day to read.
        hourly_symbols: hourly bars to read, as Yahoo names them.
        fx_pairs: pairs of currencies, as EURUSD.
        risk_free_series: of :data:`BILLS`.
        lookback_sessions: sessions already read that are read again.
        base_url: where to send requests instead of to Yahoo; None for Yahoo.
        clock: the present, timezone-aware.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        start_date: date,
        *,
        hourly_symbols: Sequence[str],
        fx_pairs: Sequence[str],
        risk_free_series: Sequence[str],
        lookback_sessions: int,
        base_url: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        self.symbols = tuple(symbols)
        self.hourly_symbols = tuple(hourly_symbols)
        self.fx_pairs = tuple(fx_pairs)
        self.risk_free_series = tuple(risk_free_series)
        self._start = start_date
        self._lookback = lookback_sessions
        self._charts = Charts(base_url, clock)

    def check(self) -> None:
        """See :class:`Feed`. Asks for the first symbol's newest bars."""
        for series in self.risk_free_series:
            _bill(series)
        self._charts.ask(Wanted(self.symbols[0], "symbols"), last_closed_session(self._charts.now()) - _A_WEEK)

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        own = {"symbol": symbol, "price_basis": "split_adjusted"}
        return self._read(_DAILY, mark, Wanted(symbol, "symbols"), own)

    def hourly_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        own = {"symbol": symbol, "price_basis": "split_adjusted"}
        return self._read(_HOURLY, mark, Wanted(symbol, "hourly_symbols", HOURLY), own)

    def fx_rates(self, pair: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        own = {"base_currency": pair[:3], "quote_currency": pair[3:]}
        return self._read(_FX, mark, Wanted(f"{pair}=X", "fx_pairs"), own)

    def risk_free_rates(self, series: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. An index of Cboe: its clock is Chicago's, its days are New York's."""
        wanted = Wanted(_bill(series), "risk_free_series", calendar=NEW_YORK)
        return self._read(_BILLS, mark, wanted, {"series": series, "currency": "USD"})

    def corporate_actions(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. The mark is the last session looked at, and every action told so far."""
        chart, _ = self._since(_ACTIONS, mark, Wanted(symbol, "symbols"))
        if chart is None or chart.bars.is_empty():
            return (), mark
        told = pl.DataFrame(mark["actions"] if mark else [], schema=ACTION, orient="row")
        is_in_answer = pl.col("ex_date") >= chart.bars["session"][0]
        news = _changes(chart.actions, told.filter(is_in_answer))
        rows = news.hstack(action_times(news["ex_date"].str.to_date(), chart.calendar))
        rows = _with_knowledge_time(rows, "ex_date", chart, mark)
        known = pl.concat([told.filter(~is_in_answer), chart.actions])
        return to_records(rows, _constants(_ACTIONS, chart) | {"symbol": symbol}), {
            **self._mark(_ACTIONS, chart, mark, is_news=not rows.is_empty()),
            "actions": [list(action) for action in known.iter_rows()],
        }

    def _read(
        self, stream: _Stream, mark: Mark | None, wanted: Wanted, own: Record
    ) -> tuple[Iterable[Record], Mark | None]:
        """What is new of a stream whose rows are bars; ``own`` is what its records say beside them."""
        chart, is_rebased = self._since(stream, mark, wanted)
        if chart is None or chart.bars.is_empty():
            return (), mark
        bars = chart.bars if mark is None or is_rebased else stream.news(chart.bars, mark)
        rows = bars.select(
            pl.col(stream.key).alias(stream.cursor), "event_at", "available_at", "extra", **stream.values
        )
        rows = _with_knowledge_time(rows, stream.cursor, chart, mark)
        new_mark = self._mark(stream, chart, mark, is_news=not rows.is_empty())
        return to_records(rows, _constants(stream, chart) | own), new_mark

    def _mark(self, stream: _Stream, chart: Chart, mark: Mark | None, *, is_news: bool) -> Mark:
        """The mark of having read the chart; its ``fetched_at`` is when there last was news."""
        recent = stream.recent(chart.bars, self._rows_of_lookback(stream, chart))
        fetched_at = iso(chart.fetched_at)
        if mark is not None and not is_news:
            fetched_at = mark.get("fetched_at", fetched_at)
        return {stream.cursor: max(recent), "recent": recent, "fetched_at": fetched_at}

    def _rows_of_lookback(self, stream: _Stream, chart: Chart) -> int:
        """How many of the chart's last rows are of the last days that it has, in the instrument's time zone."""
        if stream is not _HOURLY:
            return self._lookback
        days = chart.bars.select(local_date(stream.key, chart.calendar.timezone)).to_series()
        return days.is_in(days.unique().sort().tail(self._lookback).implode()).sum()

    def _since(self, stream: _Stream, mark: Mark | None, wanted: Wanted) -> tuple[Chart | None, bool]:
        """What Yahoo has from the look-back on; all of it if it was never read, or (True) if all values moved.

        None if the mark lies in the future: nothing comes after it, and versions are ordered by when they were fetched.
        """
        if mark is None:
            return _told(stream, self._charts.ask(wanted, self._start)), False
        last = max(mark[stream.cursor], mark.get("fetched_at", ""))
        if last > iso(self._charts.now()):
            _logger.warning(
                "%s: the STATE says that %s was read, which is still to come; nothing is read. If that is wrong, set "
                "the clock.",
                wanted.symbol,
                last,
            )
            return None, False
        oldest = min(mark["recent"])
        chart = _told(stream, self._charts.ask(wanted, date.fromisoformat(oldest[:10])))
        chart = replace(chart, bars=chart.bars.filter(pl.col(stream.key) >= oldest))
        if stream.basis:
            before = mark["recent"][oldest][stream.basis]
            now = stream.recent(chart.bars, chart.bars.height).get(oldest)
            if now is None or not _is_same(now[stream.basis], before):
                return self._charts.ask(wanted, self._start), True
        return chart, False


def _told(stream: _Stream, chart: Chart) -> Chart:
    """The chart without rows that tell nothing."""
    return chart if stream.basis else replace(chart, bars=chart.bars.drop_nulls("close"))


def _bill(series: str) -> str:
    """Yahoo's symbol for a series of Treasury bills."""
    if series not in BILLS:
        raise ConfigError(
            f"Yahoo has no series {series}. Take it out of `risk_free_series`, or use {', '.join(BILLS)}."
        )
    return BILLS[series]


def _changes(actions: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """What is to be told: actions that are new or have another value, and those that Yahoo no longer has."""
    key = ["ex_date", "action"]
    value, before = pl.col("value"), pl.col("value_before")
    is_same = ((value - before).abs() <= _NOISE * before.abs()).fill_null(value=False)
    news = actions.join(told.rename({"value": "value_before"}), on=key, how="left").filter(~is_same)
    withdrawn = told.join(actions, on=key, how="anti")
    return pl.concat(
        [
            news.select(*ACTION, is_withdrawn=pl.lit(value=False)),
            withdrawn.select(*ACTION, is_withdrawn=pl.lit(value=True)),
        ]
    ).sort(key)


def _constants(stream: _Stream, chart: Chart) -> Record:
    """What all records of an answer share; every other column null until a row fills it."""
    columns = dict.fromkeys(stream.contract.polars_schema())
    shared = {
        "currency": chart.currency,
        "fetched_at": iso(chart.fetched_at),
        "source": "yahoo/chart",
        "source_version": f"yfinance {importlib.metadata.version('yfinance')}",
    }
    return columns | {name: value for name, value in shared.items() if name in columns}


def _with_knowledge_time(rows: pl.DataFrame, cursor: str, chart: Chart, mark: Mark | None) -> pl.DataFrame:
    """``available_at``: observed for what was read before, or is fetched on the day it becomes known; else modelled."""
    zone = chart.calendar.timezone
    fetched_on = chart.fetched_at.astimezone(ZoneInfo(zone)).date()
    is_first_seen = local_date("available_at", zone) == fetched_on
    if mark is not None:
        is_first_seen |= pl.col(cursor) <= mark[cursor]
    return rows.with_columns(
        available_at=pl.when(is_first_seen).then(pl.lit(iso(chart.fetched_at))).otherwise("available_at"),
        is_modelled=~is_first_seen,
    )


def _is_same(now: float | None, before: float | None) -> bool:
    """Whether two values are equal but for Yahoo's noise."""
    if now is None or before is None:
        return now is before
    return math.isclose(now, before, rel_tol=_NOISE)
