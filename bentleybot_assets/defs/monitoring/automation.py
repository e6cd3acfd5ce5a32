"""Sensors that watch the whole graph: they tell people about failed checks."""

import dagster as dg

from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets.wiring.alerts import failed_checks


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
