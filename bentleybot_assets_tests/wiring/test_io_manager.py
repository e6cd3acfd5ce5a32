"""Frames come from the warehouse as an input's annotation and metadata ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource, WarehouseResource
from bentleybot_assets.warehouse.base import MissingTableError
from bentleybot_assets.wiring.io_manager import COLUMNS, MAY_BE_MISSING, WarehouseIOManager
from bentleybot_assets_tests.scenario import clean_bars

KEY = ["market", "daily_bars"]


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    return ParquetWarehouseResource(folder=str(tmp_path))


def loaded(warehouse: WarehouseResource, kind: type, **metadata: Any) -> Any:
    """What an asset is given that takes ``market/daily_bars``, annotated ``kind``, with this input metadata."""
    seen = []

    def reader(bars: Any) -> None:
        seen.append(bars)

    reader.__annotations__ = {"bars": kind}
    asset = dg.asset(ins={"bars": dg.AssetIn(key=KEY, metadata=metadata)})(reader)
    bars = dg.AssetSpec(KEY).with_io_manager_key("warehouse_io")
    dg.materialize(
        [asset, bars], selection=[asset], resources={"warehouse_io": WarehouseIOManager(warehouse=warehouse)}
    )
    return seen[0]


def test_each_annotation_gets_its_kind_of_frame(warehouse: WarehouseResource) -> None:
    bars = clean_bars()
    warehouse.open().publish(DailyBars, bars)
    assert loaded(warehouse, pl.DataFrame).equals(bars)
    assert loaded(warehouse, pl.LazyFrame).collect().sort("symbol", "session").equals(bars)
    pd.testing.assert_frame_equal(loaded(warehouse, pd.DataFrame), bars.to_pandas())


def test_another_annotation_is_refused_by_name(warehouse: WarehouseResource) -> None:
    warehouse.open().publish(DailyBars, clean_bars())
    with pytest.raises(TypeError, match=r"Input bars of reader is annotated .*dict.*Annotate it pl.DataFrame"):
        loaded(warehouse, dict)


@pytest.mark.parametrize("columns", [["session", "close"], ["symbol", "session"], ["close"]])
def test_an_input_that_asks_for_columns_gets_those_in_the_tables_row_order(
    warehouse: WarehouseResource, columns: list[str]
) -> None:
    bars = clean_bars()
    warehouse.open().publish(DailyBars, bars)
    assert loaded(warehouse, pl.DataFrame, **{COLUMNS: columns}).equals(bars.select(columns))


def test_only_an_input_that_may_be_missing_is_empty_where_nothing_was_published(warehouse: WarehouseResource) -> None:
    with pytest.raises(MissingTableError, match="market/daily_bars was never published"):
        loaded(warehouse, pl.DataFrame)
    assert loaded(warehouse, pl.DataFrame, **{MAY_BE_MISSING: True}).equals(DailyBars.empty_frame())
