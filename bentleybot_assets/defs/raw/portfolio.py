"""The ``portfolio`` connection: accounts, balances, positions and transactions, as banks and brokers deliver them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions
from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.freshness import freshness_checks
from bentleybot_assets.wiring.tables import Finding, first_rows

_ACCOUNT = ["institution", "account"]
_TOLERANCE = 0.01
"""Relative difference that rounded prices explain."""


def accounts_keep_their_currency(frame: pl.DataFrame) -> Finding:
    """No account changed its currency: that would be another account under an old name."""
    currencies = frame.group_by(_ACCOUNT).agg(pl.col("currency").drop_nulls().unique())
    changed = currencies.filter(pl.col("currency").list.len() > 1)
    return Finding(changed.is_empty(), {"accounts": changed.height, "first": first_rows(changed, *_ACCOUNT)})


def balances_have_an_amount(frame: pl.DataFrame) -> Finding:
    """Each balance tells what is there or what is available."""
    is_told = pl.any_horizontal(
        (pl.col(name).is_not_null() & ~pl.col(name).is_nan()) for name in ("current", "available")
    )
    empty = frame.filter(~is_told)
    return Finding(empty.is_empty(), {"balances": empty.height, "first": first_rows(empty, *_ACCOUNT, "event_at")})


def positions_add_up(frame: pl.DataFrame) -> Finding:
    """The value of each holding of shares is its quantity times its price."""
    shares = frame.filter(pl.col("kind").is_in(["equity", "etf", "fund"]))
    product = pl.col("quantity") * pl.col("price")
    wrong = shares.filter((product - pl.col("value")).abs() > _TOLERANCE * pl.col("value").abs())
    first = first_rows(wrong, *_ACCOUNT, "security", "quantity", "price", "value")
    return Finding(wrong.is_empty(), {"positions": wrong.height, "first": first})


def posted_transactions_have_a_date(frame: pl.DataFrame) -> Finding:
    """Each posted transaction tells its day and its amount."""
    amount = pl.col("amount")
    lacking = frame.filter(
        (pl.col("status") == "posted") & (pl.col("posted_date").is_null() | amount.is_null() | amount.is_nan())
    )
    first = first_rows(lacking, *_ACCOUNT, "transaction", "posted_date", "amount")
    return Finding(lacking.is_empty(), {"transactions": lacking.height, "first": first})


STREAMS = (
    Stream(Accounts, warnings=(accounts_keep_their_currency,)),
    Stream(Balances, warnings=(balances_have_an_amount,)),
    Stream(Positions, warnings=(positions_add_up,)),
    Stream(Transactions, warnings=(posted_transactions_have_a_date,)),
)


@connection_assets("portfolio", STREAMS)
def portfolio(
    context: dg.AssetExecutionContext, airbyte: dg.ResourceParam[Airbyte], warehouse: WarehouseResource
) -> Iterator[Any]:
    """Sync the connection and append what it delivers to the raw log."""
    yield from sync_streams(context, "portfolio", STREAMS, airbyte, warehouse)


portfolio_freshness = freshness_checks("portfolio", [stream.key for stream in STREAMS])
