"""The files in the root that have to agree with each other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DAGSTER = yaml.safe_load((ROOT / "dagster.yaml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")


def locked(name: str) -> dict[str, Requirement]:
    """What a lock file pins on some system, by canonical name."""
    lines = re.findall(r"^([a-z0-9].*?) \\$", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(pinned.name): pinned for pinned in map(Requirement, lines)}


def unmet(wanted: list[str], pins: dict[str, Requirement]) -> list[str]:
    """The requirements that no pin satisfies on this system."""

    def is_met(requirement: Requirement) -> bool:
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or (pin.marker is not None and not pin.marker.evaluate()):
            return False
        return str(pin.specifier).removeprefix("==") in requirement.specifier

    return [text for text in wanted if not is_met(Requirement(text))]


def test_both_ways_into_dagster_name_the_location_alike() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    (module,) = (entry["python_module"] for entry in workspace["load_from"])
    assert module["location_name"] == PROJECT["tool"]["dg"]["project"]["code_location_name"]
    assert module["module_name"] == "bentleybot_assets.definitions"


@pytest.mark.parametrize("storage", ["local_artifact_storage", "compute_logs"])
def test_all_of_dagsters_records_stay_in_one_folder(storage: str) -> None:
    assert DAGSTER["storage"]["custom"]["config"]["base_dir"] == ".bentleybot/dagster"
    assert DAGSTER[storage]["config"]["base_dir"].startswith(".bentleybot/dagster/")


def test_dagster_reports_nothing_to_anyone_and_keeps_nothing_in_the_users_home() -> None:
    assert DAGSTER["telemetry"] == {"enabled": False}
    assert DAGSTER["nux"] == {"enabled": False}
    assert "\nexport DAGSTER_DISABLE_TELEMETRY := 1\n" in (ROOT / "Makefile").read_text()


def test_the_locks_satisfy_pyproject() -> None:
    core, added = (locked(name) for name in LOCKS)
    project = PROJECT["project"]
    assert unmet(project["dependencies"] + PROJECT["dependency-groups"]["setup"], core) == []
    extras = [wanted for extra in project["optional-dependencies"].values() for wanted in extra]
    assert unmet(extras, core | added) == []


PACKAGE, EXTRAS = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]


def undeclared(folder: Path, declared: list[str]) -> set[str]:
    """What the modules in a folder import from outside, but no requirement brings."""
    names = {canonicalize_name(Requirement(wanted).name) for wanted in declared}
    distributions = packages_distributions()
    own = {"bentleybot_assets", "bentleybot_assets_tests", "benchmarks", *sys.stdlib_module_names}
    imported = {
        name.partition(".")[0]
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_by(node)
    }
    return {
        name
        for name in imported - own
        if not names & {canonicalize_name(distribution) for distribution in distributions.get(name, [])}
    }


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        ("bentleybot_assets", PACKAGE + EXTRAS["production"]),
        ("bentleybot_assets_tests", PACKAGE + EXTRAS["production"] + EXTRAS["test"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, declared: list[str]) -> None:
    assert undeclared(ROOT / folder, declared) == set()


def test_an_import_that_nobody_declared_is_found(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import json\nimport polars.exceptions\ndef f():\n    from requests import get\n"
    )
    assert undeclared(tmp_path, ["polars>=2"]) == {"requests"}
    assert undeclared(tmp_path, ["polars", "requests"]) == set()


def test_every_dependency_has_its_reason() -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs/adr/0002-dependencies.md").read_text(), flags=re.MULTILINE)
    explained = {name for row in rows for name in re.split(r"[ ,]+", row)}
    wanted = [*PACKAGE, *chain(*EXTRAS.values()), *PROJECT["dependency-groups"]["setup"]]
    assert {Requirement(text).name for text in wanted} - explained == set()


@pytest.mark.parametrize("wanted", ["dagster>=99", "no-such-package", "pywin32"])
def test_a_requirement_that_is_not_pinned_for_this_system_is_found(wanted: str) -> None:
    assert unmet([wanted, "dagster"], locked(LOCKS[0])) == [wanted]


def test_what_both_locks_pin_they_pin_alike() -> None:
    core, added = (locked(name) for name in LOCKS)
    both = core.keys() & added.keys()
    assert {name: core[name].specifier for name in both} == {name: added[name].specifier for name in both}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_index_address(name: str) -> None:
    text = (ROOT / name).read_text()
    blocks = re.split(r"\n(?! )", text.strip())
    assert len(blocks) == len(locked(name))
    assert all(re.search(r" \\\n    --hash=sha256:[0-9a-f]{64}", block) for block in blocks)
    assert "://" not in text
