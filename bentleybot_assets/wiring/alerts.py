"""Reads failed asset checks from Dagster's event log and makes alerts of them.

Does not belong here: delivering alerts (``resources.notifier``), refusing to trade (``ledger``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from bentleybot_assets.resources.notifier import Alert

_OVERLAP = timedelta(seconds=5)
"""Runs that changed in the same instant as the last one seen must not be missed."""


@dataclass(frozen=True)
class FailedCheck:
    """A check evaluation that did not pass.

    Attributes:
        event_id: run and position in its log; names the evaluation.
        table: asset key, slashes between its parts.
        check: name of the check.
        severity: ``WARN`` or ``ERROR``.
        evidence: the check's own description of what it found.
        run_id: the run it was evaluated in.
        step: the step that evaluated it.
        at: when, in seconds since the epoch.
    """

    event_id: str
    table: str
    check: str
    severity: str
    evidence: str
    run_id: str
    step: str | None
    at: float

    def alert(self) -> Alert:
        """The alert that this evaluation deserves."""
        return Alert(
            alert_id=f"check-{self.event_id}",
            severity=self.severity,
            title=f"{self.table} failed its check {self.check}",
            evidence=self.evidence,
            run_id=self.run_id,
        )


def failed_checks(instance: dg.DagsterInstance, since: datetime | None) -> tuple[list[FailedCheck], datetime | None]:
    """Failed evaluations of runs that are under way or changed since an instant, and the instant reached.

    Goes by runs because not every event log has positions that order events across runs. An evaluation of a run that
    is under way is found again when the run has ended; its ``event_id`` tells that it is the same.

    Args:
        instance: whose runs to look at.
        since: an instant that an earlier call reached; None looks at all runs.
    """
    changed = instance.get_run_records(
        dg.RunsFilter(updated_after=since - _OVERLAP if since else None), order_by="update_timestamp", ascending=True
    )
    under_way = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    run_ids = dict.fromkeys(record.dagster_run.run_id for record in [*changed, *under_way])
    failed = [check for run_id in run_ids for check in failed_checks_of_run(instance, run_id)]
    return failed, changed[-1].update_timestamp if changed else since


def failed_checks_of_run(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    """Failed evaluations of one run, oldest first."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    return [check for record in records for check in _failed(record)]


def _failed(record: dg.EventLogRecord) -> Iterator[FailedCheck]:
    entry = record.event_log_entry
    evaluation = entry.get_dagster_event().asset_check_evaluation_data
    if not evaluation.passed:
        yield FailedCheck(
            event_id=f"{entry.run_id}-{record.storage_id}",
            table="/".join(evaluation.asset_key.path),
            check=evaluation.check_name,
            severity=evaluation.severity.value,
            evidence=evaluation.description or "no evidence given",
            run_id=entry.run_id,
            step=entry.step_key,
            at=entry.timestamp,
        )
