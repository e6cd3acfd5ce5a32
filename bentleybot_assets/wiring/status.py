"""How the tables are: what was published, and how their checks stand. For reports, not for decisions."""

from __future__ import annotations

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.core.brief import TABLE_STATUS
from bentleybot_assets.warehouse.base import Warehouse


def table_status(context: dg.AssetExecutionContext, warehouse: Warehouse) -> pl.DataFrame:
    """One row per table of the graph, columns ``core.brief.TABLE_STATUS``, sorted by table.

    The report itself is left out: it is not written yet.
    """
    graph = context.job_def.asset_layer.asset_graph
    rows = [_row(context, warehouse, key) for key in graph.get_all_asset_keys() if key != context.asset_key]
    return pl.DataFrame(rows, schema=TABLE_STATUS, orient="row").sort("table")


def _row(context: dg.AssetExecutionContext, warehouse: Warehouse, key: dg.AssetKey) -> tuple[object, ...]:
    contract = contract_for(key.path)
    rows = warehouse.row_count(contract)
    newest = None
    if rows and "session" in contract.polars_schema():
        newest = warehouse.scan(contract).select(pl.col("session").max()).collect().item()
    outcomes = [
        record.event.get_dagster_event().asset_check_evaluation_data.passed
        for check in context.job_def.asset_layer.asset_graph.get_check_keys_for_assets({key})
        if (record := context.instance.get_latest_asset_check_evaluation_record(check)) and record.event
    ]
    quarantined = warehouse.read_quarantine(contract)["row_key"].n_unique()
    return ("/".join(key.path), rows, newest, outcomes.count(True), outcomes.count(False), quarantined)
