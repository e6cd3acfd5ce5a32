"""Importing the code location is cheap and needs nothing from outside."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import bentleybot_assets

FORBIDDEN = (
    "mlflow",
    "dagster_mlflow",
    "sklearn",
    "skfolio",
    "yfinance",
    "airbyte_cdk",
    "exchange_calendars",
    "matplotlib",
    "duckdb",
    "bokeh_sampledata",
    "sqlalchemy",
)

PROBE = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"import opened a connection: {args}")

socket.socket.connect = refuse
import bentleybot_assets.definitions
print("\\n".join(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def test_importing_the_code_location_needs_no_network_no_secret_and_no_heavy_library(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(project())}
    result = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert set(FORBIDDEN) & set(result.stdout.split()) == set()
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_definitions_module_stays_an_overview() -> None:
    assert len((package() / "definitions.py").read_text().splitlines()) < 60


def test_only_settings_reads_the_environment() -> None:
    # To write a variable that a library looks at is another thing.
    writes = r"\[\"[A-Z_]+\"\] = |\.setdefault\(\"[A-Z_]+\", \"\w+\"\)  #"
    readers = [
        str(path.relative_to(package()))
        for path in package().rglob("*.py")
        if re.search(rf"os\.environ(?!{writes})|getenv|dotenv", path.read_text())
    ]
    assert readers == ["settings.py"]


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for path in package().rglob("*.py") if not path.read_text().startswith('"""')]
    assert silent == []


def test_whoever_catches_every_error_raises_it_again() -> None:
    swallowing = [
        f"{path.name}:{handler.lineno}"
        for path in package().rglob("*.py")
        for handler in ast.walk(ast.parse(path.read_text()))
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"})
        and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
    ]
    assert swallowing == []


def package() -> Path:
    return Path(bentleybot_assets.__file__).parent


def project() -> Path:
    return package().parent
