"""Alerts block: nothing is ordered while a check upstream is red, and a stopped run leaves a refusal.

Does not belong here: keeping refusals (``ledger``), telling people about failed checks (``wiring.alerts``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from bentleybot_assets.wiring.alerts import failed_checks_of_run
from bentleybot_assets.wiring.published import published_tables
from bentleybot_assets.wiring.verdicts import verdicts

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger

RUN_FAILED = "run_succeeds"
"""Stands for a check where a run failed without one: an asset raised an error."""

_FOLLOWING = {"trading/orders", "reports/daily_brief"}
"""Tables that come from the orders or after them: they cannot be what the orders wait for."""


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
    """Let orders pass only if every blocking check upstream is green and what stopped the session before is mended.

    Looks at the checks themselves, whichever run evaluated them: a table may have gone red in a run of its own. A
    check that was never evaluated (for a table by session: for this session) is not green, even where the table or the
    slice exists. What is published passed the checks of its day, but nobody knows whether these were today's; one
    materialisation tells.

    Raises:
        dagster.Failure: names each red check, its evidence and what to materialise.
    """
    reasons = [*_red_checks(context.instance, session), *_unmended_errors(context.instance, session, ledger)]
    if reasons:
        raise dg.Failure(
            description=f"HALT: nothing is ordered for {session}. {' '.join(reasons)} Mend the cause and materialise "
            "the table again.",
            allow_retries=False,
        )


def _red_checks(instance: dg.DagsterInstance, session: date) -> Iterator[str]:
    upstream = [
        table
        for table in published_tables()
        if table.key.path[0] != "reports" and "/".join(table.key.path) not in _FOLLOWING
    ]
    for key, found in verdicts(instance, upstream, session, blocking_only=True).items():
        for verdict in found:
            if not verdict.passed:
                yield f"{'/'.join(key.path)} fails its check {verdict.check}: {verdict.evidence}"


def _unmended_errors(instance: dg.DagsterInstance, session: date, ledger: Ledger) -> Iterator[str]:
    """Errors that stopped the session, whose table was not materialised since."""
    known = {"/".join(table.key.path): table.key for table in published_tables()}
    for refusal in ledger.open_refusals(session).iter_rows(named=True):
        key = known.get(refusal["table_name"])
        if refusal["check_name"] != RUN_FAILED or key is None or refusal["table_name"] in _FOLLOWING:
            continue
        stopped = instance.get_run_record_by_id(refusal["dagster_run_id"])
        newest = instance.get_latest_materialization_event(key)
        if stopped is not None and (newest is None or newest.timestamp < (stopped.end_time or 0)):
            yield f"{refusal['table_name']} was not materialised since it failed: {refusal['evidence']}"


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
