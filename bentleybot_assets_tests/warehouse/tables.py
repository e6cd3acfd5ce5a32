"""Small tables that the tests of both warehouses publish. Does not belong here: what they expect of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.core.audit import QUARANTINE

MONDAY, TUESDAY = date(2022, 1, 3), date(2022, 1, 4)


def labels(*sessions: date, symbols: tuple[str, ...] = ("A", "B"), forward_return: float = 0.1) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol,
            "session": session,
            "horizon_sessions": 5,
            "entry_session": session,
            "exit_session": session,
            "forward_return": forward_return,
            "forward_rank": 0.0,
            "available_at": datetime(2022, 1, 10, tzinfo=UTC),
        }
        for symbol in symbols
        for session in sorted(sessions)
    ]
    return pl.DataFrame(rows, schema=Labels.polars_schema(), orient="row")


def weights(session: date, *symbols: str, weight: float = 0.1) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "session": session,
                "weight": weight,
                "reference_price_usd": 1.0,
                "price_source": "x",
                "position_quantity": 0,
                "target_quantity": 1,
                "target_value_usd": 1.0,
            }
            for symbol in symbols
        ],
        schema=TargetWeights.polars_schema(),
        orient="row",
    )


def quarantined(*keys: str) -> pl.DataFrame:
    return pl.DataFrame(
        [dict.fromkeys(QUARANTINE, "x") | {"row_key": f"symbol=A, session={key}"} for key in keys], schema=QUARANTINE
    )


FILLER: dict[type[pl.DataType], Any] = {
    pl.String: "x",
    pl.Float64: 1.0,
    pl.Int64: 1,
    pl.Boolean: True,
    pl.Date: MONDAY,
    pl.Datetime: datetime(2022, 1, 3, tzinfo=UTC),
}
"""Something to stand in a column that a test does not care about."""


def filled(keys: pl.DataFrame, contract: type[Contract]) -> pl.DataFrame:
    """``keys`` completed to the contract's columns."""
    return keys.select(
        pl.col(name) if name in keys.columns else pl.lit(FILLER[dtype.base_type()], dtype=dtype).alias(name)
        for name, dtype in contract.polars_schema().items()
    )


def raw_bars(symbol: str, close: float) -> pl.DataFrame:
    return filled(pl.DataFrame({"symbol": [symbol], "close": [close]}), DailyBars)
