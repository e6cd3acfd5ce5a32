"""Market data from Yahoo Finance, through yfinance, as Yahoo delivers it.

Prices are split-adjusted (``price_basis``), the close adjusted for dividends comes beside them, nothing is repaired
and no bar is dropped. Only closed sessions are read, never the live bar. Instruments must trade on New York's
calendar, the only one the session table knows.

Yahoo rewrites history: it corrects a bar for some days, and a split or dividend changes every earlier price. So each
sync reads the last few sessions again. A bar that changed is sent again as a newer version; if the oldest of them
changed, all prices have moved and the whole history is sent again, so that its newest versions are on one basis.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import polars as pl

from bentleybot_assets.connectors.market.records import (
    ConfigProblem,
    Mark,
    Record,
    TransientProblem,
    action_times,
    bar_times,
    iso,
    to_records,
)
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.sessions import (
    EXCHANGE_TIMEZONE,
    FIRST_DAY,
    last_closed_session,
    previous_session,
)

_PRICES = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "adjusted_close": "Adj Close",
    "volume": "Volume",
}
_NOISE = 1e-5
"""Relative difference below which a price is unchanged: Yahoo computes in single precision, anew for each answer."""

_TIMEOUT_SECONDS = 30
