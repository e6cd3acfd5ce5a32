"""Each failed evaluation is reported once: over runs, ticks and crashes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets.defs.monitoring.automation import check_failed_sensor
from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets_tests.defs.monitoring.failing import run_of


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def notifier(tmp_path: Path) -> Notifier:
    return Notifier(file=str(tmp_path / "alerts.jsonl"))


def tick(instance: dg.DagsterInstance, notifier: Notifier, cursor: str | None) -> tuple[str | None, str]:
    """One evaluation of the sensor: the cursor it leaves, and what it says."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"notifier": notifier})
    said = check_failed_sensor(context)
    return context.cursor, said.skip_message


def told(notifier: Notifier) -> list[tuple[str, str]]:
    path = Path(notifier.file)
    lines = path.read_text().splitlines() if path.exists() else []
    return [(alert["run_id"], alert["severity"]) for alert in map(json.loads, lines)]


def test_nothing_is_told_where_nothing_ran_or_everything_passed(
    instance: dg.DagsterInstance, notifier: Notifier
) -> None:
    assert tick(instance, notifier, None) == (None, "0 failed check(s) reported.")
    run_of(instance, red=False)
    assert tick(instance, notifier, None)[1] == "0 failed check(s) reported."
    assert told(notifier) == []


def test_each_failing_run_is_told_once_over_repeated_ticks(instance: dg.DagsterInstance, notifier: Notifier) -> None:
    cursor = None
    runs: list[tuple[str, str]] = []
    for severity in (dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN):
        runs.append((run_of(instance, severity=severity).run_id, severity.value))
        cursor, said = tick(instance, notifier, cursor)
        assert said == "1 failed check(s) reported."
        for _ in range(2):
            cursor, said = tick(instance, notifier, cursor)
            assert said == "0 failed check(s) reported."
        assert told(notifier) == runs


def test_two_runs_between_two_ticks_are_told_both(instance: dg.DagsterInstance, notifier: Notifier) -> None:
    cursor, _ = tick(instance, notifier, None)
    runs = [(run_of(instance).run_id, "ERROR") for _ in range(2)]
    assert tick(instance, notifier, cursor)[1] == "2 failed check(s) reported."
    assert told(notifier) == runs


def test_a_tick_that_crashed_before_its_cursor_was_kept_tells_nothing_twice(
    instance: dg.DagsterInstance, notifier: Notifier
) -> None:
    run = run_of(instance).run_id
    kept, _ = tick(instance, notifier, None)
    second = run_of(instance).run_id
    tick(instance, notifier, kept)
    for old in (kept, None):
        assert tick(instance, notifier, old)[1] == "0 failed check(s) reported."
    assert told(notifier) == [(run, "ERROR"), (second, "ERROR")]


def test_a_tick_that_could_not_tell_leaves_the_cursor_for_the_next(
    instance: dg.DagsterInstance, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(instance).run_id
    context = dg.build_sensor_context(instance=instance, cursor=None, resources={"notifier": notifier})

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Notifier, "report", full_disk)
        with pytest.raises(OSError, match="no space"):
            check_failed_sensor(context)
    assert context.cursor is None
    tick(instance, notifier, context.cursor)
    assert told(notifier) == [(run, "ERROR")]
