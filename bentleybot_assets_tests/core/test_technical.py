"""Technical features: on which price, from when on, and never from the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.features import Technical
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.technical import FEATURES, WARM_UP, technical
from bentleybot_assets_tests.core.truncation import changed_by_the_future
from bentleybot_assets_tests.scenario import (
    SESSIONS,
    as_delivered,
    clean_bars,
    corporate_actions,
    instruments_for,
    raw_bars,
    recorded_bars,
)

TOLERANCE = 1e-9
NEED_FULL_BARS = ("atr_14", "adx_14", "obv", "volume_z")


def histories(seed: int = 0) -> pl.DataFrame:
    """An instrument with full bars, one that is listed half a year later, and one that has only a close."""
    parts = [
        clean_bars(["AAA"], seed=seed),
        clean_bars(["BBB"], SESSIONS[120:], seed=seed),
        clean_bars(["CCC"], seed=seed, price_basis="fully_adjusted"),
    ]
    return pl.concat(parts)


def a_payer() -> pl.DataFrame:
    """IBM as recorded, with the dividends it declared from 2012 on: price and total return differ."""
    bars = as_delivered(recorded_bars("IBM").filter(pl.col("session") >= date(2012, 1, 3)), price_basis="unadjusted")
    paid = [(date(2012, 2, 8), 0.75), (date(2012, 5, 8), 0.85), (date(2012, 8, 8), 0.85), (date(2012, 11, 7), 0.85)]
    actions = corporate_actions(*(("IBM", day, "dividend", value) for day, value in paid))
    return daily_bars(bars, actions, instruments_for(["IBM"]))


def test_table_keeps_its_contract() -> None:
    table = technical(histories())
    assert audit(Technical, table).faults == ()
    assert table.height == histories().height
    assert tuple(Technical.polars_schema())[3:] == FEATURES


@pytest.mark.parametrize("feature", FEATURES)
def test_feature_is_null_until_its_window_is_full_and_never_after(feature: str) -> None:
    values = technical(clean_bars(["AAA"]))[feature]
    assert values.is_null().arg_min() == WARM_UP[feature] - 1
    assert values[WARM_UP[feature] - 1 :].null_count() == 0


def ta_macd(part: int) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    return lambda bars: talib.MACD(bars["total_return_close"], 12, 26, 9)[part] / bars["total_return_close"]


def percent_b(bars: dict[str, np.ndarray]) -> np.ndarray:
    upper, _, lower = talib.BBANDS(bars["total_return_close"], 20, 2.0, 2.0)
    return (bars["total_return_close"] - lower) / (upper - lower)


IN_TALIB: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "return_21d": lambda bars: talib.ROCP(bars["total_return_close"], 21),
    "rsi_14": lambda bars: talib.RSI(bars["total_return_close"], 14),
    "macd": ta_macd(0),
    "macd_signal": ta_macd(1),
    "macd_histogram": ta_macd(2),
    "bollinger_b": percent_b,
    "ma_50_gap": lambda bars: bars["total_return_close"] / talib.SMA(bars["total_return_close"], 50) - 1,
    "atr_14": lambda bars: talib.ATR(bars["high"], bars["low"], bars["close"], 14) / bars["close"],
    "adx_14": lambda bars: talib.ADX(bars["high"], bars["low"], bars["close"], 14),
    "obv": lambda bars: talib.OBV(bars["close"], bars["volume"]),
}


@pytest.mark.parametrize("feature", IN_TALIB)
def test_feature_uses_the_right_price_of_a_dividend_payer(feature: str) -> None:
    bars = a_payer()
    expected = IN_TALIB[feature](
        {name: bars[name].to_numpy() for name in bars.columns if bars[name].dtype == pl.Float64}
    )
    np.testing.assert_allclose(technical(bars)[feature].to_numpy(), expected, rtol=0, atol=TOLERANCE, equal_nan=True)


def test_momentum_leaves_out_the_newest_month() -> None:
    bars = clean_bars(["AAA"])
    price = bars["total_return_close"]
    assert technical(bars)["momentum_12_1"][-1] == pytest.approx(price[-22] / price[-253] - 1, abs=1e-12)


def test_dividend_is_not_a_loss() -> None:
    ex_date = SESSIONS[30]
    raw = raw_bars(["AAA"], SESSIONS[:60]).with_columns(
        pl.when(pl.col("session") < ex_date).then(100.0).otherwise(98.0).alias(name)
        for name in ("open", "high", "low", "close")
    )
    bars = daily_bars(raw, corporate_actions(("AAA", ex_date, "dividend", 2.0)), instruments_for(["AAA"]))
    features = technical(bars)
    assert features["return_1d"].drop_nulls().abs().max() < 1e-12
    assert bars["close"].n_unique() == 2


def test_close_only_instrument_lacks_what_needs_full_bars_and_nothing_else() -> None:
    features = technical(clean_bars(["CCC"], price_basis="fully_adjusted"))
    lacking = [name for name in FEATURES if features[name].null_count() == features.height]
    assert lacking == [name for name in FEATURES if name in NEED_FULL_BARS]


def test_instruments_do_not_influence_each_other() -> None:
    everything = technical(histories())
    for symbol in ("AAA", "BBB", "CCC"):
        alone = technical(histories().filter(symbol=symbol))
        assert everything.filter(symbol=symbol).equals(alone)


def test_features_are_known_once_the_last_bar_they_use_is() -> None:
    bars = clean_bars(["AAA"], SESSIONS[:10])
    late = bars["available_at"][3] + timedelta(days=3, hours=1)
    corrected = bars.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(late).otherwise("available_at").alias("available_at")
    )
    known = technical(corrected)["available_at"].to_list()
    expected = corrected["available_at"].to_list()
    assert expected[4] < late < expected[5]
    expected[4] = late
    assert known == expected


def test_reversed_bars_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"market/daily_bars must be sorted by symbol, session.*2019-06-2"):
        technical(clean_bars(["AAA"]).reverse())


def test_repeated_bars_are_rejected() -> None:
    bars = clean_bars(["AAA"])
    with pytest.raises(ValueError, match="without duplicates"):
        technical(pl.concat([bars.head(3), bars.tail(-2)]))


@settings(derandomize=True, deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.sampled_from(SESSIONS[200:]), min_size=3, max_size=3))
def test_no_feature_changes_with_what_comes_later(seed: int, cuts: list[date]) -> None:
    assert changed_by_the_future(technical, histories(seed), cuts) == {}


LEAKS = {
    "centred_mean": pl.col("total_return_close").rolling_mean(5, center=True),
    "full_sample_z": (pl.col("total_return_close") - pl.col("total_return_close").mean())
    / pl.col("total_return_close").std(),
    "tomorrow": pl.col("total_return").shift(-1),
    "filled_backward": pl.when(pl.int_range(pl.len()) % 7 == 0).then("volume").backward_fill(),
}


def test_leaking_features_are_caught_and_only_they() -> None:
    def leaking(bars: pl.DataFrame) -> pl.DataFrame:
        leaks = [expression.over("symbol").alias(name) for name, expression in LEAKS.items()]
        return technical(bars).hstack(bars.select(leaks))

    assert changed_by_the_future(leaking, histories(), SESSIONS[250:253]).keys() == LEAKS.keys()


def test_feature_that_drops_recent_rows_is_caught() -> None:
    def settled(bars: pl.DataFrame) -> pl.DataFrame:
        return technical(bars).filter(pl.col("session") < bars["session"].max())

    assert "session" in changed_by_the_future(settled, histories(), SESSIONS[250:251])
