"""Indicators against TA-Lib, published numbers and plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import talib
from numpy.lib.stride_tricks import sliding_window_view

from bentleybot_assets.core import indicators
from bentleybot_assets_tests.scenario import recorded_bars

CLOSE, HIGH, LOW, VOLUME = pl.col("close"), pl.col("high"), pl.col("low"), pl.col("volume")
TOLERANCE = 1e-9

GOOG = recorded_bars("GOOG")


def series_of(close: np.ndarray, spread: float = 0.01) -> pl.DataFrame:
    volume = np.random.default_rng(7).integers(1, 10**6, len(close)).astype(float)
    return pl.DataFrame(
        {"symbol": "AAA", "high": close * (1 + spread), "low": close * (1 - spread), "close": close, "volume": volume}
    )


def random_series() -> pl.DataFrame:
    random = np.random.default_rng(11)
    close = 50 * np.exp(random.normal(0, 0.02, 2000).cumsum())
    return series_of(close).with_columns(
        high=CLOSE * np.exp(np.abs(random.normal(0, 0.01, 2000))),
        low=CLOSE * np.exp(-np.abs(random.normal(0, 0.01, 2000))),
    )


SERIES = {
    "GOOG": GOOG,
    "a random walk": random_series(),
    "a straight rise": series_of(np.arange(1.0, 200.0), spread=0.0),
    "prices in whole dollars": random_series().with_columns(pl.col("high", "low", "close").round(0)),
    "nothing moves at first": series_of(
        np.r_[np.full(60, 10.0), np.arange(10.0, 60.0), np.arange(60.0, 20.0, -1)], 0.0
    ),
}


def macd_part(number: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda bars: talib.MACD(bars["close"], 12, 26, 9)[number]


def bands_part(number: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda bars: talib.BBANDS(bars["close"], 20, 2.0, 2.0)[number]


IN_TALIB: dict[str, tuple[pl.Expr, Callable[[np.ndarray], np.ndarray], float]] = {
    "RSI": (indicators.rsi(CLOSE, 14), lambda bars: talib.RSI(bars["close"], 14), 67.52515425928354),
    "MACD line": (indicators.macd(CLOSE).line, macd_part(0), 15.157401062644453),
    "MACD signal": (indicators.macd(CLOSE).signal, macd_part(1), 15.821331263324657),
    "MACD histogram": (indicators.macd(CLOSE).histogram, macd_part(2), -0.6639302006802037),
    "upper Bollinger band": (indicators.bollinger(CLOSE).upper, bands_part(0), 812.8406000239522),
    "middle Bollinger band": (indicators.bollinger(CLOSE).middle, bands_part(1), 786.9579999999994),
    "lower Bollinger band": (indicators.bollinger(CLOSE).lower, bands_part(2), 761.0753999760466),
    "ATR": (
        indicators.atr(HIGH, LOW, CLOSE, 14),
        lambda bars: talib.ATR(bars["high"], bars["low"], bars["close"], 14),
        12.256078810087619,
    ),
    "ADX": (
        indicators.adx(HIGH, LOW, 14),
        lambda bars: talib.ADX(bars["high"], bars["low"], bars["close"], 14),
        41.668550880249775,
    ),
    "OBV": (indicators.obv(CLOSE, VOLUME), lambda bars: talib.OBV(bars["close"], bars["volume"]), 1243972800.0),
}
ALL = {name: expression for name, (expression, _, _) in IN_TALIB.items()} | {
    "return": indicators.simple_return(CLOSE, 5),
    "mean gap": indicators.moving_average_gap(CLOSE, 20),
    "z": indicators.rolling_z(VOLUME, 20),
    "%b": indicators.bollinger(CLOSE).percent_b,
}


def values(bars: pl.DataFrame, expression: pl.Expr) -> np.ndarray:
    """Null as NaN."""
    return bars.select(expression.over("symbol")).to_series().to_numpy()


@pytest.mark.parametrize("name", IN_TALIB)
def test_last_value_on_goog_is_the_published_one(name: str) -> None:
    expression, _, golden = IN_TALIB[name]
    assert values(GOOG, expression)[-1] == pytest.approx(golden, abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("name", IN_TALIB)
def test_whole_series_equals_talib(name: str, series: str) -> None:
    expression, reference, _ = IN_TALIB[name]
    bars = SERIES[series]
    expected = reference({column: bars[column].to_numpy() for column in ("high", "low", "close", "volume")})
    np.testing.assert_allclose(values(bars, expression), expected, rtol=0, atol=TOLERANCE, equal_nan=True)


def test_rsi_equals_the_textbook_example() -> None:
    text = "44.34 44.09 44.15 43.61 44.33 44.83 45.10 45.42 45.84 46.08 45.89 46.03 45.61 46.28 46.28 46.00 46.03 46.41"
    close = np.array([float(number) for number in f"{text} 46.22 45.64".split()])
    rsi = values(series_of(close), indicators.rsi(CLOSE, 14))
    assert np.isnan(rsi[:14]).all()
    np.testing.assert_allclose(rsi[14:], [70.46, 66.25, 66.48, 69.35, 66.29, 57.92], atol=0.005, rtol=0)


@pytest.mark.parametrize("name", ALL)
def test_instruments_do_not_mix(name: str) -> None:
    one, other = GOOG, recorded_bars("FB")
    together = values(pl.concat([one, other]), ALL[name])
    apart = np.concatenate([values(one, ALL[name]), values(other, ALL[name])])
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("name", ALL)
def test_leading_nulls_only_delay(name: str) -> None:
    bars = random_series().head(200)
    nothing = bars.head(30).with_columns(pl.lit(None, dtype=pl.Float64).alias(c) for c in bars.columns[1:])
    np.testing.assert_array_equal(
        values(pl.concat([nothing, bars]), ALL[name]), np.r_[np.full(30, np.nan), values(bars, ALL[name])]
    )


@pytest.mark.parametrize("name", ["RSI", "ATR", "ADX", "OBV", "MACD signal"])
def test_recursive_indicators_go_on_after_a_gap(name: str) -> None:
    hole = pl.int_range(pl.len()) == 100
    bars = random_series().head(200)
    bars = bars.with_columns(pl.when(~hole).then(pl.col(c)).alias(c) for c in ("high", "low", "close", "volume"))
    result = values(bars, ALL[name])
    assert np.isnan(result[100])
    assert np.isfinite(result[102:]).all()


def test_obv_compares_the_bar_after_a_gap_with_the_one_before_it() -> None:
    close = np.array([10.0, 12.0, np.nan, 11.0, 11.5])
    bars = series_of(close).with_columns(volume=pl.Series([1.0, 2.0, 4.0, 8.0, 16.0]), close=CLOSE.fill_nan(None))
    np.testing.assert_array_equal(values(bars, indicators.obv(CLOSE, VOLUME)), [1, 3, np.nan, -5, 11])


def test_adx_of_a_straight_rise_is_100_and_not_more() -> None:
    adx = values(SERIES["a straight rise"], indicators.adx(HIGH, LOW, 14))
    assert np.nanmin(adx) == np.nanmax(adx) == 100


def test_what_never_moves_has_no_place_between_bounds() -> None:
    still = series_of(np.full(60, 10.0), spread=0.0).with_columns(volume=pl.lit(5.0))
    assert np.isnan(values(still, indicators.bollinger(CLOSE).percent_b)).all()
    assert np.isnan(values(still, indicators.rolling_z(VOLUME, 20))).all()
    assert values(still, indicators.rsi(CLOSE, 14))[-1] == 0


def test_bollinger_b_is_0_at_the_lower_and_1_at_the_upper_band() -> None:
    bands = indicators.bollinger(CLOSE)
    place = values(GOOG, bands.percent_b)
    lower, upper = values(GOOG, bands.lower), values(GOOG, bands.upper)
    expected = (GOOG["close"].to_numpy() - lower) / (upper - lower)
    np.testing.assert_allclose(place, expected, rtol=0, atol=TOLERANCE)


def windows(column: str, n: int) -> np.ndarray:
    return sliding_window_view(GOOG[column].to_numpy(), n)


IN_NUMPY: dict[str, Callable[[], np.ndarray]] = {
    "return": lambda: windows("close", 6)[:, -1] / windows("close", 6)[:, 0] - 1,
    "mean gap": lambda: windows("close", 20)[:, -1] / windows("close", 20).mean(1) - 1,
    "z": lambda: (windows("volume", 20)[:, -1] - windows("volume", 20).mean(1)) / windows("volume", 20).std(1),
}


@pytest.mark.parametrize("name", IN_NUMPY)
def test_window_statistics_equal_plain_numpy(name: str) -> None:
    expected = IN_NUMPY[name]()
    result = values(GOOG, ALL[name])
    assert np.isnan(result[: -len(expected)]).all()
    np.testing.assert_allclose(result[-len(expected) :], expected, rtol=TOLERANCE, atol=TOLERANCE)
