"""How the tables are: what was published, and how their checks stand. For reports, not for decisions."""

from __future__ import annotations

from datetime import date

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.core.brief import TABLE_STATUS
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.wiring.published import published_tables
from bentleybot_assets.wiring.verdicts import Verdict, verdicts


def table_status(context: dg.AssetExecutionContext, warehouse: Warehouse, session: date) -> pl.DataFrame:
    """One row per table of the graph, columns ``core.brief.TABLE_STATUS``, sorted by table.

    The report that asks is left out: it is not written yet.
    """
    tables = [table for table in published_tables() if table.key != context.asset_key]
    found = verdicts(context.instance, tables, session)
    return pl.DataFrame(
        [_row(warehouse, key, checks) for key, checks in found.items()], schema=TABLE_STATUS, orient="row"
    )


def _row(warehouse: Warehouse, key: dg.AssetKey, checks: list[Verdict]) -> tuple[object, ...]:
    contract = contract_for(key.path)
    rows = warehouse.row_count(contract)
    newest = warehouse.newest_session(contract) if "session" in contract.polars_schema() else None
    outcomes = [verdict.passed for verdict in checks]
    quarantined = warehouse.read_quarantine(contract)["row_key"].n_unique()
    return ("/".join(key.path), rows, newest, outcomes.count(True), outcomes.count(False), quarantined)
