"""One MLflow run per training asset, FINISHED only if the asset succeeded, however steps are executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets_tests.integration import training

TRIALS = 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(training.FOLDER, str(tmp_path))
    return tmp_path


def outcomes(folder: Path, job: Callable[[], dg.JobDefinition], trials: int) -> Counter[tuple[str, str]]:
    """(asset, status) of every MLflow run after so many trials."""
    import mlflow

    (folder / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        for _ in range(trials):
            assert not dg.execute_job(dg.reconstructable(job), instance=instance).success
    client = mlflow.MlflowClient(tracking_uri=training.mlflow_at(folder).tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return Counter((run.info.run_name, run.info.status) for run in client.search_runs(experiments, max_results=1000))


def expected(trials: int) -> Counter[tuple[str, str]]:
    return Counter({("models/out_of_sample", "FINISHED"): trials, ("models/return_forecaster", "FAILED"): trials})


def test_ten_trials_in_process_give_one_run_per_asset_that_ends_as_the_asset_did(folder: Path) -> None:
    assert outcomes(folder, training.job_in_process, TRIALS) == expected(TRIALS)


@pytest.mark.parametrize("trials", [1, pytest.param(TRIALS, marks=pytest.mark.sweep)])
def test_trials_with_a_process_per_step_give_one_run_per_asset_that_ends_as_the_asset_did(
    folder: Path, trials: int
) -> None:
    assert outcomes(folder, training.job_in_processes, trials) == expected(trials)
