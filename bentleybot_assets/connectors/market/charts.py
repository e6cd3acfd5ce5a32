"""Asking Yahoo for charts, through yfinance: what was closed when it was asked, as Yahoo tells it.

Nothing is repaired and no closed bar is dropped; the live bar always is. Belongs here: the request, its errors, the
answer as frames. Does not belong here: what was told before, which streams there are (``yahoo``).

Deliberately left out of the answer: the live quote and all that describes the instrument (Yahoo's ``meta``); of hourly
charts also actions and the adjusted close, which daily charts tell.
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from bentleybot_assets.connectors.feeds import ConfigError, TransientError, iso
from bentleybot_assets.connectors.market.calendars import NEW_YORK, AroundTheClock, Calendar
from bentleybot_assets.connectors.market.records import bar_times, closed_hours
from bentleybot_assets.connectors.patience import BusyError, Patience, trouble
from bentleybot_assets.contracts._base import CURRENCY_PATTERN
from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE

PRICES = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "adjusted_close": "Adj Close",
    "volume": "Volume",
}
ACTION = {"ex_date": pl.String, "action": pl.String, "value": pl.Float64}
"""An action, as a mark keeps it too."""

DAILY, HOURLY = "1d", "1h"
_NAMES = {DAILY: "daily", HOURLY: "hourly"}

_HOURLY_DAYS = 729
"""Yahoo has hourly bars of the last 730 days, counted to the second: those of a day less are always there."""

_ACTIONS = {"split": "Stock Splits", "dividend": "Dividends"}
_AROUND_THE_CLOCK = ("CRYPTOCURRENCY", "CURRENCY")
_OF_SESSIONS = ("EQUITY", "ETF", "INDEX", "MUTUALFUND")
_MINOR_UNITS = ("GBp", "GBX", "ILA", "USX", "ZAc")
"""In what Yahoo tells some prices of London, Tel Aviv, Chicago and Johannesburg: pence, agorot and cents."""

_CHART = "/v8/finance/chart/"
_TIMEOUT_SECONDS = 30
_TWO_DAYS = timedelta(days=2)
"""From now to an end that lies in the future in every time zone."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        symbol: as Yahoo names it.
        setting: where the configuration names it.
        interval: :data:`DAILY` or :data:`HOURLY`.
        calendar: the instrument's, if Yahoo's description does not tell it.
    """

    symbol: str
    setting: str
    interval: str = DAILY
    calendar: Calendar | None = None


@dataclass(frozen=True)
class Chart:
    """One answer of Yahoo, oldest first.

    Attributes:
        bars: what was closed: ``session`` (daily) or ``bar_at`` (hourly) as text, ``event_at``, ``available_at``,
            prices and volume as floats, null where Yahoo has none, and ``extra``.
        actions: ``ex_date``, ``action``, ``value`` up to the last closed day; none in an hourly chart.
        calendar: of the instrument.
        currency: of the prices.
        fetched_at: when it was fetched.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    calendar: Calendar
    currency: str
    fetched_at: datetime


class Charts:
    """Yahoo's charts during one read: each is asked for once, so that streams agree.

    Args:
        base_url: where to send requests instead of to Yahoo; None for Yahoo.
        clock: the present, timezone-aware.
    """

    def __init__(self, base_url: str | None, clock: Callable[[], datetime]) -> None:
        self._session = _open_session(base_url, clock)
        self._clock = clock
        self._patience = Patience("Yahoo")
        self._answers: dict[tuple[str, str, date], Chart] = {}

    def now(self) -> datetime:
        """The present, UTC."""
        return self._clock().astimezone(UTC)

    def ask(self, wanted: Wanted, first: date) -> Chart:
        """The chart from ``first``, or from where Yahoo still has it, to what closed last.

        Raises:
            ConfigError: Yahoo has no bars, or the calendar is not known.
            TransientError: Yahoo cannot be reached, limits the rate or answers nonsense.
        """
        now = self.now()
        if first > now.date():
            raise ConfigError(f"`start_date` is {first}, but it is {iso(now)}. Set it earlier.")
        if wanted.interval == HOURLY:
            first = max(first, now.date() - timedelta(days=_HOURLY_DAYS))
        key = wanted.symbol, wanted.interval, first
        if key not in self._answers:
            self._answers[key] = self._patience.ask(lambda: _download(self._session, wanted, first, now))
        return self._answers[key]


class _NoChartError(Exception):
    """Yahoo answers that it has no such chart."""


def _download(session: Any, wanted: Wanted, first: date, now: datetime) -> Chart:
    """Ask Yahoo once.

    Raises:
        ConfigError: Yahoo has no bars for the symbol, or it trades on a calendar that is not known.
        TransientError: Yahoo cannot be reached, limits the rate or answers nonsense.
    """
    import yfinance
    from curl_cffi.requests.exceptions import RequestException
    from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError

    symbol = wanted.symbol
    ticker = yfinance.Ticker(symbol, session=session)
    nothing = f"Yahoo has no {_NAMES[wanted.interval]} bars for {symbol} since {first}"
    fix = f"If it is misspelt, renamed or delisted, mend or remove it in `{wanted.setting}`."
    try:
        table = ticker.history(
            start=first.isoformat(),
            end=(now + _TWO_DAYS).date().isoformat(),
            interval=wanted.interval,
            auto_adjust=False,
            repair=False,
            actions=True,
            keepna=True,
            timeout=_TIMEOUT_SECONDS,
        )
        metadata = ticker.history_metadata
    except YFTickerMissingError as error:
        raise ConfigError(f"{nothing} ({error.rationale}). {fix}") from error
    except _NoChartError as error:
        raise ConfigError(f"{nothing} ({error}). {fix}") from error
    except YFRateLimitError as error:
        raise BusyError(f"Yahoo limits the rate of requests (at {symbol}); sync again later.", None) from error
    except (YFException, RequestException, JSONDecodeError, KeyError, IndexError, TypeError) as error:
        # The last three: yfinance takes for granted that an answer has every field.
        raise TransientError(f"Yahoo's answer for {symbol} cannot be read: {error!r}. Sync again later.") from error
    calendar = wanted.calendar or _calendar(wanted, metadata)
    is_currency = metadata["instrumentType"] == "CURRENCY"
    if wanted.interval == HOURLY:
        times = closed_hours(_utc(table), calendar, now)
        table = table[times["is_closed"].to_numpy()]
        times = times.filter("is_closed").drop("is_closed")
        actions = pl.DataFrame(schema=ACTION)
    else:
        table = table[table.index.date <= calendar.last_closed_day(now)]
        days = pl.Series("session", list(table.index.date), dtype=pl.Date)
        times = days.dt.to_string("iso").to_frame().hstack(bar_times(days, calendar))
        actions = _actions(table)
    bars = times.hstack(_prices(table, has_volume=not is_currency)).with_columns(extra=_extra(table))
    return Chart(bars, actions, calendar, _currency(wanted, metadata), now)


def _calendar(wanted: Wanted, metadata: Any) -> Calendar:
    """The instrument's calendar.

    Raises:
        ConfigError: it trades neither in New York's sessions nor around the clock.
    """
    timezone, kind = metadata["exchangeTimezoneName"], metadata["instrumentType"]
    if kind in _AROUND_THE_CLOCK:
        return AroundTheClock(timezone)
    if timezone != EXCHANGE_TIMEZONE:
        raise ConfigError(
            f"{wanted.symbol} trades in {timezone}, but this source knows the days of {EXCHANGE_TIMEZONE}, of "
            f"currencies and of crypto assets only. Remove it from `{wanted.setting}`."
        )
    if kind not in _OF_SESSIONS:
        raise ConfigError(
            f"{wanted.symbol} is of the kind {kind}, whose trading hours this source does not know; it knows those of "
            f"{', '.join((*_OF_SESSIONS, *_AROUND_THE_CLOCK))}. Remove it from `{wanted.setting}`."
        )
    return NEW_YORK


def _currency(wanted: Wanted, metadata: Any) -> str:
    """The currency of the instrument's prices.

    Raises:
        ConfigError: there is none, or they are in a part of one.
    """
    told = metadata["currency"]
    if told in _MINOR_UNITS:
        raise ConfigError(
            f"Yahoo tells the prices of {wanted.symbol} in {told!r}, a hundredth of a currency, which this source does "
            f"not convert. Remove it from `{wanted.setting}`."
        )
    if not re.fullmatch(CURRENCY_PATTERN, str(told)):
        raise ConfigError(
            f"Yahoo tells no currency of {wanted.symbol} (it says {told!r}), so its prices mean nothing. "
            f"Remove it from `{wanted.setting}`."
        )
    return str(told)


def _utc(table: Any) -> pl.Series:
    """When the rows of yfinance's table begin."""
    begins = [begin.to_pydatetime() for begin in table.index.tz_convert("UTC")]
    return pl.Series(begins, dtype=pl.Datetime("us", "UTC"))


def _prices(table: Any, *, has_volume: bool) -> pl.DataFrame:
    """Prices and volume of yfinance's table."""
    prices = pl.DataFrame(
        {
            name: pl.Series(table[column].to_numpy(dtype=float), dtype=pl.Float64, nan_to_null=True)
            for name, column in PRICES.items()
        }
    )
    # yfinance writes 0 for a volume that Yahoo left out; where there is no price either, it was left out. Of
    # currencies Yahoo has none.
    is_told = pl.lit(has_volume) & (pl.col("close").is_not_null() | (pl.col("volume") != 0))
    return prices.with_columns(volume=pl.when(is_told).then("volume"))


def _actions(table: Any) -> pl.DataFrame:
    """Splits and dividends in yfinance's table. Dividends are taken to be in the currency of the prices."""
    found = [
        (day.date().isoformat(), action, float(value))
        for action, column in _ACTIONS.items()
        for day, value in table[column][table[column] != 0].items()
    ]
    return pl.DataFrame(found, schema=ACTION, orient="row").sort("ex_date", "action")


def _extra(table: Any) -> pl.Series:
    """What else stands in yfinance's table beside a bar, as JSON: distributions of capital gains, and what is new."""
    known = {*PRICES.values(), *_ACTIONS.values()}
    found: list[dict[str, Any]] = [{} for _ in range(len(table))]
    for name in table.columns.difference(sorted(known)):
        is_told = table[name].notna() & (table[name] != 0)
        for row in is_told.to_numpy().nonzero()[0]:
            found[row][name] = table[name].iloc[row]
    return pl.Series([json.dumps(row, default=str) if row else None for row in found], dtype=pl.String)


def _open_session(base_url: str | None, clock: Callable[[], datetime]) -> Any:
    """An HTTP session for yfinance, which keeps it for the life of the process, with its caches emptied.

    It raises what a chart's answer says of the server or of the symbol, before yfinance tries other cookies and pages
    at once.
    """
    import yfinance
    from curl_cffi import requests

    base = urlsplit(base_url) if base_url else None

    class Session(requests.Session):  # type: ignore[type-arg]
        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            meant = urlsplit(url)
            if base:
                if not f".{meant.hostname}".endswith(".yahoo.com"):
                    raise ValueError(f"The replay stands in for yahoo.com, but {meant.hostname} was asked for.")
                url = meant._replace(scheme=base.scheme, netloc=base.netloc).geturl()
            answer = super().request(method, url, *args, **kwargs)
            if meant.path.startswith(_CHART):
                problem = trouble("Yahoo", answer.status_code, answer.headers, clock())
                if problem:
                    raise problem
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise _NoChartError(f"HTTP {answer.status_code}")
            return answer

    # Otherwise yfinance logs a failed request and returns an empty frame.
    yfinance.config.debug.hide_exceptions = False
    yfinance.set_tz_cache_location(_cache_folder())
    yfinance.data.YfData.cache_get.cache_clear()
    return Session(impersonate="chrome")


@functools.cache
def _cache_folder() -> str:
    """Where yfinance keeps time zones and cookies while the process lives; not the user's own cache."""
    folder = tempfile.mkdtemp(prefix="bentleybot-yfinance-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
