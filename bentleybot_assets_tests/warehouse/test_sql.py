"""SQL over either warehouse: the same views, the same answers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bentleybot_assets.contracts.models import Labels, OutOfSample
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets.warehouse.sql import ask, open_sql, view_names
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels, quarantined, raw_bars


def rows(warehouse: Warehouse, query: str, connection: duckdb.DuckDBPyConnection | None = None) -> list[Any]:
    answer = ask(connection or open_sql(), warehouse, query)
    assert answer is not None
    return answer.fetchall()


def test_every_table_is_seen(warehouse: Warehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY, date(2021, 1, 4)))
    warehouse.append_delivery("market", {DailyBars: raw_bars("A", 1.5)}, {})
    warehouse.quarantine(Labels, quarantined("2022-01-03"))

    assert rows(warehouse, "SELECT count(*) FROM models__labels") == [(4,)]
    assert rows(warehouse, "SELECT close FROM raw__market__daily_bars") == [(1.5,)]
    assert rows(warehouse, "SELECT count(*) FROM quarantine__models__labels") == [(1,)]
    assert {"models__labels", "raw__market__daily_bars"} <= set(view_names(warehouse))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM models__labels a JOIN models__labels b USING (symbol, session)",
        'SELECT count(*) FROM "models__labels"',
        "SELECT count(*) FROM Models__Labels",
        "WITH l AS (FROM models__labels) SELECT count(*) FROM l",
        "SELECT count(*) FROM models__labels WHERE session = '2022-01-03' AND available_at > '2000-01-01'",
    ],
)
def test_tables_are_found_in_queries_of_any_kind(warehouse: Warehouse, query: str) -> None:
    warehouse.publish(Labels, labels(MONDAY))
    assert rows(warehouse, query) == [(2,)]


def test_values_and_types_are_those_of_the_table(warehouse: Warehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    answer = ask(open_sql(), warehouse, "FROM models__labels ORDER BY symbol, session")
    assert answer is not None
    assert answer.pl().equals(labels(MONDAY, TUESDAY))


def test_each_query_sees_what_is_published_when_it_is_asked(warehouse: Warehouse) -> None:
    connection, query = open_sql(), "SELECT count(*) FROM models__labels"
    warehouse.publish(Labels, labels(MONDAY))
    assert rows(warehouse, query, connection) == [(2,)]
    warehouse.publish(Labels, labels(TUESDAY))
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    warehouse.publish(OutOfSample, OutOfSample.empty_frame())
    assert rows(warehouse, query, connection) == [(4,)]
    assert rows(warehouse, "SELECT count(*) FROM models__out_of_sample", connection) == [(0,)]


def test_a_table_that_was_never_published_is_named(warehouse: Warehouse) -> None:
    with pytest.raises((duckdb.CatalogException, LookupError), match=r"models(__|/)labels"):
        rows(warehouse, "SELECT * FROM models__labels")


def test_sql_cannot_be_injected_through_a_folder_name(tmp_path: Path) -> None:
    warehouse = ParquetWarehouse(tmp_path / "it's; DROP TABLE x")
    warehouse.publish(Labels, labels(MONDAY))
    assert rows(warehouse, "SELECT count(*) FROM models__labels") == [(2,)]
