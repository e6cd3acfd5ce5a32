"""When the desk decides: the job that carries a session from sync to brief, its schedule, and what follows a stop."""

from datetime import date

import dagster as dg

from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE, is_session
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.wiring.refusals import refuse

reports_daily_job = dg.define_asset_job(
    "reports_daily_job",
    selection=dg.AssetSelection.all(),
    description="Sync, check, forecast, decide and report one exchange session.",
)

reports_brief_job = dg.define_asset_job(
    "reports_brief_job",
    selection=dg.AssetSelection.assets(["reports", "daily_brief"]),
    description="Write the brief of one session again, from the tables as they stand.",
)


@dg.schedule(
    job=reports_daily_job,
    cron_schedule="30 18 * * 1-5",
    execution_timezone=EXCHANGE_TIMEZONE,
    description="Every exchange session at 18:30 in New York, when the bars of half and full days are there.",
)
def reports_daily_schedule(context: dg.ScheduleEvaluationContext, desk: Desk) -> dg.RunRequest | dg.SkipReason:
    """Decide the session of the day, if it is one."""
    day = context.scheduled_execution_time.date()
    if not is_session(day):
        return dg.SkipReason(f"{day} is not a session of the New York Stock Exchange.")
    return dg.RunRequest(
        run_key=f"reports_daily_{day}", partition_key=day.isoformat(), tags={"data_mode": desk.data_mode}
    )


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records a refusal for the session of a failed run and asks for the brief that says so.",
    request_job=reports_brief_job,
)
def run_blocked_sensor(
    context: dg.RunFailureSensorContext, ledger: LedgerResource, desk: Desk
) -> dg.RunRequest | dg.SkipReason:
    """Refuse the session of the failed run; whatever order runs are reported in, and however often."""
    key = context.partition_key
    run = context.dagster_run
    if key is None or run.job_name == reports_brief_job.name:
        return dg.SkipReason("The run decides no session.")
    stop = refuse(context.instance, run.run_id, date.fromisoformat(key), ledger.open())
    if not stop.refusals:
        return dg.SkipReason(f"The run stopped no orders: {'; '.join(stop.beside + stop.overtaken)}")
    return dg.RunRequest(run_key=f"brief_of_{run.run_id}", partition_key=key, tags={"data_mode": desk.data_mode})
