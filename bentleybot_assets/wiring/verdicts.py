"""How the checks of the graph stand now, by the newest evaluation that was completed.

Does not belong here: what follows from it (``wiring.refusals``, ``wiring.status``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from bentleybot_assets.wiring.published import PublishedTable

_OVERLAPPING = 10
"""How many runs may be under way at once. Dagster keeps a check's evaluations in the order in which their runs were
planned, so the newest is looked for among so many."""


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
    instance: dg.DagsterInstance, tables: Collection[PublishedTable], session: date, *, blocking_only: bool = False
) -> dict[dg.AssetKey, list[Verdict]]:
    """How the checks of tables stand; for a table by session, how they stand for ``session``.

    An evaluation is of a session if its run was, for it alone or for a range that holds it, however long ago.
    """
    checks = {table.key: [spec for spec in table.checks if spec.blocking or not blocking_only] for table in tables}
    by_session = {table.key for table in tables if table.is_by_session}
    of_session = _newest(_evaluations_of_session(instance, session)) if by_session else {}
    of_tables = _newest(
        _evaluations(instance, [spec.key for key, specs in checks.items() if key not in by_session for spec in specs])
    )
    found = of_tables | {key: entry for key, entry in of_session.items() if key.asset_key in by_session}
    return {key: [_verdict(spec.name, found.get(spec.key)) for spec in specs] for key, specs in checks.items()}


def _evaluations(instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey]) -> Iterator[dg.EventLogEntry]:
    """Of each check, the completed evaluations among which the newest is."""
    for check in checks:
        # A run plans all of its checks when it starts: such a record says nothing about the table yet.
        for record in instance.event_log_storage.get_asset_check_execution_history(
            check, limit=_OVERLAPPING, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
        ):
            if record.event is not None:
                yield record.event


def _evaluations_of_session(instance: dg.DagsterInstance, session: date) -> Iterator[dg.EventLogEntry]:
    for run_id in _runs_of(instance, session.isoformat()):
        for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records:
            yield record.event_log_entry


def _runs_of(instance: dg.DagsterInstance, day: str) -> Iterator[str]:
    """The runs for a session; those of a range (a backfill in a single run) have the range's ends as tags."""
    yield from instance.get_run_ids(dg.RunsFilter(tags={PARTITION_NAME_TAG: day}))
    starts = [
        start
        for _, values in instance.get_run_tags([ASSET_PARTITION_RANGE_START_TAG])
        for start in values
        if start <= day
    ]
    if starts:
        for run in instance.get_runs(dg.RunsFilter(tags={ASSET_PARTITION_RANGE_START_TAG: starts})):
            if day <= run.tags[ASSET_PARTITION_RANGE_END_TAG]:
                yield run.run_id


def _newest(entries: Iterable[dg.EventLogEntry]) -> dict[dg.AssetCheckKey, dg.AssetCheckEvaluation]:
    evaluations = [
        entry.get_dagster_event().asset_check_evaluation_data
        for entry in sorted(entries, key=lambda entry: entry.timestamp)
    ]
    return {evaluation.asset_check_key: evaluation for evaluation in evaluations}


def _verdict(check: str, evaluation: dg.AssetCheckEvaluation | None) -> Verdict:
    if evaluation is None:
        return Verdict(check, None, "it was never evaluated")
    return Verdict(check, evaluation.passed, evaluation.description or "no evidence given")
