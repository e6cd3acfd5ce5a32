"""Imports point downward only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint_imports(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_import_points_upward() -> None:
    result = lint_imports()
    assert result.returncode == 0, result.stdout


def test_an_import_that_points_upward_is_caught(tmp_path: Path) -> None:
    upward = tmp_path / "upward.toml"
    upward.write_text(
        """
[tool.importlinter]
root_package = "bentleybot_assets"

[[tool.importlinter.contracts]]
name = "the layers upside down"
type = "layers"
layers = ["bentleybot_assets.contracts", "bentleybot_assets.core"]
"""
    )
    result = lint_imports("--config", str(upward))
    assert result.returncode != 0
    assert "bentleybot_assets.core" in result.stdout
