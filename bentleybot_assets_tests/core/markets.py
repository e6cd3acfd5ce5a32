"""Small made-up markets for the tests of models: seeded prices, and the frames that are computed from them."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from bentleybot_assets.contracts.features import Matrix
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.core.matrix import FEATURES

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
FIRST = date(2015, 1, 2)


def sessions(count: int, first: date = FIRST) -> list[date]:
    """The first ``count`` exchange sessions from ``first`` on."""
    return sessions_between(first, date(first.year + count // 250 + 1, 12, 31))[:count]


def random_prices(count: int, symbols: int = len(SYMBOLS), seed: int = 1) -> np.ndarray:
    """Random walks, sessions by symbols: nothing about them can be forecast."""
    steps = np.random.default_rng(seed).normal(0.0003, 0.02, size=(count, symbols))
    return 100 * np.exp(np.cumsum(steps, axis=0))


def daily_bars(prices: np.ndarray, days: list[date] | None = None, symbols=SYMBOLS) -> pl.DataFrame:
    """Total-return bars from prices, sessions by symbols; NaN means that there is no bar."""
    days = days or sessions(len(prices))
    rows = [
        (symbol, day, float(price))
        for column, symbol in enumerate(symbols[: prices.shape[1]])
        for day, price in zip(days, prices[:, column], strict=True)
        if np.isfinite(price)
    ]
    bars = pl.DataFrame(
        rows, schema={"symbol": pl.String, "session": pl.Date, "total_return_close": pl.Float64}, orient="row"
    )
    before = pl.col("total_return_close").shift(1).over("symbol")
    return bars.with_columns(
        total_return=pl.col("total_return_close") / before - 1,
        available_at=pl.col("session").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=22),
    ).sort("symbol", "session")


def instruments(symbols=SYMBOLS, **changes: dict[str, object]) -> pl.DataFrame:
    """Tradable members since ever; ``AAA={"is_tradable": False}`` changes one of them."""
    rows = [
        {"symbol": symbol, "valid_from": date(1990, 1, 1), "valid_to": None, "is_tradable": True}
        | changes.get(symbol, {})
        for symbol in symbols
    ]
    return pl.DataFrame(
        rows,
        schema={"symbol": pl.String, "valid_from": pl.Date, "valid_to": pl.Date, "is_tradable": pl.Boolean},
    )


def matrix(bars: pl.DataFrame, *, with_features: dict[str, pl.Expr] | None = None) -> pl.DataFrame:
    """A feature matrix with four price features; the others are structurally missing.

    Args:
        bars: from :func:`daily_bars`.
        with_features: features computed otherwise, as expressions on ``bars``; they are ranked as they are.
    """
    price = pl.col("total_return_close")

    def past_return(sessions_ago: int, until: int = 0) -> pl.Expr:
        return (price.shift(until) / price.shift(sessions_ago) - 1).over("symbol")

    features = {
        "return_1d": past_return(1),
        "return_5d": past_return(5),
        "return_21d": past_return(21),
        "momentum_12_1": past_return(60, until=21),
    } | (with_features or {})
    known = bars.with_columns(**features).drop_nulls(list(features))
    ranked = known.with_columns(
        *(((pl.col(f).rank() - 1) / (pl.len() - 1) - 0.5).over("session").alias(f) for f in features),
        *(pl.lit(None, dtype=pl.Float64).alias(f) for f in FEATURES if f not in features),
        available_at=pl.col("session").cast(pl.Datetime("us", "UTC")),
        member_count=pl.len().over("session").cast(pl.Int64),
        feature_version=pl.lit("0123456789ab"),
    )
    return ranked.select(list(Matrix.polars_schema())).sort("symbol", "session")
