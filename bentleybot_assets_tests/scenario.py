"""Named frames that tests share: small, seeded, valid by their contracts.

Belongs here: builders of input tables. Does not belong here: expected results.
"""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.sessions import DATA_DELAY, close_at, sessions_between
from bentleybot_assets.core.bars import daily_bars

SYMBOLS = ("AAA", "BBB", "CCC")
SESSIONS = tuple(sessions_between(date(2018, 1, 2), date(2019, 6, 28)))
"""A year and a half: enough for the longest feature window and some more."""


def raw_bars(
    symbols: Sequence[str] = SYMBOLS,
    sessions: Sequence[date] = SESSIONS,
    seed: int = 0,
    *,
    price_basis: str = "split_adjusted",
    fetched_at: datetime | None = None,
) -> pl.DataFrame:
    """A valid ``raw/market/daily_bars`` of random walks, sorted by symbol and session.

    A symbol's prices depend on the seed, its name and how many sessions went before, so that fewer symbols or
    sessions give the same prices. Fully adjusted bars have nothing but a close. All bars are fetched at once, by
    default when the last one becomes available.
    """
    walks = pl.concat([_random_walk(symbol, sessions, seed) for symbol in symbols])
    if price_basis == "fully_adjusted":
        walks = walks.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in ("open", "high", "low"))
        walks = walks.with_columns(volume=pl.lit(None, dtype=pl.Float64))
    return as_delivered(walks, price_basis=price_basis, fetched_at=fetched_at)


def as_delivered(
    bars: pl.DataFrame, *, price_basis: str = "split_adjusted", fetched_at: datetime | None = None
) -> pl.DataFrame:
    """Complete symbol, session and prices to a ``raw/market/daily_bars``; columns left out are null."""
    times = {day: close_at(day) for day in bars["session"].unique()}
    event_at = pl.Series([times[day] for day in bars["session"]], dtype=pl.Datetime("us", "UTC"))
    given = bars.with_columns(
        price_basis=pl.lit(price_basis),
        currency=pl.lit("USD"),
        event_at=event_at,
        available_at=event_at + DATA_DELAY,
        is_modelled=pl.lit(value=True),
        fetched_at=pl.lit(fetched_at or event_at.max() + DATA_DELAY),
        source=pl.lit("scenario"),
        source_version=pl.lit("1"),
    )
    return given.select(
        (pl.col(name) if name in given.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in DailyBars.polars_schema().items()
    )


def corporate_actions(
    *actions: tuple[str, date, str, float | None], fetched_at: datetime | None = None
) -> pl.DataFrame:
    """A ``raw/market/corporate_actions`` of (symbol, ex_date, ``split`` or ``dividend``, value)."""
    rows = [
        {
            "symbol": symbol,
            "ex_date": ex_date,
            "action": action,
            "value": value,
            "is_withdrawn": False,
            "currency": "USD",
            "event_at": close_at(ex_date),
            "available_at": close_at(ex_date) + DATA_DELAY,
            "is_modelled": True,
            "fetched_at": fetched_at or close_at(SESSIONS[-1]) + DATA_DELAY,
            "source": "scenario",
            "source_version": "1",
        }
        for symbol, ex_date, action, value in actions
    ]
    return pl.DataFrame(rows, schema=CorporateActions.polars_schema())


def instruments_for(
    symbols: Sequence[str] = SYMBOLS,
    *,
    valid_from: date = SESSIONS[0],
    valid_to: date | None = None,
    is_close_only: bool = False,
) -> pl.DataFrame:
    """A ``market/instruments`` in which all symbols are members throughout; one that starts with ^ is an index."""
    rows = [
        {
            "symbol": symbol,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "name": f"Company {symbol}",
            "asset_class": "index" if symbol.startswith("^") else "equity",
            "sector": "Industrials",
            "currency": "USD",
            "exchange": "XNYS",
            "is_tradable": not symbol.startswith("^"),
            "is_close_only": is_close_only,
        }
        for symbol in sorted(symbols)
    ]
    return pl.DataFrame(rows, schema=Instruments.polars_schema())


def clean_bars(
    symbols: Sequence[str] = SYMBOLS,
    sessions: Sequence[date] = SESSIONS,
    seed: int = 0,
    *,
    price_basis: str = "split_adjusted",
) -> pl.DataFrame:
    """A valid ``market/daily_bars`` without corporate actions; see :func:`raw_bars`."""
    raw = raw_bars(symbols, sessions, seed, price_basis=price_basis)
    return daily_bars(raw, corporate_actions(), instruments_for(symbols, valid_from=sessions[0]))


def recorded_bars(symbol: str) -> pl.DataFrame:
    """Unadjusted daily bars of AAPL, FB, GOOG, IBM or MSFT up to 2013-03-01, as the package bokeh_sampledata has them.

    Columns: symbol, session, open, high, low, close, volume, adjusted_close; oldest first.
    """
    package = importlib.util.find_spec("bokeh_sampledata")
    table = pl.read_csv(Path(package.origin).with_name("_data") / "stocks.csv.gz", try_parse_dates=True)
    return table.filter(Ticker=symbol).select(
        symbol="Ticker",
        session="Date",
        open="Open",
        high="High",
        low="Low",
        close="Close",
        volume=pl.col("Volume").cast(pl.Float64),
        adjusted_close="Adj Close",
    )


def _random_walk(symbol: str, sessions: Sequence[date], seed: int) -> pl.DataFrame:
    # Row by row, so that a longer walk continues a shorter one.
    random = np.random.default_rng([seed, zlib.crc32(symbol.encode())]).normal(size=(len(sessions), 5))
    close = 50 * np.exp(np.cumsum(0.0003 + 0.015 * random[:, 0]))
    open_ = close * np.exp(0.005 * random[:, 1])
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(sessions),
            "session": pl.Series(sessions, dtype=pl.Date),
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(0.005 * np.abs(random[:, 2])),
            "low": np.minimum(open_, close) * np.exp(-0.005 * np.abs(random[:, 3])),
            "close": close,
            "volume": np.round(1e6 * np.exp(0.3 * random[:, 4])),
        }
    )


def delivered(contract: type[RawContract], *rows: dict[str, Any]) -> pl.DataFrame:
    """A raw table of ``contract``: rows as given, what they leave out null but for when it was and whence it comes."""
    at = close_at(SESSIONS[0])
    told = {"event_at": at, "available_at": at, "is_modelled": False, "fetched_at": at}
    told |= {"source": "scenario", "source_version": "1"}
    blank = dict.fromkeys(contract.polars_schema())
    return pl.DataFrame([blank | told | row for row in rows], schema=contract.polars_schema(), orient="row")
