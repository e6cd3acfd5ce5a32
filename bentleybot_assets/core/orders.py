"""From targets to order intents with ids that a re-run finds again.

Does not belong here: sizing (``sizing``), remembering what was decided (``ledger``), sending anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

import polars as pl

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.core.universe import by_symbol, the_session


def order_intents(
    targets: pl.DataFrame,
    instruments: pl.DataFrame,
    *,
    strategy: str,
    revision: str,
    account_mode: str,
    data_mode: str,
    costs_bps: Mapping[str, float],
) -> pl.DataFrame:
    """The trades that lead from the positions to the targets of one session, as contract ``trading/orders``.

    Args:
        targets: rows of ``trading/target_weights`` of one session.
        instruments: columns of ``market/instruments``.
        strategy: strategy that decides; part of the id.
        revision: revision of the decision within the session; part of the id.
        account_mode: ``paper`` or ``live``.
        data_mode: ``sample`` or the market data's source.
        costs_bps: expected cost of one trade per asset class, basis points of its value.

    Returns:
        One order per symbol whose target differs from its position, sorted by order id; empty if none does.

    Raises:
        ValueError: the targets are not of one session, a symbol to trade is no tradable member or its asset class
            has no cost, or ``strategy`` or ``revision`` contains the separator of the id.
    """
    session = the_session(targets, "Targets")
    trades = targets.filter(pl.col("target_quantity") != pl.col("position_quantity"))
    costs = by_symbol(costs_bps, "cost", trades["symbol"], instruments, session)
    change = pl.col("target_quantity") - pl.col("position_quantity")
    return (
        trades.with_columns(
            order_id=pl.Series(
                [
                    order_id(strategy, session, symbol, target, revision)
                    for symbol, target in trades.select("symbol", "target_quantity").iter_rows()
                ],
                dtype=pl.String,
            ),
            side=pl.when(change > 0).then(pl.lit("BUY")).otherwise(pl.lit("SELL")),
            quantity=change.abs(),
            cost_bps=pl.Series(list(costs.values()), dtype=pl.Float64),
            state=pl.lit("PENDING"),
            strategy=pl.lit(strategy),
            revision=pl.lit(revision),
            account_mode=pl.lit(account_mode),
            data_mode=pl.lit(data_mode),
        )
        .with_columns(estimated_value_usd=pl.col("quantity") * pl.col("reference_price_usd"))
        .with_columns(estimated_cost_usd=pl.col("estimated_value_usd") * pl.col("cost_bps") / 10_000)
        .select(list(Orders.polars_schema()))
        .sort("order_id", "session")
    )


def order_id(strategy: str, session: date, symbol: str, target_quantity: int, revision: str) -> str:
    """32 hexadecimal digits that name a decision: equal decisions have equal ids, on any machine, on any day.

    Raises:
        ValueError: a part contains ``|``, which separates the parts, so that two decisions could share an id.
    """
    parts = [strategy, session.isoformat(), symbol, str(target_quantity), revision]
    for part in parts:
        if "|" in part:
            raise ValueError(f"{part!r} contains '|', which separates the parts of an order id. Choose another name.")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
