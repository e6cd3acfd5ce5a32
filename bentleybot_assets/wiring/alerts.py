"""Reads failed asset checks from Dagster's event log and makes alerts of them.

Does not belong here: delivering alerts (``resources.notifier``), refusing to trade (``ledger``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from bentleybot_assets.resources.notifier import Alert

_PAGE = 200


@dataclass(frozen=True)
class FailedCheck:
    """A check evaluation that did not pass.

    Attributes:
        event_id: position in the event log; names the evaluation.
        table: asset key, slashes between its parts.
        check: name of the check.
        severity: ``WARN`` or ``ERROR``.
        evidence: the check's own description of what it found.
        run_id: the run it was evaluated in.
    """

    event_id: int
    table: str
    check: str
    severity: str
    evidence: str
    run_id: str

    def alert(self) -> Alert:
        """The alert that this evaluation deserves."""
        return Alert(
            alert_id=f"check-{self.event_id}",
            severity=self.severity,
            title=f"{self.table} failed its check {self.check}",
            evidence=self.evidence,
            run_id=self.run_id,
        )


def failed_checks(instance: dg.DagsterInstance, after: int | None) -> tuple[list[FailedCheck], int | None]:
    """Failed evaluations after an event log position, oldest first, and the position reached."""
    failed = []
    while True:
        page = instance.get_event_records(
            dg.EventRecordsFilter(event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=after),
            limit=_PAGE,
            ascending=True,
        )
        failed += [check for record in page for check in _failed(record)]
        if not page:
            return failed, after
        after = page[-1].storage_id


def failed_checks_of_run(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    """Failed evaluations of one run, oldest first."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    return [check for record in records for check in _failed(record)]


def _failed(record: dg.EventLogRecord) -> Iterator[FailedCheck]:
    entry = record.event_log_entry
    evaluation = entry.get_dagster_event().asset_check_evaluation_data
    if not evaluation.passed:
        yield FailedCheck(
            event_id=record.storage_id,
            table="/".join(evaluation.asset_key.path),
            check=evaluation.check_name,
            severity=evaluation.severity.value,
            evidence=evaluation.description or "no evidence given",
            run_id=entry.run_id,
        )
