"""When the desk decides, and what follows a run that was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from bentleybot_assets.contracts.sessions import DATA_DELAY, close_at
from bentleybot_assets.defs.reports.automation import (
    reports_brief_job,
    reports_daily_job,
    reports_daily_schedule,
    run_blocked_sensor,
)
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.resources.ledger import LedgerResource, SqliteLedgerResource
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring import published
from bentleybot_assets.wiring.published import PublishedTable
from bentleybot_assets_tests.defs.monitoring.failing import EVIDENCE, run_of

NEW_YORK = ZoneInfo("America/New_York")
SESSION = date(2022, 12, 28)
AFTER_PRICES = ("trading/orders", "reports/daily_brief")


def at_the_schedules_time(day: date) -> datetime:
    minute, hour, *_ = str(reports_daily_schedule.cron_schedule).split()
    return datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=NEW_YORK)


def tick(day: date) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(
        scheduled_execution_time=at_the_schedules_time(day), resources={"desk": resources_of(Settings.load())["desk"]}
    )
    return reports_daily_schedule(context)


def test_the_schedule_runs_the_daily_job_on_weekday_evenings_in_new_york() -> None:
    assert reports_daily_schedule.job_name == reports_daily_job.name
    assert reports_daily_schedule.execution_timezone == "America/New_York"
    assert reports_daily_schedule.cron_schedule == "30 18 * * 1-5"


@pytest.mark.parametrize("day", [date(2022, 3, 11), date(2022, 3, 14), date(2022, 11, 4), date(2022, 11, 25)])
def test_the_bars_of_a_session_are_known_when_it_is_decided(day: date) -> None:
    """Before and after the clocks change, and on a half day."""
    assert close_at(day) + DATA_DELAY + timedelta(minutes=30) < at_the_schedules_time(day)


def test_a_session_asks_for_one_run_of_its_own_partition() -> None:
    request = tick(SESSION)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2022-12-28"
    assert request.run_key == "reports_daily_2022-12-28"
    assert request.tags["data_mode"] == "sample"
    assert tick(SESSION).run_key == request.run_key
    assert tick(date(2022, 12, 27)).run_key != request.run_key


@pytest.mark.parametrize("day", [date(2022, 12, 26), date(2022, 11, 24), date(2022, 4, 15)])
def test_a_holiday_is_skipped_by_name(day: date) -> None:
    skipped = tick(day)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message.startswith(f"{day} is not a session")


@pytest.fixture(autouse=True)
def graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders stand on prices, the brief on both."""
    prices, orders, brief = (dg.AssetKey(name.split("/")) for name in ("market/prices", *AFTER_PRICES))
    deps = {prices: frozenset(), orders: frozenset({prices}), brief: frozenset({prices, orders})}
    tables = {key: PublishedTable(key, behind, (), is_by_session=False) for key, behind in deps.items()}
    monkeypatch.setattr(published, "_tables", tables)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerResource:
    return SqliteLedgerResource(url=f"sqlite:///{tmp_path / 'ledger.db'}")


def blocked(
    instance: dg.DagsterInstance, ledger: LedgerResource, result: dg.ExecuteInProcessResult, job: str | None = None
) -> dg.RunRequest | dg.SkipReason:
    """What the sensor makes of a failed run; ``job`` stands for the name of the run's job."""
    run = instance.get_run_by_id(result.run_id)
    context = dg.build_run_status_sensor_context(
        sensor_name=run_blocked_sensor.name,
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=run._replace(job_name=job) if job else run,
        partition_key=run.tags.get("dagster/partition"),
        resources={"ledger": ledger, "desk": resources_of(Settings.load())["desk"]},
    ).for_run_failure()
    return run_blocked_sensor(context)


def test_a_stopped_run_of_a_session_leaves_a_refusal_and_asks_for_the_brief(
    instance: dg.DagsterInstance, ledger: LedgerResource
) -> None:
    result = run_of(instance, partition_key="2022-12-28")
    request = blocked(instance, ledger, result)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2022-12-28"
    assert request.tags["data_mode"] == "sample"
    assert result.run_id in request.run_key
    refusals = ledger.open().open_refusals(SESSION)
    assert refusals.select("table_name", "check_name", "evidence").rows() == [("market/prices", "positive", EVIDENCE)]
    assert ledger.open().open_refusals(date(2022, 12, 27)).is_empty()


def test_the_same_failure_met_again_is_one_refusal_and_one_brief(
    instance: dg.DagsterInstance, ledger: LedgerResource
) -> None:
    result = run_of(instance, partition_key="2022-12-28")
    first, again = (blocked(instance, ledger, result) for _ in range(2))
    assert first.run_key == again.run_key
    assert ledger.open().open_refusals(SESSION).height == 1


def test_two_failed_runs_ask_for_a_brief_each(instance: dg.DagsterInstance, ledger: LedgerResource) -> None:
    keys = {blocked(instance, ledger, run_of(instance, partition_key="2022-12-28")).run_key for _ in range(2)}
    assert len(keys) == 2


def test_a_failed_brief_asks_for_no_other(instance: dg.DagsterInstance, ledger: LedgerResource) -> None:
    result = run_of(instance, partition_key="2022-12-28")
    assert isinstance(blocked(instance, ledger, result, reports_brief_job.name), dg.SkipReason)
    assert ledger.open().open_refusals(SESSION).is_empty()


def test_a_failed_run_of_no_session_refuses_none(instance: dg.DagsterInstance, ledger: LedgerResource) -> None:
    assert isinstance(blocked(instance, ledger, run_of(instance)), dg.SkipReason)
    assert ledger.open().open_refusals(SESSION).is_empty()


def test_a_run_in_which_only_the_report_failed_refuses_nothing(
    instance: dg.DagsterInstance, ledger: LedgerResource
) -> None:
    skipped = blocked(instance, ledger, run_of(instance, partition_key="2022-12-28", table="reports/daily_brief"))
    assert isinstance(skipped, dg.SkipReason)
    assert "reports/daily_brief, positive" in skipped.skip_message
    assert ledger.open().open_refusals(SESSION).is_empty()


def test_a_run_that_is_reported_after_the_session_was_ordered_refuses_nothing(
    instance: dg.DagsterInstance, ledger: LedgerResource
) -> None:
    late = run_of(instance, partition_key="2022-12-28")
    assert run_of(instance, partition_key="2022-12-28", table="trading/orders", red=False).success
    assert isinstance(blocked(instance, ledger, late), dg.SkipReason)
    assert ledger.open().open_refusals(SESSION).is_empty()
