"""A code location with one of each thing that Dagster's daemon sees to; loaded by its own services."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

LOCATION = __name__
PARTITIONS = ("first", "second")


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(PARTITIONS))
def backfilled() -> None:
    """What a backfill materialises."""


@dg.asset
def scheduled() -> None:
    """What the schedule materialises."""


@dg.asset
def sensed() -> None:
    """What the sensor materialises."""


scheduled_job = dg.define_asset_job("scheduled_job", [scheduled])
sensed_job = dg.define_asset_job("sensed_job", [sensed])
every_minute = dg.ScheduleDefinition(name="every_minute", job=scheduled_job, cron_schedule="* * * * *")


@dg.sensor(job=sensed_job, minimum_interval_seconds=1)
def once() -> Iterator[dg.RunRequest]:
    """Asks for the same run at every look."""
    yield dg.RunRequest(run_key="once")


defs = dg.Definitions(
    assets=[backfilled, scheduled, sensed],
    jobs=[scheduled_job, sensed_job],
    schedules=[every_minute],
    sensors=[once],
    executor=dg.in_process_executor,
)
