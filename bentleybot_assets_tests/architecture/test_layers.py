"""Imports point downward only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in ``project`` by the rules of its own pyproject.toml."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_import_points_upward() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, to plant faults in."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bentleybot_assets", tmp_path / "bentleybot_assets", ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("importer", "imported", "rule"),
    [
        ("core.labels", "wiring.previews", "Imports point downward"),
        ("wiring.previews", "defs.models.labels", "Imports point downward"),
        ("defs.models.labels", "defs.features.matrix", "Groups of assets meet in asset keys, not in imports"),
        ("connectors.schema", "core.labels", "Connectors know the contracts and nothing else of ours"),
        ("ledger.tables", "settings", "Settings are read at the top alone"),
        ("settings", "contracts.sessions", "Settings are a leaf"),
    ],
)
def test_a_planted_import_is_caught_and_named(copy: Path, importer: str, imported: str, rule: str) -> None:
    with (copy / "bentleybot_assets" / f"{importer.replace('.', '/')}.py").open("a") as module:
        module.write(f"\nimport bentleybot_assets.{imported}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert f"{rule} BROKEN" in " ".join(result.stdout.split())
    assert f"bentleybot_assets.{importer} -> bentleybot_assets.{imported}" in " ".join(result.stdout.split())


def test_a_framework_in_the_arithmetic_is_caught_and_named(copy: Path) -> None:
    with (copy / "bentleybot_assets" / "core" / "labels.py").open("a") as module:
        module.write("\nimport dagster\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "bentleybot_assets.core.labels -> dagster" in result.stdout
