"""A job of two training assets, one that succeeds and one whose frame is condemned; importable by step processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.models import OutOfSample, ReturnForecaster
from bentleybot_assets.resources.mlflow import Mlflow
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource
from bentleybot_assets.wiring.io_manager import WarehouseIOManager
from bentleybot_assets.wiring.tables import table_asset

FOLDER = "TRAINING_TEST_FOLDER"
KINDS = {"scikitlearn", "mlflow"}


@table_asset(OutOfSample, kinds=KINDS)
def good(context: dg.AssetExecutionContext, mlflow: Mlflow) -> Iterator[pl.DataFrame]:
    """Trains, and its frame is published."""
    with mlflow.training_run(context) as run:
        run.log_metrics({"rank_ic": 0.02})
        yield pl.DataFrame(
            [{"algorithm": "ridge", "symbol": "A", "session": date(2022, 12, 28), "score": 0.5}],
            schema=OutOfSample.polars_schema(),
        )


@table_asset(ReturnForecaster, kinds=KINDS)
def condemned(context: dg.AssetExecutionContext, mlflow: Mlflow) -> Iterator[pl.DataFrame]:
    """Trains, but returns no row."""
    with mlflow.training_run(context) as run:
        run.log_metrics({"rank_ic": 0.02})
        yield ReturnForecaster.empty_frame()


def mlflow_at(folder: Path) -> Mlflow:
    """The MLflow of a test's folder."""
    return Mlflow(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", artifact_root=str(folder / "mlflow"))


def job(executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """Both assets as one job, in the folder that the environment names."""
    folder = Path(os.environ[FOLDER])
    warehouse = ParquetWarehouseResource(folder=str(folder / "warehouse"))
    definitions = dg.Definitions(
        assets=[good, condemned],
        resources={
            "warehouse": warehouse,
            "warehouse_io": WarehouseIOManager(warehouse=warehouse),
            "mlflow": mlflow_at(folder),
        },
        jobs=[dg.define_asset_job("training", selection="*", executor_def=executor)],
    )
    return definitions.resolve_job_def("training")


def job_in_process() -> dg.JobDefinition:
    """All steps in this process."""
    return job(dg.in_process_executor)


def job_in_processes() -> dg.JobDefinition:
    """A process per step, both at once."""
    return job(dg.multiprocess_executor.configured({"max_concurrent": 2}))
