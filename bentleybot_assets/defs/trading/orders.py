"""``trading/orders``: the session's order intents, as the ledger has them."""

from __future__ import annotations

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.orders import order_intents
from bentleybot_assets.ledger.decisions import Account, Decision
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.wiring.partitions import one_session_at_a_time, sessions, sessions_of
from bentleybot_assets.wiring.refusals import require_no_red_check
from bentleybot_assets.wiring.tables import Finding, NotPublishedError, table_asset

_DAILY_REVISION = "1"


def quantity_is_target_less_position(frame: pl.DataFrame) -> Finding:
    """Each order trades exactly the difference between target and position, in its direction."""
    signed = pl.when(pl.col("side") == "BUY").then(pl.col("quantity")).otherwise(-pl.col("quantity"))
    wrong = frame.filter(signed != pl.col("target_quantity") - pl.col("position_quantity"))
    return Finding(wrong.is_empty(), {"orders": wrong["order_id"].to_list()})


@table_asset(
    Orders,
    kinds={"polars", "parquet"},
    checks=[quantity_is_target_less_position],
    ins={
        "targets": dg.AssetIn(key=["trading", "target_weights"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
    partitions_def=sessions,
    backfill_policy=one_session_at_a_time,
    pool="trading",
)
def orders(
    context: dg.AssetExecutionContext,
    targets: pl.DataFrame,
    instruments: pl.DataFrame,
    desk: Desk,
    ledger: LedgerResource,
) -> pl.DataFrame:
    """Record the session's decision once; a re-run gets back what was recorded, whatever has changed since."""
    (session,) = sessions_of(context)
    books = ledger.open()
    require_no_red_check(context, session, books)
    decision = Decision(desk.strategy, session, _DAILY_REVISION, desk.account_mode, desk.data_mode)
    recorded = books.recorded_orders(decision, run_id=context.run.run_id)
    if recorded is not None:
        context.log.info("%s was decided before: its %d recorded order(s) stand.", session, recorded.height)
        return recorded
    intents = order_intents(
        targets,
        instruments,
        strategy=desk.strategy,
        revision=_DAILY_REVISION,
        account_mode=desk.account_mode,
        data_mode=desk.data_mode,
        costs_bps=desk.cost_bps,
    )
    _require_sound(intents)
    held = targets.filter(pl.col("position_quantity") > 0).select("symbol", "position_quantity")
    account = Account(desk.cash_usd, dict(held.iter_rows()))
    recorded = books.record_orders(decision, intents, account, run_id=context.run.run_id)
    if not recorded.equals(intents):
        context.log.warning("Another run has decided %s meanwhile: its order(s) stand, not these.", session)
    return recorded


def _require_sound(intents: pl.DataFrame) -> None:
    """What is recorded stands for ever, so it is judged before, by the rules that the table is judged by."""
    outcome = audit(Orders, intents)
    if outcome.published is None:
        raise NotPublishedError(Orders, " ".join(fault.message for fault in outcome.faults))
    if not quantity_is_target_less_position(intents).passed:
        raise NotPublishedError(Orders, "An order does not lead from the position to the target.")
