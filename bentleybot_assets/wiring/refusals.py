"""Alerts block: nothing is ordered while a check upstream is red, and a stopped run leaves a refusal.

Does not belong here: keeping refusals (``ledger``), telling people about failed checks (``wiring.alerts``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

from bentleybot_assets.wiring.alerts import failed_checks_of_run
from bentleybot_assets.wiring.published import PublishedTable, published_tables, tables_behind
from bentleybot_assets.wiring.verdicts import verdicts

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger

RUN_FAILED = "run_succeeds"
"""Stands for a check where a run failed without one: an asset raised an error."""

_ORDERS = dg.AssetKey(["trading", "orders"])
_REPORTS = "reports"
_DESK = "desk"
"""Stands for all tables, where nobody knows which one failed."""


@dataclass(frozen=True)
class Stop:
    """What a failed run means for trading.

    Attributes:
        refusals: why nothing may be ordered, one line each; the ledger has them.
        beside: what failed and no order stands on, such as reports and news, and why. It stops no trading.
        overtaken: what happened before another run let the session's orders through. That run looked at the checks
            itself, so a failure that is reported late, or once more, does not call its orders into question.
    """

    refusals: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    overtaken: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Fault:
    table: str
    check: str
    evidence: str
    at: float


def orders_stand_on(key: dg.AssetKey) -> bool:
    """Whether orders are computed from a table, at first or second hand."""
    has_orders = any(table.key == _ORDERS for table in published_tables())
    return has_orders and any(table.key == key for table in tables_behind(_ORDERS))


def refuse(instance: dg.DagsterInstance, run_id: str, session: date, ledger: Ledger) -> Stop:
    """Record why a failed run must not be followed by orders.

    A failed check of severity ERROR is a refusal, and so is an error that no such check caused; but see :class:`Stop`.
    """
    let_through = _materialised(instance, _ORDERS, session)
    is_own = let_through is not None and let_through.run_id == run_id
    behind = {_name(table) for table in tables_behind(_ORDERS)} | {"/".join(_ORDERS.path), _DESK}
    refusals, beside, overtaken = [], [], []
    for fault in _faults(instance, run_id, has_ordered=is_own):
        line = f"{fault.table}, {fault.check}: {fault.evidence}"
        if fault.table not in behind:
            beside.append(line)
        elif let_through is not None and not is_own and fault.at < let_through.timestamp:
            overtaken.append(line)
        else:
            refusals.append(line)
            ledger.record_refusal(
                session, check=fault.check, table=fault.table, evidence=fault.evidence, dagster_run_id=run_id
            )
    return Stop(tuple(refusals), tuple(beside), tuple(overtaken))


def require_no_red_check(context: dg.AssetExecutionContext, session: date, ledger: Ledger) -> None:
    """Let orders pass only if every blocking check upstream is green and what stopped the session before is mended.

    Looks at the checks themselves, whichever run evaluated them: a table may have gone red in a run of its own. A
    check that was never evaluated (for a table by session: for this session) is not green, even where the table or the
    slice exists. What is published passed the checks of its day, but nobody knows whether these were today's; one
    materialisation tells.

    Raises:
        dagster.Failure: names each red check, its evidence and what to materialise.
    """
    upstream = {_name(table): table for table in tables_behind(_ORDERS)}
    reasons = [*_red_checks(context.instance, upstream, session), *_unmended_errors(context, upstream, session, ledger)]
    if reasons:
        raise dg.Failure(
            description=f"HALT: nothing is ordered for {session}. {' '.join(reasons)} Mend the cause and materialise "
            "the table again.",
            allow_retries=False,
        )


def _name(table: PublishedTable) -> str:
    return "/".join(table.key.path)


def _red_checks(instance: dg.DagsterInstance, upstream: dict[str, PublishedTable], session: date) -> Iterator[str]:
    found = verdicts(instance, upstream.values(), session, blocking_only=True)
    for name, table in upstream.items():
        for verdict in found[table.key]:
            if not verdict.passed:
                yield f"{name} fails its check {verdict.check}: {verdict.evidence}"


def _unmended_errors(
    context: dg.AssetExecutionContext, upstream: dict[str, PublishedTable], session: date, ledger: Ledger
) -> Iterator[str]:
    """Errors that stopped the session, whose table (by session: whose slice) was not materialised since."""
    for refusal in ledger.open_refusals(session).iter_rows(named=True):
        table = upstream.get(refusal["table_name"])
        if refusal["check_name"] != RUN_FAILED or table is None:
            continue
        newest = _materialised(context.instance, table.key, session if table.is_by_session else None)
        stopped = context.instance.get_run_record_by_id(refusal["dagster_run_id"])
        # Nobody knows when a run ended that is deleted: only this run's own materialisation is surely newer.
        is_mended = newest is not None and (
            newest.timestamp > stopped.end_time if stopped and stopped.end_time else newest.run_id == context.run.run_id
        )
        if not is_mended:
            yield f"{refusal['table_name']} was not materialised since it failed: {refusal['evidence']}"


def _materialised(
    instance: dg.DagsterInstance, key: dg.AssetKey, session: date | None = None
) -> dg.EventLogEntry | None:
    """The newest materialisation of a table, or of a session's slice of it."""
    partitions = [session.isoformat()] if session else None
    found = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions), limit=1)
    return found.records[0].event_log_entry if found.records else None


def _faults(instance: dg.DagsterInstance, run_id: str, *, has_ordered: bool) -> list[_Fault]:
    checks = [
        check for check in failed_checks_of_run(instance, run_id) if check.severity == dg.AssetCheckSeverity.ERROR.value
    ]
    faults = [_Fault(check.table, check.check, check.evidence, check.at) for check in checks]
    faults += _errors(instance, run_id, explained={check.step for check in checks})
    return faults or [_death(instance, run_id, has_ordered=has_ordered)]


def _errors(instance: dg.DagsterInstance, run_id: str, *, explained: set[str | None]) -> Iterator[_Fault]:
    """The errors of failed steps, for each table that the step was to materialise; not if a check explains them."""
    tables = defaultdict(set)
    plans = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED).records
    for record in plans:
        planned = record.event_log_entry.get_dagster_event()
        tables[planned.step_key].add("/".join(planned.asset_materialization_planned_data.asset_key.path))
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.get_dagster_event()
        if event.step_key in explained:
            continue
        for table in sorted(tables[event.step_key]) or [str(event.step_key)]:
            yield _Fault(table, RUN_FAILED, _message(event.step_failure_data), record.timestamp)


def _message(failure: StepFailureData) -> str:
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error and (failure.error.cause or failure.error)
    return " ".join(error.message.split()) if error else "no error was recorded"


def _death(instance: dg.DagsterInstance, run_id: str, *, has_ordered: bool) -> _Fault:
    """What there is to say of a run whose process died, after which somebody marked it as failed.

    It ended when it last gave a sign. Once it had ordered, only the report was left to do.
    """
    signs = {dg.DagsterEventType.RUN_START, dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}
    last = instance.get_records_for_run(run_id, of_type=signs, limit=1, ascending=False).records
    return _Fault(
        table=_REPORTS if has_ordered else _DESK,
        check=RUN_FAILED,
        evidence="The run ended before any step was recorded as failed.",
        at=last[0].timestamp if last else 0.0,
    )
