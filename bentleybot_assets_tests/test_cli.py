"""What the command says and does around a run; the run itself is in ``integration``."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import pytest

from bentleybot_assets.cli import _close_abandoned_runs
from bentleybot_assets.resources.processes import name_of_this_process

NAME_ITSELF = """
import json
from bentleybot_assets.resources.processes import name_of_this_process

print(json.dumps(name_of_this_process()))
"""


@dg.job
def a_job() -> None:
    """Nothing to do."""


@pytest.fixture(scope="module")
def dead() -> dict[str, str]:
    """The name of a process that is no more."""
    told = subprocess.run([sys.executable, "-c", NAME_ITSELF], capture_output=True, text=True, check=True).stdout
    return json.loads(told)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param({}, "FAILURE", id="its process is gone"),
        pytest.param({"host": "elsewhere"}, "STARTED", id="its process is on another machine"),
        pytest.param(name_of_this_process(), "STARTED", id="its process is at work"),
        pytest.param({"process_started": "yesterday", "pid": name_of_this_process()["pid"]}, "FAILURE", id="reused id"),
    ],
)
def test_a_run_left_open_is_closed_if_its_process_is_gone(dead, changed, status) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED, tags=dead | changed)
        _close_abandoned_runs(instance)
        assert instance.get_run_by_id(run.run_id).status.value == status


def test_a_run_that_names_no_process_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED)
        _close_abandoned_runs(instance)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED
