"""The code location as Dagster's own tools see it, in a checkout and from a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import PROJECT, Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The checkout itself (`dg` looks for the package beside pyproject.toml), its state elsewhere."""
    state = tmp_path_factory.mktemp("location")
    (state / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Desk(PROJECT, {"DAGSTER_HOME": str(state), "BENTLEYBOT_HOME": str(state), "HOME": str(state)})


def test_dg_checks_the_definitions(desk: Desk) -> None:
    desk.run("dg", "check", "defs")


def test_dg_lists_every_asset(desk: Desk) -> None:
    printed = desk.run("dg", "list", "defs", "--json").stdout
    for key in EXPECTED:
        assert f'"{key}"' in printed


def test_dagster_validates_the_definitions(desk: Desk) -> None:
    desk.run("dagster", "definitions", "validate")


def test_a_wheel_loads_in_an_empty_folder(tmp_path: Path) -> None:
    target, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "--extract", str(wheel), str(target)], check=True)
    probe = (
        "import bentleybot_assets.definitions as location, bentleybot_assets;"
        "keys = location.defs.resolve_asset_graph().get_all_asset_keys();"
        "print(bentleybot_assets.__file__);"
        "print(len(keys), location.defs.resolve_job_def('reports_daily_job').name)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(empty), "PYTHONPATH": str(target)}
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=empty, env=environment, capture_output=True, text=True, check=True
    )
    where, counted = result.stdout.splitlines()
    assert Path(where).is_relative_to(target)
    assert counted == f"{len(EXPECTED)} reports_daily_job"
