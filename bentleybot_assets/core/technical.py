"""Technical features of each instrument, from its own bars (table ``features/technical``).

Belongs here: which indicators the platform uses, on which price. Does not belong here: how an indicator is
computed (``core.indicators``), comparing instruments with each other (``core.matrix``).
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

from bentleybot_assets.contracts.features import Technical
from bentleybot_assets.core import indicators
from bentleybot_assets.core._frames import require_sorted

WARM_UP = MappingProxyType(
    {
        "return_1d": 2,
        "return_5d": 6,
        "return_21d": 22,
        "return_63d": 64,
        "return_126d": 127,
        "return_252d": 253,
        "momentum_12_1": 253,
        "rsi_14": 15,
        "macd": 34,
        "macd_signal": 34,
        "macd_histogram": 34,
        "atr_14": 15,
        "bollinger_b": 20,
        "adx_14": 28,
        "obv": 1,
        "ma_50_gap": 50,
        "ma_200_gap": 200,
        "volume_z": 20,
    }
)
"""Feature to the number of bars after which it has a value.

Wilder's indicators remember longer than that: what RSI was before 120 bars no longer matters (error below 1e-4).
"""

FEATURES = tuple(WARM_UP)
"""Names of the features, in the table's order."""

BAR_COLUMNS = ("symbol", "session", "high", "low", "close", "volume", "total_return_close", "available_at")
"""Columns of ``market/daily_bars`` that they are computed from."""


def technical(bars: pl.DataFrame) -> pl.DataFrame:
    """Compute all features of all instruments; columns of contract ``features/technical``.

    Returns, momentum, RSI, MACD, Bollinger %b and the moving-average gaps use the total-return close, so that a
    dividend is not a loss. ATR, ADX, OBV and the volume score use split-adjusted prices and volume, and are null
    for close-only instruments. A window counts the instrument's own bars. A row uses its own and earlier bars only,
    and is known once the last of them is.

    Args:
        bars: :data:`BAR_COLUMNS` of contract ``market/daily_bars``, sorted by symbol and session.

    Raises:
        ValueError: the bars are not sorted by symbol and session, or a bar occurs twice.
    """
    require_sorted(bars, ("symbol", "session"), "market/daily_bars")
    price = pl.col("total_return_close")
    high, low, close, volume = pl.col("high"), pl.col("low"), pl.col("close"), pl.col("volume")
    per_instrument = {
        "available_at": pl.col("available_at").cum_max(),
        **{f"return_{n}d": indicators.simple_return(price, n) for n in (1, 5, 21, 63, 126, 252)},
        "momentum_12_1": indicators.simple_return(price.shift(21), 252 - 21),
        "rsi_14": indicators.rsi(price, 14),
        "macd_line": indicators.macd_line(price, 12, 26),
        "atr_14": indicators.atr(high, low, close, 14) / close,
        "bollinger_b": indicators.bollinger(price, 20, 2.0).percent_b,
        "movement": indicators.directional_movement(high, low),
        "obv": indicators.obv(close, volume),
        "ma_50_gap": indicators.moving_average_gap(price, 50),
        "ma_200_gap": indicators.moving_average_gap(price, 200),
        "volume_z": indicators.rolling_z(volume, 20),
    }
    line, movement, index = pl.col("macd_line"), pl.col("movement"), pl.col("index")
    # Parts that enter several features are columns of their own, as polars would compute them once per use.
    return (
        bars.lazy()
        .select(
            "symbol", "session", price, *(value.over("symbol").alias(name) for name, value in per_instrument.items())
        )
        .with_columns(
            macd_signal=indicators.macd_signal(line, 9).over("symbol"),
            index=indicators.directional_index(movement, 14).over("symbol"),
        )
        .with_columns(
            macd=pl.when(pl.col("macd_signal").is_not_null()).then(line) / price,
            macd_signal=pl.col("macd_signal") / price,
            macd_histogram=(line - pl.col("macd_signal")) / price,
            adx_14=indicators.mean_directional_index(index, movement, 14).over("symbol"),
        )
        .select(Technical.polars_schema().keys())
        .collect()
    )
