"""Alerts block: a run that a check stopped leaves a refusal, and nothing is ordered while one is open.

Does not belong here: keeping refusals (``ledger``), telling people about them (``wiring.alerts``).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from bentleybot_assets.wiring.alerts import failed_checks_of_run

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger

RUN_FAILED = "run_succeeds"
"""Stands for a check where a run failed without one: an asset raised an error."""


def refuse(instance: dg.DagsterInstance, run_id: str, session: date, ledger: Ledger) -> list[str]:
    """Record why a failed run must not be followed by orders; returns the reasons, one line each.

    A failed check of severity ERROR is a refusal. A run without one was stopped by errors, which are refusals too.
    """
    stopped_by = [
        (check.table, check.check, check.evidence)
        for check in failed_checks_of_run(instance, run_id)
        if check.severity == dg.AssetCheckSeverity.ERROR.value
    ] or _errors(instance, run_id)
    for table, check, evidence in stopped_by:
        ledger.record_refusal(session, check=check, table=table, evidence=evidence, dagster_run_id=run_id)
    return [f"{table}, {check}: {evidence}" for table, check, evidence in stopped_by]


def require_no_red_check(context: dg.AssetExecutionContext, session: date, ledger: Ledger) -> None:
    """Let orders pass only if each fault that stopped the session before is mended; such refusals are cleared.

    Raises:
        dagster.Failure: a check that stopped the session is still red.
    """
    for refusal in ledger.open_refusals(session).iter_rows(named=True):
        if refusal["check_name"] == RUN_FAILED:
            continue
        key = dg.AssetCheckKey(dg.AssetKey(refusal["table_name"].split("/")), refusal["check_name"])
        latest = context.instance.get_latest_asset_check_evaluation_record(key)
        if latest is None or not latest.event.get_dagster_event().asset_check_evaluation_data.passed:
            raise dg.Failure(
                description=f"HALT: {refusal['table_name']} still fails its check {refusal['check_name']}: "
                f"{refusal['evidence']} Nothing is ordered for {session} until the check passes: mend the cause and "
                f"materialise {refusal['table_name']} again.",
                allow_retries=False,
            )
    ledger.clear_refusals(session, context.run_id)


def _errors(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str, str]]:
    failures = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    errors = []
    for record in failures:
        event = record.event_log_entry.get_dagster_event()
        error = event.step_failure_data.error
        cause = error.cause or error if error else None
        message = " ".join(cause.message.split()) if cause else "no error was recorded"
        errors.append((str(event.step_key).replace("__", "/"), RUN_FAILED, message))
    return errors or [("desk", RUN_FAILED, "The run ended before any step was recorded as failed.")]
