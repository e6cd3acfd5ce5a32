"""Which check evaluations deserve an alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets.wiring.alerts import failed_checks, failed_checks_of_run
from bentleybot_assets_tests.defs.monitoring.failing import EVIDENCE, run_of


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_a_passing_check_is_none(instance: dg.DagsterInstance) -> None:
    run = run_of(instance, red=False)
    assert run.success
    assert len(run.get_asset_check_evaluations()) == 2
    assert failed_checks_of_run(instance, run.run_id) == []
    assert failed_checks(instance, None)[0] == []


@pytest.mark.parametrize("severity", list(dg.AssetCheckSeverity))
def test_a_failed_check_is_one_whether_it_warns_or_stops(
    instance: dg.DagsterInstance, severity: dg.AssetCheckSeverity
) -> None:
    run = run_of(instance, severity=severity)
    assert run.success == (severity == dg.AssetCheckSeverity.WARN)
    (failed,) = failed_checks_of_run(instance, run.run_id)
    assert (failed.table, failed.check, failed.severity) == ("market/prices", "positive", severity.value)
    assert (failed.evidence, failed.run_id) == (EVIDENCE, run.run_id)
    assert failed_checks(instance, None)[0] == [failed]


def test_an_alert_says_what_failed_and_is_named_by_its_evaluation(instance: dg.DagsterInstance) -> None:
    (failed,) = failed_checks_of_run(instance, run_of(instance).run_id)
    alert = failed.alert()
    assert alert.alert_id == f"check-{failed.event_id}"
    assert alert.title == "market/prices failed its check positive"
    assert (alert.severity, alert.evidence, alert.run_id) == ("ERROR", EVIDENCE, failed.run_id)


def test_evaluations_of_two_runs_have_names_of_their_own(instance: dg.DagsterInstance) -> None:
    runs = [run_of(instance).run_id for _ in range(2)]
    found, _ = failed_checks(instance, None)
    assert [failed.run_id for failed in found] == runs
    assert len({failed.event_id for failed in found}) == 2


def test_a_run_reads_its_own_evaluations_only(instance: dg.DagsterInstance) -> None:
    runs = [run_of(instance).run_id for _ in range(2)]
    assert [failed.run_id for failed in failed_checks_of_run(instance, runs[1])] == [runs[1]]


def test_runs_that_ended_long_before_are_not_read_again(instance: dg.DagsterInstance) -> None:
    run_of(instance)
    later = datetime.now(UTC) + timedelta(days=1)
    assert failed_checks(instance, later) == ([], later)


def test_the_instant_reached_is_when_the_newest_run_changed(instance: dg.DagsterInstance) -> None:
    assert failed_checks(instance, None) == ([], None)
    run = run_of(instance)
    _, reached = failed_checks(instance, None)
    (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    assert reached == record.update_timestamp
