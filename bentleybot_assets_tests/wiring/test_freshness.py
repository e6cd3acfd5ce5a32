"""A stream that is not synced any more is noticed, whether or not anything else runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.wiring.freshness import freshness_checks, is_fresh

KEY = dg.AssetKey(["raw", "market", "daily_bars"])
JOB = dg.Definitions(
    assets=[dg.AssetSpec(KEY)],
    asset_checks=[freshness_checks("market", [KEY])],
    resources={"airbyte": dg.ResourceDefinition.none_resource()},
    jobs=[dg.define_asset_job("looking", dg.AssetSelection.all_asset_checks())],
    executor=dg.in_process_executor,
).resolve_job_def("looking")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant of December 2022; the exchange closes at 21:00, and data are there at 21:15."""
    return datetime(2022, 12, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("synced_at", "now"),
    [
        (at(28, 21, 15), at(28, 22)),
        (at(27, 21, 15), at(29, 3)),  # within six hours a sync may still come
        (at(28, 21, 15), at(29, 3, 16)),
        (at(23, 21, 15), at(27, 23)),  # Christmas and Boxing Day have no session
    ],
)
def test_a_sync_since_the_newest_session_that_is_due_is_fresh(synced_at: datetime, now: datetime) -> None:
    assert is_fresh(synced_at, now)


@pytest.mark.parametrize("synced_at", [None, at(27, 21, 15), at(28, 21, 14)])
def test_a_sync_before_it_is_not(synced_at: datetime | None) -> None:
    assert not is_fresh(synced_at, at(29, 3, 16))


def evaluation(instance: dg.DagsterInstance, *connections: str) -> dg.AssetCheckEvaluation:
    """The check's outcome on a desk that has these connections; unless named, the stream's."""
    airbyte = EmbeddedAirbyte({name: Connection("nowhere:Source", {}) for name in connections or ("market",)})
    run = JOB.execute_in_process(instance=instance, resources={"airbyte": airbyte})
    (check,) = run.get_asset_check_evaluations()
    return check


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def sync(instance: dg.DagsterInstance, data_mode: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, metadata={"data_mode": data_mode}))


def test_a_stream_that_was_never_synced_is_a_warning(instance: dg.DagsterInstance) -> None:
    check = evaluation(instance)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["last_sync"].value == "never"


def test_a_stream_that_was_just_synced_passes(instance: dg.DagsterInstance) -> None:
    sync(instance, "yahoo")
    check = evaluation(instance)
    assert check.passed
    assert str(check.metadata["last_sync"].value).startswith(f"{datetime.now(UTC):%Y-}")


def test_of_a_connection_that_is_not_configured_nothing_is_due(instance: dg.DagsterInstance) -> None:
    check = evaluation(instance, "portfolio")
    assert check.passed
    assert check.description == (
        "bentleybot.yaml has no connection market, so nothing is read for it. To have it read, add an entry `market` "
        "to its `connections`."
    )


def test_recorded_data_do_not_age(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentleybot_assets.wiring.freshness.is_fresh", lambda *_: False)
    sync(instance, "sample")
    assert evaluation(instance).passed
    sync(instance, "yahoo")
    assert not evaluation(instance).passed
