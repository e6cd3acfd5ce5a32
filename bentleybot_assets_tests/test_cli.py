"""What the command says and does around a run; the run itself is in ``integration``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets import cli
from bentleybot_assets.cli import _close_abandoned_runs
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.resources.processes import name_of_this_process
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.warehouse.test_parquet import MONDAY, TUESDAY, labels

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


def test_the_prompt_shows_tables_as_they_are_when_asked(home: Path, monkeypatch, capsys) -> None:
    warehouse = ParquetWarehouse(home / "warehouse")
    query = "SELECT 'rows: ' || count(*) AS n FROM models__labels"

    def typed() -> Iterator[str]:
        warehouse.publish(Labels, labels(MONDAY))
        yield query
        warehouse.publish(Labels, labels(TUESDAY))
        warehouse.publish(Labels, labels(MONDAY, TUESDAY))
        yield query
        yield ""

    lines = typed()
    monkeypatch.setattr(cli.out, "input", lambda _: next(lines))
    cli.sql(query=None)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert ["rows: 2" in shown.out, "rows: 4" in shown.out] == [True, True]
