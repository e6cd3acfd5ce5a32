"""Write, audit, publish: what a table asset does with good, doubtful and bad frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.models import OutOfSample
from bentleybot_assets.contracts.signals import Forecasts
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource, WarehouseResource
from bentleybot_assets.wiring.io_manager import MAY_BE_MISSING, WarehouseIOManager
from bentleybot_assets.wiring.partitions import sessions, sessions_of
from bentleybot_assets.wiring.tables import Finding, table_asset
from bentleybot_assets_tests.core.test_audit import GOOD, bar, bars

KINDS = {"polars", "parquet"}
DAY = date(2022, 12, 28)
SCORES = pl.DataFrame(
    [{"algorithm": "ridge", "symbol": "A", "session": DAY, "score": 0.5}], schema=OutOfSample.polars_schema()
)


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    return ParquetWarehouseResource(folder=str(tmp_path))


def materialise(
    warehouse: WarehouseResource, *assets: dg.AssetsDefinition, partition_key: str | None = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(assets),
        resources={"warehouse": warehouse, "warehouse_io": WarehouseIOManager(warehouse=warehouse)},
        partition_key=partition_key,
        raise_on_error=False,
    )


def table_of(frame: pl.DataFrame, contract: Any = DailyBars, **options: Any) -> dg.AssetsDefinition:
    @table_asset(contract, kinds=KINDS, **options)
    def compute() -> pl.DataFrame:
        return frame

    return compute


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {check.check_name: (check.passed, check.severity.value) for check in result.get_asset_check_evaluations()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)


def test_a_good_frame_is_published_with_both_checks_passed(warehouse: WarehouseResource) -> None:
    result = materialise(warehouse, table_of(GOOD))

    assert result.success
    assert evaluations(result) == {"contract": (True, "ERROR"), "no_rows_quarantined": (True, "WARN")}
    counted = [{k: v.value for k, v in check.metadata.items()} for check in result.get_asset_check_evaluations()]
    assert counted == [{"checked_rows": GOOD.height}, {"quarantined_rows": 0}]
    assert warehouse.open().read(DailyBars).equals(GOOD)
    (event,) = result.asset_materializations_for_node("market__daily_bars")
    assert event.metadata["dagster/row_count"].value == GOOD.height


@pytest.mark.parametrize(("told", "shown"), [("sample", "sample"), ("yahoo", "yahoo"), (None, "unknown")])
def test_a_published_table_says_what_kind_of_data_it_is_and_where_it_lies(
    tmp_path: Path, told: str | None, shown: str
) -> None:
    warehouse = ParquetWarehouseResource(folder=str(tmp_path), data_mode=told)
    (event,) = materialise(warehouse, table_of(GOOD)).asset_materializations_for_node("market__daily_bars")
    assert event.metadata["data_mode"].value == shown
    assert event.metadata["location"].value == f"{tmp_path}/market/daily_bars"
    assert (tmp_path / "market" / "daily_bars" / "2020.parquet").exists()
    assert event.metadata["sql"].value == '`bentleybot sql "SELECT * FROM market__daily_bars LIMIT 10"`'


def test_a_row_fault_is_quarantined_and_warned_about(warehouse: WarehouseResource) -> None:
    result = materialise(warehouse, table_of(pl.concat([GOOD, bars(bar(symbol="BAD", close=float("nan")))])))

    assert result.success
    assert evaluations(result) == {"contract": (True, "ERROR"), "no_rows_quarantined": (False, "WARN")}
    assert warehouse.open().read(DailyBars).equals(GOOD)
    quarantined = warehouse.open().read_quarantine(DailyBars)
    assert ("close", "NaN", "is a finite number") in quarantined.select("column", "value", "rule").rows()
    (warning,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert "market__daily_bars: close = NaN at symbol=BAD, session=2020-01-06 from a_source" in warning.description


@pytest.mark.parametrize(
    "faulty",
    [
        pytest.param(GOOD.drop("low"), id="a missing column"),
        pytest.param(GOOD.with_columns(pl.col("close").cast(pl.String)), id="a retyped column"),
        pytest.param(pl.concat([GOOD, bars(bar(symbol="G0", close=11.5))]), id="conflicting rows for one key"),
        pytest.param(GOOD.clear(), id="an empty table"),
    ],
)
def test_a_table_fault_leaves_the_table_as_it_was_and_stops_what_follows(
    warehouse: WarehouseResource, faulty: pl.DataFrame
) -> None:
    materialise(warehouse, table_of(GOOD))
    before = files(warehouse)

    @dg.asset(ins={"daily_bars": dg.AssetIn(key=["market", "daily_bars"])})
    def downstream(daily_bars: pl.DataFrame) -> None:
        raise AssertionError("must not run")

    result = materialise(warehouse, table_of(faulty), downstream)

    assert not result.success
    assert evaluations(result) == {"contract": (False, "ERROR")}
    assert files(warehouse) == before
    assert failure_of(result).startswith("market/daily_bars was not published; its last version stands.")
    assert {event.step_key for event in result.all_node_events} == {"market__daily_bars"}


def files(warehouse: WarehouseResource) -> dict[str, bytes]:
    root = Path(warehouse.folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def no_penny_stocks(frame: pl.DataFrame) -> Finding:
    """No instrument costs less than a dollar."""
    return Finding(bool((frame["mark_price"] >= 1).all()), {"cheapest": frame["mark_price"].min()})


CHEAP = GOOD.with_columns(mark_price=pl.lit(0.5))


def test_a_blocking_domain_check_keeps_the_frame_out(warehouse: WarehouseResource) -> None:
    result = materialise(warehouse, table_of(CHEAP, checks=[no_penny_stocks]))

    assert not result.success
    assert evaluations(result)["no_penny_stocks"] == (False, "ERROR")
    assert warehouse.open().row_count(DailyBars) is None
    assert "no_penny_stocks" in failure_of(result)


def test_a_domain_warning_is_reported_and_published(warehouse: WarehouseResource) -> None:
    result = materialise(warehouse, table_of(CHEAP, warnings=[no_penny_stocks]))

    assert result.success
    assert evaluations(result)["no_penny_stocks"] == (False, "WARN")
    assert warehouse.open().row_count(DailyBars) == CHEAP.height


def test_a_domain_check_describes_itself_in_its_docstring() -> None:
    (spec,) = [spec for spec in table_of(GOOD, checks=[no_penny_stocks]).check_specs if spec.name == "no_penny_stocks"]
    assert spec.blocking
    assert spec.description == "No instrument costs less than a dollar."


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [(SCORES, "finished"), (OutOfSample.empty_frame(), "NotPublishedError")],
    ids=["good", "condemned"],
)
def test_a_computation_that_yields_learns_whether_its_frame_was_published(
    warehouse: WarehouseResource, frame: pl.DataFrame, outcome: str
) -> None:
    ends: list[str] = []

    @table_asset(OutOfSample, kinds=KINDS)
    def compute() -> Iterator[pl.DataFrame]:
        with recorded_end(ends):
            yield frame

    materialise(warehouse, compute)
    assert ends == [outcome]


def test_a_computation_that_yields_learns_that_storing_failed(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[str] = []

    def full_disk(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("bentleybot_assets.warehouse.parquet.ParquetWarehouse.publish", full_disk)

    @table_asset(OutOfSample, kinds=KINDS)
    def compute() -> Iterator[pl.DataFrame]:
        with recorded_end(ends):
            yield SCORES

    assert not materialise(warehouse, compute).success
    assert ends == ["GeneratorExit"]


def test_a_table_that_could_not_be_stored_keeps_its_own_quarantine(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise(warehouse, table_of(GOOD))

    def full_disk(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("bentleybot_assets.warehouse.parquet.ParquetWarehouse.publish", full_disk)
    assert not materialise(warehouse, table_of(pl.concat([GOOD, bars(bar(symbol="BAD", close=float("nan")))]))).success
    assert warehouse.open().read_quarantine(DailyBars).is_empty()


@contextmanager
def recorded_end(ends: list[str]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        ends.append(type(error).__name__)
        raise
    ends.append("finished")


def forecasts_of(session: date) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "model_version": "0" * 16,
                "symbol": "A",
                "session": session,
                "algorithm": "ridge",
                "score": 0.5,
                "percentile": 1.0,
                "is_champion": True,
            }
        ],
        schema=Forecasts.polars_schema(),
    )


def test_a_session_is_a_slice_of_its_table(warehouse: WarehouseResource) -> None:
    @table_asset(Forecasts, kinds=KINDS, partitions_def=sessions)
    def compute(context: dg.AssetExecutionContext) -> pl.DataFrame:
        days = sessions_of(context)
        assert days is not None
        return pl.concat([forecasts_of(day) for day in days])

    materialise(warehouse, compute, partition_key="2022-12-27")
    materialise(warehouse, compute, partition_key="2022-12-28")
    assert warehouse.open().read(Forecasts)["session"].to_list() == [date(2022, 12, 27), DAY]


def test_a_run_of_one_session_may_not_write_another(warehouse: WarehouseResource) -> None:
    stray = table_of(forecasts_of(date(2022, 12, 27)), Forecasts, partitions_def=sessions)
    result = materialise(warehouse, stray, partition_key="2022-12-28")

    assert not result.success
    assert "the run of 2022-12-28 computed rows of 2022-12-27" in failure_of(result)
    assert warehouse.open().row_count(Forecasts) is None


@pytest.mark.parametrize("annotation", [pl.DataFrame, pl.LazyFrame, pd.DataFrame])
def test_an_input_comes_as_its_annotation_asks(warehouse: WarehouseResource, annotation: type) -> None:
    received: list[type] = []

    def compute(scores: Any) -> pl.DataFrame:
        received.append(type(scores))
        return GOOD

    compute.__annotations__["scores"] = annotation
    reader = table_asset(DailyBars, kinds=KINDS, ins={"scores": dg.AssetIn(key=["models", "out_of_sample"])})(compute)
    assert materialise(warehouse, table_of(SCORES, OutOfSample), reader).success
    assert received == [annotation]


def test_an_input_that_was_never_published_is_an_error_that_says_what_to_do(warehouse: WarehouseResource) -> None:
    materialise(warehouse, table_of(SCORES, OutOfSample))

    @table_asset(DailyBars, kinds=KINDS, ins={"weights": dg.AssetIn(key=["trading", "target_weights"])})
    def compute(weights: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("must not run")

    upstream = table_of(TargetWeights.empty_frame(), TargetWeights)
    result = dg.materialize(
        [upstream, compute],
        selection=[dg.AssetKey(["market", "daily_bars"])],
        resources={"warehouse": warehouse, "warehouse_io": WarehouseIOManager(warehouse=warehouse)},
        raise_on_error=False,
    )
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    assert "trading/target_weights was never published" in event.step_failure_data.error.cause.message


def test_an_input_may_be_declared_to_be_missing(warehouse: WarehouseResource) -> None:
    heights: list[int] = []

    @table_asset(
        DailyBars,
        kinds=KINDS,
        ins={"weights": dg.AssetIn(key=["trading", "target_weights"], metadata={MAY_BE_MISSING: True})},
    )
    def compute(weights: pl.DataFrame) -> pl.DataFrame:
        heights.append(weights.height)
        return GOOD

    dg.materialize(
        [table_of(TargetWeights.empty_frame(), TargetWeights), compute],
        selection=[dg.AssetKey(["market", "daily_bars"])],
        resources={"warehouse": warehouse, "warehouse_io": WarehouseIOManager(warehouse=warehouse)},
    )
    assert heights == [0]


def test_the_columns_tab_derives_from_the_contract() -> None:
    metadata = table_of(GOOD).metadata_by_key[dg.AssetKey(["market", "daily_bars"])]
    columns = {column.name: column for column in metadata["dagster/column_schema"].columns}

    assert metadata["dagster/table_name"] == "market__daily_bars"
    assert list(columns) == list(DailyBars.polars_schema())
    assert columns["total_return"].type == "float, fraction"
    assert columns["total_return"].constraints.nullable
    assert columns["event_at"].type == "timestamp (UTC)"
    assert columns["high"].description == "Split-adjusted high"
    assert "high_is_at_least_low" in columns["high"].constraints.other


def test_the_code_reference_points_to_the_function_and_not_to_its_wrapper() -> None:
    @table_asset(DailyBars, kinds=KINDS)
    def compute() -> pl.DataFrame:
        return GOOD

    metadata = compute.metadata_by_key[dg.AssetKey(["market", "daily_bars"])]
    (reference,) = metadata["dagster/code_references"].code_references
    assert reference.file_path == __file__
    assert "table_asset" in Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
