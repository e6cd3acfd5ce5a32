"""How the checks of the graph stand now, by the newest evaluation that was completed.

Does not belong here: what follows from it (``wiring.refusals``, ``wiring.status``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
)

from bentleybot_assets.wiring.published import PublishedTable

_PARTITION_TAG = "dagster/partition"
_SEARCHED = 100
"""How many evaluations back the newest one of a session is looked for."""


@dataclass(frozen=True)
class Verdict:
    """The newest completed evaluation of a check.

    Attributes:
        check: name of the check.
        passed: its outcome; None if it was never evaluated.
        evidence: what it said.
    """

    check: str
    passed: bool | None
    evidence: str


def verdicts(
    instance: dg.DagsterInstance, table: PublishedTable, session: date, *, blocking_only: bool = False
) -> list[Verdict]:
    """How the checks of a table stand; for a table by session, how they stand for ``session``."""
    specs = [spec for spec in table.checks if spec.blocking or not blocking_only]
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key([spec.key for spec in specs])
    return [_verdict(_stands(instance, table, spec.key, session, newest.get(spec.key)), spec.name) for spec in specs]


def _stands(
    instance: dg.DagsterInstance,
    table: PublishedTable,
    check: dg.AssetCheckKey,
    session: date,
    newest: AssetCheckExecutionRecord | None,
) -> AssetCheckExecutionRecord | None:
    """The newest completed record of a check: most often the newest of all."""

    def counts(record: AssetCheckExecutionRecord) -> bool:
        # A run plans all of its checks when it starts: such a record says nothing about the table yet.
        return record.status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES and (
            not table.is_by_session or _is_of(instance, record, session)
        )

    if newest is None or counts(newest):
        return newest
    history = instance.event_log_storage.get_asset_check_execution_history(
        check,
        limit=_SEARCHED if table.is_by_session else 1,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    )
    return next((record for record in history if counts(record)), None)


def _is_of(instance: dg.DagsterInstance, record: AssetCheckExecutionRecord, session: date) -> bool:
    run = instance.get_run_by_id(record.run_id)
    return run is not None and run.tags.get(_PARTITION_TAG) == session.isoformat()


def _verdict(record: AssetCheckExecutionRecord | None, check: str) -> Verdict:
    if record is None or record.event is None:
        return Verdict(check, None, "it was never evaluated")
    evaluation = record.event.get_dagster_event().asset_check_evaluation_data
    return Verdict(check, evaluation.passed, evaluation.description or "no evidence given")
