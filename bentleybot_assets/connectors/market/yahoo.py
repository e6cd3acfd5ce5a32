"""Market data from Yahoo Finance, through yfinance, as Yahoo delivers it.

Prices are split-adjusted (``price_basis``), the close adjusted for dividends comes beside them, nothing is
repaired and no bar is dropped. Only closed sessions are read, never the live bar. Instruments must trade on
New York's calendar, the only one the session table knows.

Yahoo rewrites history: it corrects a bar for some days, and a split or dividend changes every earlier price.
So each sync reads the last few sessions again. A bar that changed is sent again as a newer version. If the
adjusted close of the oldest of them changed, all prices have moved and the whole history is sent again, so
that its newest versions are on one basis. What did not change is not sent. An action that Yahoo no longer has is
sent again as withdrawn: one that moves to another day must not count twice.

History that is read for the first time follows the publication rule. What is told of a day that was read before (a
correction, a late bar or action, a new basis) was first seen now: its ``available_at`` is the fetch.
"""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import polars as pl

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, TransientError, iso
from bentleybot_assets.connectors.market.records import action_times, bar_times, to_records
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE, last_closed_session

_PRICES = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "adjusted_close": "Adj Close",
    "volume": "Volume",
}
_ACTION = {"ex_date": pl.String, "action": pl.String, "value": pl.Float64}
"""An action as a mark keeps it."""

_NOISE = 1e-5
"""Relative difference below which a value is unchanged: Yahoo computes anew, in single precision."""

_TIMEOUT_SECONDS = 30
_A_WEEK = timedelta(days=7)

_logger = logging.getLogger("airbyte.market")


@dataclass(frozen=True)
class _History:
    """One answer of Yahoo. Frames are oldest first; ``session`` and ``ex_date`` are dates.

    Attributes:
        bars: closed sessions, prices and volume as floats; null where Yahoo has none.
        actions: ``ex_date``, ``action``, ``value`` up to the last closed session.
        currency: of the prices.
        fetched_at: when it was fetched.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    currency: str
    fetched_at: datetime


class YahooFeed:
    """The ``yahoo`` mode.

    Args:
        symbols: which to read, as Yahoo names them.
        start_date: first session to read.
        lookback_sessions: sessions already read that are read again.
        base_url: where to send requests instead of to Yahoo; None for Yahoo.
        clock: the present, timezone-aware.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        start_date: date,
        *,
        lookback_sessions: int,
        base_url: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._symbols = tuple(symbols)
        self._start = start_date
        self._lookback = lookback_sessions
        self._session = _open_session(base_url)
        self._clock = clock
        self._answers: dict[tuple[str, date], _History] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        return self._symbols

    def check(self) -> None:
        """See :class:`Feed`. Asks for the first symbol's newest bars."""
        self._history(self._symbols[0], last_closed_session(self._clock()) - _A_WEEK)

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`."""
        history, is_rebased = self._since(symbol, mark)
        bars = history.bars
        if bars.is_empty():
            return (), mark
        recent = _recent(bars, self._lookback)
        if mark is not None and not is_rebased:
            bars = bars.filter(_is_news(bars, mark))
        rows = bars.hstack(bar_times(bars["session"]))
        rows = _with_knowledge_time(rows, "session", history.fetched_at, mark)
        constants = _constants(symbol, history, DailyBars) | {"price_basis": "split_adjusted"}
        return to_records(rows, constants), {"session": max(recent), "recent": recent}

    def corporate_actions(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. The mark is the last session looked at, and every action told so far."""
        history, _ = self._since(symbol, mark)
        if history.bars.is_empty():
            return (), mark
        told = pl.DataFrame(mark["actions"] if mark else [], schema=_ACTION, orient="row")
        told = told.with_columns(pl.col("ex_date").str.to_date())
        is_in_answer = pl.col("ex_date") >= history.bars["session"][0]
        news = _changes(history.actions, told.filter(is_in_answer))
        rows = news.hstack(action_times(news["ex_date"]))
        rows = _with_knowledge_time(rows, "ex_date", history.fetched_at, mark)
        recent = _recent(history.bars, self._lookback)
        known = pl.concat([told.filter(~is_in_answer), history.actions]).with_columns(
            pl.col("ex_date").dt.to_string("iso")
        )
        return to_records(rows, _constants(symbol, history, CorporateActions)), {
            "ex_date": max(recent),
            "recent": recent,
            "actions": [list(action) for action in known.iter_rows()],
        }

    def _since(self, symbol: str, mark: Mark | None) -> tuple[_History, bool]:
        """What Yahoo has from the look-back on, or all of it if never read or if all prices moved (True)."""
        if mark is None:
            return self._history(symbol, self._start), False
        oldest = min(mark["recent"])
        history = self._history(symbol, date.fromisoformat(oldest))
        now = _recent(history.bars, history.bars.height).get(oldest)
        if now is None or not _is_same(now["adjusted_close"], mark["recent"][oldest]["adjusted_close"]):
            return self._history(symbol, self._start), True
        return history, False

    def _history(self, symbol: str, first: date) -> _History:
        """Yahoo's answer from ``first`` to the last closed session; asked once, so that streams agree."""
        if (symbol, first) not in self._answers:
            now = self._clock()
            through = last_closed_session(now)
            if first > through:
                raise ConfigError(f"`start_date` is {first}, but the last closed session is {through}. Set it earlier.")
            self._answers[symbol, first] = _download(self._session, symbol, first, through, now)
        return self._answers[symbol, first]


def _download(session: Any, symbol: str, first: date, through: date, now: datetime) -> _History:
    """Ask Yahoo for the sessions from ``first`` to ``through``.

    Raises:
        ConfigError: Yahoo has no bars for the symbol, or it does not trade on New York's calendar.
        TransientError: Yahoo cannot be reached, limits the rate or answers nonsense.
    """
    import yfinance
    from curl_cffi.requests.exceptions import HTTPError, RequestException
    from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError

    ticker = yfinance.Ticker(symbol, session=session)
    nothing = f"Yahoo has no bars for {symbol} from {first} to {through}"
    fix = "If it is misspelt, renamed or delisted, mend or remove it in `symbols`."
    try:
        table = ticker.history(
            start=first.isoformat(),
            end=(through + timedelta(days=1)).isoformat(),
            interval="1d",
            auto_adjust=False,
            repair=False,
            actions=True,
            keepna=True,
            timeout=_TIMEOUT_SECONDS,
        )
        metadata = ticker.history_metadata
    except YFTickerMissingError as error:
        raise ConfigError(f"{nothing} ({error.rationale}). {fix}") from error
    except HTTPError as error:
        # After a chart that is not found, yfinance asks other pages about the symbol, which fail like this.
        if getattr(error.response, "status_code", None) == HTTPStatus.NOT_FOUND:
            raise ConfigError(f"{nothing} ({error}). {fix}") from error
        raise TransientError(f"Yahoo fails for {symbol}: {error}. Sync again later.") from error
    except YFRateLimitError as error:
        raise TransientError(f"Yahoo limits the rate of requests (at {symbol}). Wait, then sync again.") from error
    except (YFException, RequestException, JSONDecodeError) as error:
        raise TransientError(f"Yahoo's answer for {symbol} cannot be read: {error}. Sync again later.") from error
    if metadata["exchangeTimezoneName"] != EXCHANGE_TIMEZONE:
        raise ConfigError(
            f"{symbol} trades in {metadata['exchangeTimezoneName']}, but this source knows the sessions of "
            f"{EXCHANGE_TIMEZONE} only. Remove it from `symbols`."
        )
    table = table[table.index.date <= through]
    return _History(_bars(table), _actions(symbol, table), metadata["currency"], now)


def _open_session(base_url: str | None) -> Any:
    """An HTTP session for yfinance, which keeps it for the life of the process, with its caches emptied."""
    import yfinance
    from curl_cffi import requests

    class Replay(requests.Session):  # type: ignore[type-arg]
        """Sends to ``base_url`` what was meant for Yahoo."""

        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            meant = urlsplit(url)
            if not f".{meant.hostname}".endswith(".yahoo.com"):
                raise ValueError(f"The replay stands in for yahoo.com, but {meant.hostname} was asked for.")
            target = meant._replace(scheme=base.scheme, netloc=base.netloc)
            return super().request(method, target.geturl(), *args, **kwargs)

    # Otherwise yfinance logs a failed request and returns an empty frame.
    yfinance.config.debug.hide_exceptions = False
    yfinance.set_tz_cache_location(_cache_folder())
    yfinance.data.YfData.cache_get.cache_clear()
    if base_url is None:
        return requests.Session(impersonate="chrome")
    base = urlsplit(base_url)
    return Replay(impersonate="chrome")


@functools.cache
def _cache_folder() -> str:
    """Where yfinance keeps time zones and cookies while the process lives; not the user's own cache."""
    folder = tempfile.mkdtemp(prefix="bentleybot-yfinance-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _bars(table: Any) -> pl.DataFrame:
    """The table of yfinance as contract columns."""
    bars = pl.DataFrame(
        {"session": pl.Series(list(table.index.date), dtype=pl.Date)}
        | {
            name: pl.Series(table[column].to_numpy(dtype=float), dtype=pl.Float64, nan_to_null=True)
            for name, column in _PRICES.items()
        }
    )
    # yfinance writes 0 for a volume that Yahoo left out; where there is no price either, it was left out.
    return bars.with_columns(volume=pl.when(pl.col("close").is_not_null() | (pl.col("volume") != 0)).then("volume"))


def _actions(symbol: str, table: Any) -> pl.DataFrame:
    """Splits and dividends in yfinance's table. Dividends are taken to be in the currency of the prices."""
    gains = table[table["Capital Gains"] != 0] if "Capital Gains" in table else ()
    if len(gains):
        _logger.warning(
            "%s: %d distributions of capital gains are not delivered as actions, first on %s; "
            "the adjusted close includes them.",
            symbol,
            len(gains),
            gains.index[0].date(),
        )
    found = [
        (day.date(), action, float(value))
        for action, column in (("split", "Stock Splits"), ("dividend", "Dividends"))
        for day, value in table[column][table[column] != 0].items()
    ]
    return pl.DataFrame(found, schema=_ACTION | {"ex_date": pl.Date}, orient="row").sort("ex_date", "action")


def _changes(actions: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """What is to be told: actions that are new or have another value, and those that Yahoo no longer has."""
    key = ["ex_date", "action"]
    value, before = pl.col("value"), pl.col("value_before")
    is_same = ((value - before).abs() <= _NOISE * before.abs()).fill_null(value=False)
    news = actions.join(told.rename({"value": "value_before"}), on=key, how="left").filter(~is_same)
    withdrawn = told.join(actions, on=key, how="anti")
    return pl.concat(
        [
            news.select(*_ACTION, is_withdrawn=pl.lit(value=False)),
            withdrawn.select(*_ACTION, is_withdrawn=pl.lit(value=True)),
        ]
    ).sort(key)


def _constants(symbol: str, history: _History, contract: type[DailyBars | CorporateActions]) -> Record:
    """What all records of an answer share; every other column null until a row fills it."""
    return dict.fromkeys(contract.polars_schema()) | {
        "symbol": symbol,
        "currency": history.currency,
        "fetched_at": iso(history.fetched_at),
        "source": "yahoo/chart",
        "source_version": f"yfinance {importlib.metadata.version('yfinance')}",
    }


def _with_knowledge_time(rows: pl.DataFrame, day: str, fetched_at: datetime, mark: Mark | None) -> pl.DataFrame:
    """``available_at``: observed for a day that was read before, or that is fetched on itself; else modelled.

    ``day`` is the cursor column; it comes back as text.
    """
    fetched_on = fetched_at.astimezone(ZoneInfo(EXCHANGE_TIMEZONE)).date()
    is_first_seen = pl.col(day) == fetched_on
    if mark is not None:
        is_first_seen |= pl.col(day) <= date.fromisoformat(mark[day])
    return rows.with_columns(
        pl.col(day).dt.to_string("iso"),
        available_at=pl.when(is_first_seen).then(pl.lit(iso(fetched_at))).otherwise("available_at"),
        is_modelled=~is_first_seen,
    )


def _recent(bars: pl.DataFrame, sessions: int) -> dict[str, dict[str, float | None]]:
    """Session to values of the last bars: what the next sync compares with."""
    last = bars.select("session", *_PRICES).tail(sessions)
    return {row.pop("session").isoformat(): row for row in last.iter_rows(named=True)}


def _is_news(bars: pl.DataFrame, mark: Mark) -> pl.Series:
    """Whether each bar is new or differs from what was read before."""
    before = mark["recent"]
    return pl.Series(
        [
            session not in before or not _is_same_bar(bar, before[session])
            for session, bar in _recent(bars, bars.height).items()
        ],
        dtype=pl.Boolean,
    )


def _is_same_bar(now: Mapping[str, float | None], before: Mapping[str, float | None]) -> bool:
    return all(_is_same(now[name], before[name]) for name in _PRICES)


def _is_same(now: float | None, before: float | None) -> bool:
    """Whether two values are equal but for Yahoo's noise."""
    if now is None or before is None:
        return now is before
    return math.isclose(now, before, rel_tol=_NOISE)
