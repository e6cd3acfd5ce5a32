"""Each rule for names can fail: a planted fault is found and told, and what is right is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from bentleybot_assets.contracts._base import Contract, TableRules, Utc, column
from bentleybot_assets_tests.architecture.naming import (
    asset_faults,
    check_faults,
    column_faults,
    job_faults,
    key_faults,
    schedule_faults,
    sensor_faults,
)

TABLES = ("reports/daily_brief", "models/backtest")
WHY = "What it is for."


def told(faults: Any) -> str:
    return "; ".join(faults)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("market/daily_bars", ""),
        ("raw/market/daily_bars", ""),
        ("prices/daily_bars", "prices is no group"),
        ("market/us/daily_bars", "market/us/daily_bars has 3 parts"),
        ("raw/daily_bars", "raw/daily_bars has 2 parts"),
        ("market/DailyBars", "DailyBars is not snake_case"),
        ("market/daily__bars", "daily__bars is not snake_case"),
    ],
)
def test_a_key_is_a_group_and_a_table(key: str, fault: str) -> None:
    assert fault in told(key_faults(dg.AssetKey(key.split("/"))))
    assert bool(fault) == bool(told(key_faults(dg.AssetKey(key.split("/")))))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, ""),
        ({"kinds": {"scikitlearn", "mlflow"}}, ""),
        ({"group_name": "raw"}, "its group is raw"),
        ({"owners": ["team:trading"]}, "its owners are"),
        ({"owners": ["team:market-data", "team:trading"]}, "its owners are"),
        ({"kinds": {"polars"}}, "its kinds are"),
        ({"kinds": {"polars", "scikitlearn"}}, "its kinds are"),
        ({"kinds": {"pandas", "parquet"}}, "its kinds are"),
        ({"description": "Bars."}, "its description is 'Bars.'"),
        ({"description": None}, "its description is None"),
    ],
)
def test_an_asset_has_its_groups_owner_two_kinds_and_a_description(changed: dict[str, Any], fault: str) -> None:
    sound = {
        "group_name": "market",
        "owners": ["team:market-data"],
        "kinds": {"polars", "parquet"},
        "description": "Closed bars that can be trusted.",
    }
    found = told(asset_faults(dg.AssetSpec(["market", "daily_bars"], **{**sound, **changed})))
    assert fault in found
    assert bool(fault) == bool(found)


@pytest.mark.parametrize(
    ("name", "annotation", "unit", "fault"),
    [
        ("value_usd", float, "USD", ""),
        ("value", float, "USD", "value is in USD, but does not end in _usd"),
        ("value_usd", float, None, "value_usd ends in _usd, but its unit is None"),
        ("value_usd", float, "fraction", "value_usd ends in _usd, but its unit is fraction"),
        ("cost_bps", float, "basis points", ""),
        ("cost", float, "basis points", "does not end in _bps"),
        ("drawdown_pct", float, "percent", ""),
        ("drawdown_pct", float, "fraction", "drawdown_pct ends in _pct, but its unit is fraction"),
        ("drawdown", float, "fraction", ""),
        ("age_days", int, "days", ""),
        ("age", int, "days", "does not end in _days"),
        ("horizon", int, "sessions", "does not end in _sessions"),
        ("close", float, "currency", "close is in the row's currency, but no column says which"),
        ("close", float, "dollars", "close has the unit dollars; there are USD"),
        ("seen", Utc, None, "instants and only they end in _at"),
        ("seen_at", pl.Date, None, "instants and only they end in _at"),
        ("day", pl.Date, None, "day is a day, but neither a session nor a date"),
        ("late", bool, None, "booleans and only they start with is_ or has_"),
        ("is_late", int, None, "booleans and only they start with is_ or has_"),
        ("Late", int, None, "Late is not snake_case"),
    ],
)
def test_a_column_is_named_for_its_type_and_unit(name: str, annotation: Any, unit: str | None, fault: str) -> None:
    members = {
        "__module__": __name__,
        "__annotations__": {name: annotation},
        "_rules": TableRules(grain=(name,)),
        name: column("What it means", unit=unit),
    }
    found = told(column_faults(type("Planted", (Contract,), members).to_schema().columns))
    assert fault in found
    assert bool(fault) == bool(found)


def test_a_column_says_what_it_means() -> None:
    members = {"__module__": __name__, "__annotations__": {"symbol": str}, "symbol": column("")}
    assert "symbol has no description" in told(column_faults(type("Silent", (Contract,), members).to_schema().columns))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("no_session_gaps", ""),
        ("weights_need_no_leverage", ""),
        ("check_prices_are_positive", "begins with check"),
        ("test_that_bars_are_closed", "begins with test"),
        ("validate_daily_bars", "begins with validate"),
        ("is_sorted_by_symbol", "begins with is"),
        ("has_no_gaps", "begins with has"),
        ("ensure_weights_sum_to_one", "begins with ensure"),
        ("count_of_rows", "begins with count"),
        ("price_sanity", "fewer than three words"),
        ("missing_rows", "fewer than three words"),
        ("session_gap_detector", "no word of it is a VERB"),
        ("bars_without_volume", "no word of it is a VERB"),
        ("Bars_Are_Closed", "is not snake_case"),
    ],
)
def test_a_check_is_named_as_a_statement(name: str, fault: str) -> None:
    found = told(check_faults(name, WHY))
    assert fault in found
    assert bool(fault) == bool(found)


def test_a_check_says_what_it_states() -> None:
    assert told(check_faults("no_session_gaps", None)) == "no_session_gaps has no description"


@pytest.mark.parametrize(
    ("name", "scheduled", "fault"),
    [
        ("reports_daily_job", True, ""),
        ("reports_brief_job", False, ""),
        ("reports_brief_job", True, "has a schedule, but no cadence"),
        ("reports_daily_job", False, "has a cadence, but no schedule"),
        ("reports_backtest_job", False, "names no table of reports"),
        ("daily_job", True, "is not <group>_<cadence>_job"),
        ("desk_daily_job", True, "is not <group>_<cadence>_job"),
        ("reports_daily", True, "is not <group>_<cadence>_job"),
    ],
)
def test_a_job_is_named_for_its_group_and_cadence(name: str, scheduled: bool, fault: str) -> None:  # noqa: FBT001
    found = told(job_faults(name, WHY, scheduled=scheduled, tables=TABLES))
    assert fault in found
    assert bool(fault) == bool(found)
    assert "has no description" in told(job_faults(name, None, scheduled=scheduled, tables=TABLES))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, ""),
        ({"name": "evening_schedule"}, "evening_schedule starts reports_daily_job, but is not named so"),
        ({"execution_timezone": None}, "reports_daily_schedule has no timezone"),
        ({"description": None}, "reports_daily_schedule has no description"),
    ],
)
def test_a_schedule_is_named_as_its_job_and_has_a_timezone(changed: dict[str, Any], fault: str) -> None:
    schedule = SimpleNamespace(
        **{
            "name": "reports_daily_schedule",
            "job_name": "reports_daily_job",
            "execution_timezone": "America/New_York",
            "description": WHY,
            **changed,
        }
    )
    assert told(schedule_faults(schedule)) == fault


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("check_failed_sensor", ""),
        ("order_sent_sensor", ""),
        ("check_failed", "is not <what_happened>_sensor"),
        ("failed_sensor", "is not <what_happened>_sensor"),
        ("daily_check_sensor", "is not <what_happened>_sensor"),
        ("sensor", "is not <what_happened>_sensor"),
    ],
)
def test_a_sensor_is_named_for_what_happened(name: str, fault: str) -> None:
    found = told(sensor_faults(name, WHY))
    assert fault in found
    assert bool(fault) == bool(found)
    assert "has no description" in told(sensor_faults(name, None))
