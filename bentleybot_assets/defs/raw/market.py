"""The ``market`` connection: bars, corporate actions, exchange rates and rates of Treasury bills, as delivered."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.freshness import freshness_checks
from bentleybot_assets.wiring.tables import Finding, first_rows

_SMALLEST_PCT, _LARGEST_PCT = 1e-3, 30
"""Quotes are in steps of a thousandth of a percent; no bill of the US has yielded more than half of the largest."""


def bars_are_known_after_they_closed(frame: pl.DataFrame) -> Finding:
    """No bar was available, or fetched, before it closed."""
    early = frame.filter((pl.col("available_at") < pl.col("event_at")) | (pl.col("fetched_at") < pl.col("event_at")))
    period = "session" if "session" in frame.columns else "bar_at"
    first = first_rows(early, "symbol", period, "event_at", "available_at", "fetched_at")
    return Finding(early.is_empty(), {"bars_known_too_early": early.height, "first": first})


def values_are_positive(frame: pl.DataFrame) -> Finding:
    """Each split ratio and dividend is a positive number."""
    wrong = frame.filter(~_is_positive("value"))
    first = first_rows(wrong, "symbol", "ex_date", "action", "value")
    return Finding(wrong.is_empty(), {"actions_without_positive_value": wrong.height, "first": first})


def rates_are_positive(frame: pl.DataFrame) -> Finding:
    """Each exchange rate is a positive number."""
    wrong = frame.filter(~_is_positive("rate"))
    first = first_rows(wrong, "base_currency", "quote_currency", "rate_date", "rate")
    return Finding(wrong.is_empty(), {"rates_without_positive_value": wrong.height, "first": first})


def rates_are_in_percent(frame: pl.DataFrame) -> Finding:
    """No rate of a bill is so small or so large that it must be told in another unit."""
    rate = pl.col("rate_pct")
    wrong = frame.filter(rate.is_nan() | (rate.abs() > _LARGEST_PCT) | ((rate != 0) & (rate.abs() < _SMALLEST_PCT)))
    first = first_rows(wrong, "series", "rate_date", "rate_pct")
    return Finding(wrong.is_empty(), {"rates_in_another_unit": wrong.height, "first": first})


def _is_positive(column: str) -> pl.Expr:
    return (pl.col(column) > 0).fill_null(value=False) & ~pl.col(column).is_nan()


STREAMS = (
    Stream(DailyBars, warnings=(bars_are_known_after_they_closed,)),
    Stream(CorporateActions, warnings=(values_are_positive,)),
    Stream(HourlyBars, warnings=(bars_are_known_after_they_closed,)),
    Stream(FxRates, warnings=(rates_are_positive,)),
    Stream(RiskFreeRates, warnings=(rates_are_in_percent,)),
)


@connection_assets("market", STREAMS)
def market(
    context: dg.AssetExecutionContext, airbyte: dg.ResourceParam[Airbyte], warehouse: WarehouseResource
) -> Iterator[Any]:
    """Sync the connection and append what it delivers to the raw log."""
    yield from sync_streams(context, "market", STREAMS, airbyte, warehouse)


market_freshness = freshness_checks("market", [stream.key for stream in STREAMS])
