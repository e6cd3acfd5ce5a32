"""``reports/daily_brief``: the page that says what to do, or what stopped it."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw.market import RiskFreeRates
from bentleybot_assets.contracts.reports import DailyBrief
from bentleybot_assets.core.brief import BriefInputs, champion_sharpe, render_brief, verdict
from bentleybot_assets.ledger.decisions import Account
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.reports import ReportFolder
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.warehouse.base import MissingTableError, Warehouse
from bentleybot_assets.wiring.io_manager import MAY_BE_MISSING
from bentleybot_assets.wiring.partitions import one_session_at_a_time, sessions, sessions_of
from bentleybot_assets.wiring.status import table_status
from bentleybot_assets.wiring.tables import Finding, table_asset

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger


def page_is_self_contained(frame: pl.DataFrame) -> Finding:
    """The page runs no script and loads nothing from outside."""
    outside = re.compile(r"<script|<link|\bsrc=|@import|url\(", re.IGNORECASE)
    found = sorted({match for html in frame["html"] for match in outside.findall(html)})
    return Finding(not found, {"found": found})


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """The verdict in numbers; the page itself is a file."""
    newest = frame.row(-1, named=True)
    return {name: newest[name] for name in ("verdict", "order_count", "refusal_count", "account_mode", "data_mode")}


def _perhaps(*key: str) -> dg.AssetIn:
    """An input of which nothing may exist yet: the first run may have been stopped before it."""
    return dg.AssetIn(key=list(key), metadata={MAY_BE_MISSING: True})


@table_asset(
    DailyBrief,
    kinds={"jinja", "parquet"},
    checks=[page_is_self_contained],
    preview=preview,
    ins={
        "signals": _perhaps("signals", "trading_signals"),
        "targets": _perhaps("trading", "target_weights"),
        "versions": _perhaps("models", "return_forecaster"),
        "backtest": _perhaps("models", "backtest"),
        "bars": _perhaps("market", "daily_bars"),
        "instruments": _perhaps("market", "instruments"),
    },
    # Read from the ledger, which has what stands even where the table could not be published.
    deps=[dg.AssetKey(["trading", "orders"])],
    partitions_def=sessions,
    backfill_policy=one_session_at_a_time,
)
def daily_brief(
    context: dg.AssetExecutionContext,
    *,
    signals: pl.DataFrame,
    targets: pl.DataFrame,
    versions: pl.DataFrame,
    backtest: pl.DataFrame,
    bars: pl.LazyFrame,
    instruments: pl.DataFrame,
    desk: Desk,
    ledger: LedgerResource,
    warehouse: WarehouseResource,
    reports: ReportFolder,
) -> pl.DataFrame:
    """Write the page from the tables as they stand, and put it where people open it."""
    (session,) = sessions_of(context)
    books = ledger.open()
    orders = books.orders(session)
    refusals = books.open_refusals(session)
    account = _account(books, session, desk)
    inputs = BriefInputs(
        session=session,
        account_mode=desk.account_mode,
        data_mode=desk.data_mode,
        cash_usd=account.cash_usd if account else None,
        positions=account.positions if account else {},
        signals=signals,
        targets=targets,
        orders=orders,
        refusals=refusals,
        versions=versions,
        backtest=backtest,
        bars=bars.filter(session=session).collect(),
        instruments=instruments,
        risk_free_rates=_risk_free_rates(warehouse.open()),
        tables=table_status(context, warehouse.open(), session),
    )
    html = render_brief(inputs)
    path = reports.write("daily_brief", session, html)
    context.add_asset_metadata({"page": dg.MetadataValue.path(str(path)), "sharpe": champion_sharpe(inputs)})
    return pl.DataFrame(
        {
            "session": [session],
            "verdict": [verdict(orders, refusals)],
            "order_count": [orders.height],
            "refusal_count": [refusals.height],
            "account_mode": [desk.account_mode],
            "data_mode": [desk.data_mode],
            "html": [html],
        },
        schema=DailyBrief.polars_schema(),
    )


def _risk_free_rates(warehouse: Warehouse) -> pl.DataFrame:
    """Read here rather than as an input: a series that could not be synced must not keep the page from being made."""
    try:
        return warehouse.read(RiskFreeRates)
    except MissingTableError:
        return RiskFreeRates.empty_frame()


def _account(books: Ledger, session: date, desk: Desk) -> Account | None:
    """What the session was decided on (None if that was not recorded); before it is, what the desk says now."""
    if books.decided([session], desk.strategy):
        return books.account(session, desk.strategy)
    return Account(desk.cash_usd, desk.holdings)
