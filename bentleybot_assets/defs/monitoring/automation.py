"""Sensors that watch the whole graph: they tell people about failed checks."""

from datetime import datetime

import dagster as dg

from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets.wiring.alerts import failed_checks


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports each failed check evaluation once, to the console and to the alert file.",
)
def check_failed_sensor(context: dg.SensorEvaluationContext, notifier: Notifier) -> dg.SensorResult | dg.SkipReason:
    """Look at the runs that changed since the last evaluation."""
    failed, reached = failed_checks(
        context.instance, datetime.fromisoformat(context.cursor) if context.cursor else None
    )
    # Reported before the cursor moves: after a crash between the two, the notifier knows them by their ids.
    reported = notifier.report([check.alert() for check in failed])
    if reached is not None:
        context.update_cursor(reached.isoformat())
    return dg.SkipReason(f"{len(reported)} failed check(s) reported.")
