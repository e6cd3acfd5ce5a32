"""Indicators as polars expressions over ONE instrument's bars, oldest first: append ``.over("symbol")``.

Belongs here: the arithmetic of an indicator. Does not belong here: which features the platform uses
(``core.technical``), and any choice of price.

All of them share these rules:

- A row uses that row and earlier ones only. Prices come in the currency of the series passed in.
- Null until the window is full. A null inside a series gives null at its row; recursive indicators skip it.
- NaN is not a missing value here: the contracts keep it out.
- RSI, MACD, ATR, Bollinger, ADX and OBV equal TA-Lib, seeding included. TA-Lib starts each recursion with the
  simple mean of its first values. Here, the rows before that are nulled, the mean is put in its row, and an
  exponentially weighted mean runs on from there.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl


class Macd(NamedTuple):
    """Moving average convergence divergence, in units of the price."""

    line: pl.Expr
    signal: pl.Expr
    histogram: pl.Expr


class Bollinger(NamedTuple):
    """Bollinger bands in units of the price, and where the price stands between them."""

    lower: pl.Expr
    middle: pl.Expr
    upper: pl.Expr
    percent_b: pl.Expr


def simple_return(price: pl.Expr, n: int) -> pl.Expr:
    """Return over ``n`` bars, a fraction."""
    return price / price.shift(n) - 1


def moving_average_gap(price: pl.Expr, n: int) -> pl.Expr:
    """Price over its mean of ``n`` bars, less 1."""
    return price / price.rolling_mean(n) - 1


def rolling_z(values: pl.Expr, n: int) -> pl.Expr:
    """Value less its mean of ``n`` bars, in population standard deviations; null where they are zero."""
    deviation = values.rolling_std(n, ddof=0)
    return pl.when(deviation > 0).then((values - values.rolling_mean(n)) / deviation)


def rsi(close: pl.Expr, n: int = 14) -> pl.Expr:
    """Relative strength index of Wilder (1978), 0 to 100; 0 where the price never moved, as in TA-Lib."""
    change = close.diff()
    gain = _wilder_mean(change.clip(lower_bound=0), n)
    loss = _wilder_mean((-change).clip(lower_bound=0), n)
    moved = gain + loss
    return pl.when(moved == 0).then(0.0).otherwise(100 * (gain / moved))


def macd_line(close: pl.Expr, fast: int = 12, slow: int = 26) -> pl.Expr:
    """Fast less slow exponential mean, in units of the price; both start at bar ``slow`` as in TA-Lib."""
    return _exponential_mean(close, fast, at=slow) - _exponential_mean(close, slow, at=slow)


def macd_signal(line: pl.Expr, n: int = 9) -> pl.Expr:
    """Exponential mean of the MACD line."""
    return _exponential_mean(line, n, at=n)


def macd(close: pl.Expr, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """MACD; all three parts start with the signal, at bar ``slow + signal - 1``.

    Over many rows, compute the line as a column first: it enters each part.
    """
    line = macd_line(close, fast, slow)
    mean = macd_signal(line, signal)
    return Macd(pl.when(mean.is_not_null()).then(line), mean, line - mean)


def atr(high: pl.Expr, low: pl.Expr, close: pl.Expr, n: int = 14) -> pl.Expr:
    """Average true range of Wilder (1978), in units of the price; the first bar has no true range."""
    return _wilder_mean(_true_range(high, low, close), n)


def directional_movement(high: pl.Expr, low: pl.Expr) -> pl.Expr:
    """Movement of the range since the bar before, in units of the price: upward positive, downward negative."""
    up = high - high.shift(1)
    down = low.shift(1) - low
    return (
        pl.when(up > down)
        .then(up.clip(lower_bound=0))
        .when(down > up)
        .then(-down.clip(lower_bound=0))
        .when(up == down)
        .then(0.0)
    )


def directional_index(movement: pl.Expr, n: int = 14) -> pl.Expr:
    """Wilder's DX, 0 to 100: how one-sided the smoothed :func:`directional_movement` is.

    DX compares upward with downward movement, both over the true range, which cancels out. As smoothing is linear,
    their difference is the smoothed signed movement and their sum its smoothed size. Like TA-Lib, the smoothing
    starts with ``n - 1`` movements and the index is 0 until the instrument has moved at all.
    """
    net, size = (
        _continued(values, values.cum_sum() / n, at=n - 1, alpha=1 / n) for values in (movement, movement.abs())
    )
    return 100 * (net / size).abs().fill_nan(0.0)


def mean_directional_index(index: pl.Expr, movement: pl.Expr, n: int = 14) -> pl.Expr:
    """Wilder's ADX, 0 to 100: the smoothed :func:`directional_index`, from bar ``2 n`` on."""
    count = movement.cum_count()
    # TA-Lib leaves the first index, that of the seed, out of the mean it starts with.
    first_mean = pl.when(count >= n).then(index).cum_sum() / n
    mean = _continued(index, first_mean, at=2 * n - 1, alpha=1 / n, count=count)
    # Rounding may lift a mean of nothing but 100s above 100.
    return mean.clip(upper_bound=100)


def adx(high: pl.Expr, low: pl.Expr, n: int = 14) -> pl.Expr:
    """Average directional index of Wilder (1978), 0 to 100, from bar ``2 n`` on.

    Over many rows, compute its two parts as columns first: it is five times faster.
    """
    movement = directional_movement(high, low)
    return mean_directional_index(directional_index(movement, n), movement, n)


def obv(close: pl.Expr, volume: pl.Expr) -> pl.Expr:
    """On-balance volume of Granville (1963), in shares, starting with the first bar's volume as in TA-Lib."""
    previous = close.forward_fill().shift(1)
    direction = pl.when(previous.is_null()).then(1.0).otherwise((close - previous).sign())
    return (direction * volume).cum_sum()


def bollinger(price: pl.Expr, n: int = 20, deviations: float = 2.0) -> Bollinger:
    """Bollinger bands with population standard deviations, as in TA-Lib.

    %b is 0 at the lower band and 1 at the upper; null where the bands coincide.
    """
    middle = price.rolling_mean(n)
    deviation = price.rolling_std(n, ddof=0)
    reach = deviations * deviation
    percent_b = pl.when(deviation > 0).then((price - middle) / (2 * reach) + 0.5)
    return Bollinger(middle - reach, middle, middle + reach, percent_b)


def _true_range(high: pl.Expr, low: pl.Expr, close: pl.Expr) -> pl.Expr:
    """Range from the lower of low and previous close to the higher of high and previous close."""
    previous = close.shift(1)
    # Not max_horizontal, which would ignore the null before the first bar.
    return (high - low) + (previous - high).clip(lower_bound=0) + (low - previous).clip(lower_bound=0)


def _wilder_mean(values: pl.Expr, n: int) -> pl.Expr:
    """Wilder's smoothing: weight ``1 / n``, seeded with the mean of the first ``n`` values."""
    return _continued(values, values.cum_sum() / n, at=n, alpha=1 / n)


def _exponential_mean(values: pl.Expr, n: int, *, at: int) -> pl.Expr:
    """Weight ``2 / (n + 1)``, seeded at value ``at`` with the mean of the ``n`` values that end there."""
    window = values if at == n else pl.when(values.cum_count() > at - n).then(values)
    return _continued(values, window.cum_sum() / n, at=at, alpha=2 / (n + 1))


def _continued(values: pl.Expr, seed: pl.Expr, *, at: int, alpha: float, count: pl.Expr | None = None) -> pl.Expr:
    """Null before value number ``at``, ``seed`` there, then the exponentially weighted mean from the seed on."""
    count = values.cum_count() if count is None else count
    return (
        pl.when(count > at)
        .then(values)
        .when(count == at)
        .then(seed)
        .ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True)
    )
