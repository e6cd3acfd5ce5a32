"""Feature tables: what is known about an instrument at a session's close."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, Utc, column


class Technical(Contract):
    """Technical features per instrument and session, each computed from that and earlier bars only.

    Returns, RSI, MACD, Bollinger and moving averages use the total-return close; ATR, ADX and OBV need
    split-adjusted highs, lows and volume and are null for close-only instruments. All features are null
    until their window is full.
    """

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Exchange session")
    available_at: Utc = column("When the newest bar used could first be known")
    return_1d: float = column("Return over 1 session", unit="fraction", nullable=True, gt=-1)
    return_5d: float = column("Return over 5 sessions", unit="fraction", nullable=True, gt=-1)
    return_21d: float = column("Return over 21 sessions", unit="fraction", nullable=True, gt=-1)
    return_63d: float = column("Return over 63 sessions", unit="fraction", nullable=True, gt=-1)
    return_126d: float = column("Return over 126 sessions", unit="fraction", nullable=True, gt=-1)
    return_252d: float = column("Return over 252 sessions", unit="fraction", nullable=True, gt=-1)
    momentum_12_1: float = column(
        "Return from 252 to 21 sessions ago (12-1 momentum)", unit="fraction", nullable=True, gt=-1
    )
    rsi_14: float = column("Relative strength index, Wilder, 14 sessions", nullable=True, ge=0, le=100)
    macd: float = column("MACD line (12, 26) over price", unit="fraction", nullable=True)
    macd_signal: float = column("MACD signal line (9) over price", unit="fraction", nullable=True)
    macd_histogram: float = column("MACD line less signal, over price", unit="fraction", nullable=True)
    atr_14: float = column("Average true range, Wilder, 14 sessions, over close", unit="fraction", nullable=True, ge=0)
    bollinger_b: float = column(
        "Bollinger %b: 0 at the lower band, 1 at the upper (20 sessions, 2 deviations)",
        unit="fraction",
        nullable=True,
    )
    adx_14: float = column("Average directional index, Wilder, 14 sessions", nullable=True, ge=0, le=100)
    obv: float = column("On-balance volume since the instrument's first bar", unit="shares", nullable=True)
    ma_50_gap: float = column("Price over its 50-session mean, less 1", unit="fraction", nullable=True)
    ma_200_gap: float = column("Price over its 200-session mean, less 1", unit="fraction", nullable=True)
    volume_z: float = column("Volume less its 20-session mean, in standard deviations", nullable=True)


class Matrix(Contract):
    """Model input: each feature as its rank among the session's tradable members, from -0.5 to 0.5.

    Only members of the universe at that session are ranked. A feature that an instrument structurally lacks
    stays null; training drops features that too few rows have and records which it used.
    """

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Exchange session")
    available_at: Utc = column("When the newest bar used could first be known")
    return_1d: float = column("Rank of return_1d", nullable=True, ge=-0.5, le=0.5)
    return_5d: float = column("Rank of return_5d", nullable=True, ge=-0.5, le=0.5)
    return_21d: float = column("Rank of return_21d", nullable=True, ge=-0.5, le=0.5)
    return_63d: float = column("Rank of return_63d", nullable=True, ge=-0.5, le=0.5)
    return_126d: float = column("Rank of return_126d", nullable=True, ge=-0.5, le=0.5)
    return_252d: float = column("Rank of return_252d", nullable=True, ge=-0.5, le=0.5)
    momentum_12_1: float = column("Rank of momentum_12_1", nullable=True, ge=-0.5, le=0.5)
    rsi_14: float = column("Rank of rsi_14", nullable=True, ge=-0.5, le=0.5)
    macd_histogram: float = column("Rank of macd_histogram", nullable=True, ge=-0.5, le=0.5)
    atr_14: float = column("Rank of atr_14", nullable=True, ge=-0.5, le=0.5)
    bollinger_b: float = column("Rank of bollinger_b", nullable=True, ge=-0.5, le=0.5)
    adx_14: float = column("Rank of adx_14", nullable=True, ge=-0.5, le=0.5)
    ma_50_gap: float = column("Rank of ma_50_gap", nullable=True, ge=-0.5, le=0.5)
    ma_200_gap: float = column("Rank of ma_200_gap", nullable=True, ge=-0.5, le=0.5)
    volume_z: float = column("Rank of volume_z", nullable=True, ge=-0.5, le=0.5)
    member_count: int = column("Members ranked against each other at this session", ge=1)
    feature_version: str = column("Hash of the feature definitions", str_matches=r"^[0-9a-f]{12}$")
