"""An asset key is a path, and every name follows the rules."""

from __future__ import annotations

import ast
from pathlib import Path

import dagster as dg
import pytest

import bentleybot_assets
from bentleybot_assets.contracts._base import Contract, contract_for
from bentleybot_assets.definitions import build_defs
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.architecture.naming import (
    asset_faults,
    check_faults,
    column_faults,
    job_faults,
    key_faults,
    schedule_faults,
    sensor_faults,
)

PACKAGE = Path(bentleybot_assets.__file__).parent
TESTS = Path(__file__).parents[1]
DEFS = build_defs(Settings.load())
GRAPH = DEFS.resolve_asset_graph()
SPECS = {spec.key: spec for spec in DEFS.resolve_all_asset_specs()}
KEYS = sorted(SPECS, key=str)
IDS = ["/".join(key.path) for key in KEYS]

EXPECTED = {
    "raw/market/daily_bars",
    "raw/market/corporate_actions",
    "raw/market/hourly_bars",
    "raw/market/fx_rates",
    "raw/market/risk_free_rates",
    "raw/portfolio/accounts",
    "raw/portfolio/balances",
    "raw/portfolio/positions",
    "raw/portfolio/transactions",
    "raw/news/articles",
    "raw/news/social_posts",
    "market/instruments",
    "market/daily_bars",
    "features/technical",
    "features/matrix",
    "models/labels",
    "models/out_of_sample",
    "models/backtest",
    "models/return_forecaster",
    "signals/forecasts",
    "signals/trading_signals",
    "trading/target_weights",
    "trading/orders",
    "reports/daily_brief",
}


def file_of(key: dg.AssetKey) -> Path:
    """Where the key says its asset is defined; a connection's streams share one file."""
    parts = key.path[:2] if key.path[0] == "raw" else key.path
    return PACKAGE / "defs" / Path(*parts).with_suffix(".py")


def test_the_graph_has_exactly_the_expected_assets() -> None:
    assert set(IDS) == EXPECTED


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_is_defined_in_the_file_its_key_names(key: dg.AssetKey) -> None:
    function = key.path[1] if key.path[0] == "raw" else key.path[-1]
    functions = [node.name for node in ast.parse(file_of(key).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert function in functions


def test_every_file_of_a_group_is_an_asset_or_its_automation() -> None:
    expected = {file_of(key) for key in KEYS}
    found = {path for path in (PACKAGE / "defs").rglob("*.py") if path.name not in {"__init__.py", "automation.py"}}
    assert found == expected


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_has_a_contract_with_grain(key: dg.AssetKey) -> None:
    contract = contract_for(key.path)
    assert issubclass(contract, Contract)
    assert contract.asset_key() == tuple(key.path)
    assert contract.rules().grain
    assert set(contract.rules().grain) <= set(contract.to_schema().columns)


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_columns_are_named_by_rule_and_documented(key: dg.AssetKey) -> None:
    assert list(column_faults(contract_for(key.path).to_schema().columns)) == []


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_has_its_key_group_owner_kinds_and_description(key: dg.AssetKey) -> None:
    assert list(key_faults(key)) == []
    assert list(asset_faults(SPECS[key])) == []
    assert "dagster/column_schema" in SPECS[key].metadata


def test_in_production_an_asset_says_that_it_is_kept_on_mysql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_PROFILE", "production")
    for name in ("HOST", "USER", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(f"MYSQL_{name}", "anything")
    said = {spec.key: spec.kinds for spec in build_defs(Settings.load()).resolve_all_asset_specs()}
    assert said == {key: {"mysql" if kind == "parquet" else kind for kind in spec.kinds} for key, spec in SPECS.items()}
    assert [key for key, kinds in said.items() if "mysql" not in kinds] == [
        dg.AssetKey(["models", "return_forecaster"])
    ]


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_refers_to_its_own_source(key: dg.AssetKey) -> None:
    (reference,) = SPECS[key].metadata["dagster/code_references"].code_references
    assert Path(reference.file_path) == file_of(key)


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_has_its_contract_checks_and_one_of_its_own(key: dg.AssetKey) -> None:
    checks = {check.name: GRAPH.get_check_spec(check) for check in GRAPH.get_check_keys_for_assets({key})}
    assert checks["contract"].blocking
    assert not checks["no_rows_quarantined"].blocking
    own = set(checks) - {"contract", "no_rows_quarantined"}
    assert own
    assert [fault for name in own for fault in check_faults(name, checks[name].description)] == []


def test_only_decisions_are_partitioned_and_all_by_the_same_sessions() -> None:
    partitioned = {key: spec.partitions_def for key, spec in SPECS.items() if spec.partitions_def}
    assert {key.path[0] for key in partitioned} == {"signals", "trading", "reports"}
    assert all(key in partitioned for key in KEYS if key.path[0] in {"signals", "trading"})
    assert len(set(partitioned.values())) == 1


def test_jobs_schedules_and_sensors_are_named_by_rule_and_described() -> None:
    jobs = {job.name: job.description for job in DEFS.resolve_all_job_defs() if not job.name.startswith("__")}
    schedules, sensors = list(DEFS.schedules or []), list(DEFS.sensors or [])
    assert jobs
    assert schedules
    assert sensors
    scheduled = {schedule.job_name for schedule in schedules}
    faults = [
        *(f for name, text in jobs.items() for f in job_faults(name, text, scheduled=name in scheduled, tables=IDS)),
        *(fault for schedule in schedules for fault in schedule_faults(schedule)),
        *(fault for sensor in sensors for fault in sensor_faults(sensor.name, sensor.description)),
    ]
    assert faults == []


ROOMS = {"backup", "contracts", "core", "connectors", "defs", "ledger", "mysql", "resources", "warehouse", "wiring"}
MIRROR_NOTHING = {
    "ledger/test_crashes_and_races.py",  # of all of the ledger: processes that are killed and that race
    "ledger/test_migrations.py",  # of the package ledger/migrations
    "warehouse/test_mysql.py",  # of the package warehouse/mysql
    "warehouse/test_mysql_errors.py",  # of the same: what a server refuses
    "warehouse/test_warehouses.py",  # of every warehouse
}


def test_every_room_of_the_package_is_a_room_of_the_tests() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == ROOMS
    assert {room for room in ROOMS if not (TESTS / room / "__init__.py").exists()} == set()


def test_every_test_module_mirrors_a_module_of_the_package() -> None:
    of_assets = {mirror_of(key) for key in KEYS}
    unmatched = {
        str(path.relative_to(TESTS))
        for room in ROOMS
        for path in (TESTS / room).rglob("test_*.py")
        if path not in of_assets and not mirrored(path).exists()
    }
    assert unmatched == MIRROR_NOTHING


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_asset_has_a_test_module_where_its_key_says(key: dg.AssetKey) -> None:
    functions = [
        node.name
        for node in ast.parse(mirror_of(key).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert functions


def mirror_of(key: dg.AssetKey) -> Path:
    *folders, asset = key.path
    return TESTS / Path("defs", *folders, f"test_{asset}.py")


def mirrored(test_module: Path) -> Path:
    """``core/test_bars.py`` -> ``bentleybot_assets/core/bars.py``."""
    return PACKAGE / test_module.relative_to(TESTS).with_name(test_module.name.removeprefix("test_"))


def test_contracts_keep_to_the_package_layout() -> None:
    contracts = {
        (*path.relative_to(PACKAGE / "contracts").with_suffix("").parts, node.name)
        for path in (PACKAGE / "contracts").rglob("*.py")
        if not path.name.startswith("_")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in {"Contract", "RawContract"} for base in node.bases)
    }
    declared = {contract_for(key.path) for key in KEYS}
    assert len(contracts) == len(declared)
