"""The ``market`` connection: daily bars and corporate actions, as delivered."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.resources.airbyte import EmbeddedAirbyte
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.tables import Finding, first_rows


def bars_are_known_after_they_closed(frame: pl.DataFrame) -> Finding:
    """No bar was available, or fetched, before its session closed."""
    early = frame.filter((pl.col("available_at") < pl.col("event_at")) | (pl.col("fetched_at") < pl.col("event_at")))
    first = first_rows(early, "symbol", "session", "event_at", "available_at", "fetched_at")
    return Finding(early.is_empty(), {"bars_known_too_early": early.height, "first": first})


def values_are_positive(frame: pl.DataFrame) -> Finding:
    """Each split ratio and dividend is a positive number."""
    wrong = frame.filter(~(pl.col("value") > 0).fill_null(value=False) | pl.col("value").is_nan())
    first = first_rows(wrong, "symbol", "ex_date", "action", "value")
    return Finding(wrong.is_empty(), {"actions_without_positive_value": wrong.height, "first": first})


STREAMS = (
    Stream(DailyBars, warnings=(bars_are_known_after_they_closed,)),
    Stream(CorporateActions, warnings=(values_are_positive,)),
)


@connection_assets("market", STREAMS)
def market(context: dg.AssetExecutionContext, airbyte: EmbeddedAirbyte, warehouse: WarehouseResource) -> Iterator[Any]:
    """Sync the connection and append what it delivers to the raw log."""
    yield from sync_streams(context, "market", STREAMS, airbyte, warehouse)
