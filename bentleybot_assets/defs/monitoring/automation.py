"""Sensors that watch the graph: they tell people about failed checks, and refuse a session that was stopped."""

from __future__ import annotations

from datetime import date

import dagster as dg

from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets.wiring.alerts import failed_checks
from bentleybot_assets.wiring.refusals import refuse

_BRIEF_JOB = "reports_brief_job"


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports each failed check evaluation once, to the console and to the alert file.",
)
def check_failed_sensor(context: dg.SensorEvaluationContext, notifier: Notifier) -> dg.SensorResult | dg.SkipReason:
    """Follow the event log from where the last evaluation stopped."""
    failed, reached = failed_checks(context.instance, int(context.cursor) if context.cursor else None)
    # Reported before the cursor moves: a crash between the two repeats the page, and the notifier knows it by id.
    reported = notifier.report([check.alert() for check in failed])
    if reached is not None:
        context.update_cursor(str(reached))
    return dg.SkipReason(f"{len(reported)} failed check(s) reported.")


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records a refusal for the session of a failed run and asks for the brief that says so.",
    request_job=None,
)
def run_blocked_sensor(context: dg.RunFailureSensorContext, ledger: LedgerResource) -> dg.RunRequest | dg.SkipReason:
    """Refuse the session of the failed run; several failure events of one run are one refusal."""
    key = context.partition_key
    run = context.dagster_run
    if key is None or run.job_name == _BRIEF_JOB:
        return dg.SkipReason("The run decides no session.")
    refuse(context.instance, run.run_id, date.fromisoformat(key), ledger.open())
    return dg.RunRequest(run_key=f"brief_of_{run.run_id}", job_name=_BRIEF_JOB, partition_key=key)
