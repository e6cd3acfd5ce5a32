"""Write, audit, publish: turns a function that computes a frame into an asset whose table can be trusted.

Belongs here: what every table asset shares (key, columns, checks, audit before publishing, metadata). Does not belong
here: any rule (``contracts``), any arithmetic (``core``).
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import GeneratorType
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import Audit, Fault, audit, describe
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.partitions import sessions_of
from bentleybot_assets.wiring.published import declare
from bentleybot_assets.wiring.vocabulary import OWNERS

CONTRACT_CHECK = "contract"
QUARANTINE_CHECK = "no_rows_quarantined"
_EXAMPLES = 20
_FIRST = 3


@dataclass(frozen=True)
class Finding:
    """What a table check found: whether its statement holds, and the evidence."""

    passed: bool
    evidence: Mapping[str, Any] = field(default_factory=dict)


TableCheck = Callable[[pl.DataFrame], Finding]
"""A domain check: judges a frame that passed its contract, before it is published. Its name is a statement that is
true when it passes; its docstring is the check's description."""


def first_rows(frame: pl.DataFrame, *columns: str) -> str:
    """The first of the rows that a check objects to, for its evidence: ``symbol=KO, session=2022-12-28``."""
    rows = frame.select(columns).sort(columns).head(_FIRST).iter_rows(named=True)
    return "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in rows) or "none"


class NotPublishedError(dg.Failure):
    """A frame was refused: the table keeps its last version and nothing downstream runs."""

    def __init__(self, contract: type[Contract], reason: str) -> None:
        super().__init__(
            description=f"{'/'.join(contract.asset_key())} was not published; its last version stands. {reason}",
            allow_retries=False,
        )


def table_asset(
    contract: type[Contract],
    *,
    kinds: set[str],
    checks: Sequence[TableCheck] = (),
    warnings: Sequence[TableCheck] = (),
    preview: Callable[[pl.DataFrame], Mapping[str, Any]] | None = None,
    ins: Mapping[str, dg.AssetIn] | None = None,
    deps: Sequence[dg.AssetKey] = (),
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the asset of ``contract`` from a function that computes its frame.

    The function returns a frame, or yields it once (inside a ``with`` that must learn whether the frame was published).
    The frame is audited; if it passes, and the blocking ``checks`` do, it is published. Otherwise the table keeps its
    last version, the run fails at this asset and nothing downstream runs.

    Args:
        contract: declares key, columns and rules of the table.
        kinds: one compute and one storage kind.
        checks: domain checks that must hold for the frame to be published.
        warnings: domain checks whose failure is only reported.
        preview: extra metadata of the published frame.
        ins: as for :func:`dagster.asset`, like all that follow.
        deps: assets to run after without loading them.
        partitions_def: how the table is split.
        backfill_policy: how many partitions one run takes.
        pool: the concurrency pool a run waits for.
    """
    key = dg.AssetKey(list(contract.asset_key()))

    def decorate(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        hints = typing.get_type_hints(compute)
        asked_for = list(inspect.signature(compute).parameters)

        @functools.wraps(compute)
        def materialise(
            context: dg.AssetExecutionContext, warehouse: WarehouseResource, **inputs: Any
        ) -> Iterator[Any]:
            available = {**inputs, "context": context, "warehouse": warehouse}
            result = compute(**{name: available[name] for name in asked_for})
            published = published_metadata(contract, warehouse)
            publication = _Publication(contract, checks, warnings, preview, context, warehouse.open(), published)
            if isinstance(result, GeneratorType):
                yield from _publish_inside(result, publication)
            else:
                yield from publication.of(result)

        # Dagster reads inputs and resources off the signature, so it must show the function's own.
        annotations = {
            "context": dg.AssetExecutionContext,
            "warehouse": WarehouseResource,
            **{name: hints[name] for name in asked_for if name not in {"context", "warehouse"}},
        }
        materialise.__annotations__ = annotations
        materialise.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)
                for name, annotation in annotations.items()
            ]
        )
        check_specs = [
            *contract_check_specs(key),
            *(domain_check_spec(key, check, blocking=True) for check in checks),
            *(domain_check_spec(key, check, blocking=False) for check in warnings),
        ]
        asset = dg.asset(
            key=key,
            group_name=key.path[0],
            owners=[OWNERS[key.path[0]]],
            kinds=kinds,
            description=contract.description(),
            metadata={**table_metadata(contract), **code_reference(compute)},
            check_specs=check_specs,
            ins=ins,
            deps=deps,
            partitions_def=partitions_def,
            backfill_policy=backfill_policy,
            pool=pool,
            output_required=False,
            io_manager_key="warehouse_io",
        )(materialise)
        return declare(compute.__module__, asset, key, check_specs)

    return decorate


@dataclass(frozen=True)
class _Publication:
    """One attempt to publish a frame: its events, and whether it succeeded."""

    contract: type[Contract]
    checks: Sequence[TableCheck]
    warnings: Sequence[TableCheck]
    preview: Callable[[pl.DataFrame], Mapping[str, Any]] | None
    context: dg.AssetExecutionContext
    warehouse: Warehouse
    published: Mapping[str, Any]

    def of(self, frame: pl.DataFrame) -> Iterator[Any]:
        """Yield the check results, then the output.

        Raises:
            NotPublishedError: the audit or a blocking check condemned the frame; its check result was yielded before.
        """
        sessions = sessions_of(self.context) if self.context.assets_def.partitions_def else None
        outcome = audit(self.contract, frame, published_rows=self.warehouse.row_count(self.contract, sessions))
        outcome = _of_sessions_only(self.contract, outcome, sessions)
        key = dg.AssetKey(list(self.contract.asset_key()))
        yield contract_result(key, outcome.faults, frame.height)
        if outcome.published is None:
            raise NotPublishedError(self.contract, " ".join(fault.message for fault in outcome.faults))
        yield quarantine_result(key, outcome.quarantined, outcome.quarantined_rows)
        findings = {check: check(outcome.published) for check in (*self.checks, *self.warnings)}
        for check, finding in findings.items():
            yield domain_check_result(check, finding, asset_key=key, blocking=check in self.checks)
        failed = [_name(check) for check in self.checks if not findings[check].passed]
        if failed:
            raise NotPublishedError(self.contract, f"Blocking check(s) failed: {', '.join(failed)}.")
        yield dg.Output(outcome.published, metadata=self._metadata(outcome))
        # Dagster comes back for more once it has stored the output; if it could not, the old table keeps its own rows.
        self.warehouse.quarantine(self.contract, outcome.quarantined, sessions)

    def _metadata(self, outcome: Audit) -> dict[str, Any]:
        frame = typing.cast("pl.DataFrame", outcome.published)
        metadata: dict[str, Any] = {"dagster/row_count": frame.height, **self.published}
        if self.contract.is_by_session() and not frame.is_empty():
            metadata["first_session"] = str(frame["session"].min())
            metadata["last_session"] = str(frame["session"].max())
        metadata |= self.preview(frame) if self.preview else {"preview": previews.table(frame)}
        return metadata


def _publish_inside(body: GeneratorType[pl.DataFrame, None, None], publication: _Publication) -> Iterator[Any]:
    """Publish the frame that ``body`` yields while ``body`` is suspended, and let it end the way the frame did."""
    frame = next(body)
    try:
        yield from publication.of(frame)
    except BaseException as error:
        # A refusal, or GeneratorExit because storing the output failed: the body's `with` must see it.
        body.throw(error)
        raise
    next(body, None)


def table_metadata(contract: type[Contract]) -> dict[str, Any]:
    """Definition metadata: the Columns tab, the table's name and its grain."""
    columns = contract.to_schema().columns
    return {
        "dagster/table_name": contract.table_name(),
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=name,
                    type=_type_text(declared.dtype.type, (declared.metadata or {}).get("unit")),
                    description=declared.description,
                    constraints=dg.TableColumnConstraints(
                        nullable=declared.nullable,
                        unique=contract.rules().grain == (name,),
                        other=[str(check.error or check.name) for check in declared.checks],
                    ),
                )
                for name, declared in columns.items()
            ]
        ),
        "grain": ", ".join(contract.rules().grain),
    }


def published_metadata(contract: type[Contract], warehouse: WarehouseResource) -> dict[str, Any]:
    """Metadata of every published version: what kind of data it is, where it lies and how to look at it."""
    return {
        "data_mode": warehouse.data_mode or "unknown",
        "location": warehouse.open().location(contract),
        "sql": dg.MetadataValue.md(
            f'`bentleybot sql "SELECT * FROM {contract.table_name()} LIMIT 10"`'  # noqa: S608 - shown, not run
        ),
    }


def code_reference(function: Callable[..., Any]) -> dict[str, Any]:
    """Definition metadata that points to the function behind an asset (a wrapper would hide it)."""
    reference = dg.LocalFileCodeReference(
        file_path=inspect.getsourcefile(function) or "",
        line_number=inspect.getsourcelines(function)[1],
        label=function.__name__,
    )
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def contract_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The two checks every table has."""
    return [
        dg.AssetCheckSpec(
            CONTRACT_CHECK,
            asset=key,
            blocking=True,
            description="The table has the columns, types, rows and values that its contract declares.",
        ),
        dg.AssetCheckSpec(
            QUARANTINE_CHECK,
            asset=key,
            description="No row had to be set aside to publish the table.",
        ),
    ]


def contract_result(key: dg.AssetKey, faults: Sequence[Fault], rows: int) -> dg.AssetCheckResult:
    """The result of the contract check: of how many rows, and why they were condemned, if they were."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CONTRACT_CHECK,
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(fault.message for fault in faults) or None,
        metadata={"checked_rows": rows, **({"rules": sorted({fault.rule for fault in faults})} if faults else {})},
    )


def quarantine_result(key: dg.AssetKey, quarantined: pl.DataFrame, rows: int) -> dg.AssetCheckResult:
    """The result of the quarantine check: which rows were set aside."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=QUARANTINE_CHECK,
        passed=rows == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(describe(quarantined.head(_EXAMPLES))) or None,
        metadata={
            "quarantined_rows": rows,
            **({"rows": previews.table(quarantined.drop("table"), _EXAMPLES)} if rows else {}),
        },
    )


def _of_sessions_only(contract: type[Contract], outcome: Audit, sessions: list[date] | None) -> Audit:
    """Condemn a slice that holds rows of another session: it would overwrite what it was not asked to."""
    if sessions is None or outcome.published is None:
        return outcome
    strays = outcome.published.filter(~pl.col("session").is_in(sessions))
    if strays.is_empty():
        return outcome
    first = str(strays["session"].min())
    message = (
        f"{contract.table_name()}: the run of {', '.join(map(str, sessions))} computed rows of "
        f"{first}. An asset may only return rows of the sessions it was run for."
    )
    return Audit(
        None, outcome.quarantined, outcome.quarantined_rows, (Fault("rows_are_of_the_run", "session", message),)
    )


def domain_check_spec(key: dg.AssetKey, check: Callable[[Any], Finding], *, blocking: bool) -> dg.AssetCheckSpec:
    """The spec of a domain check."""
    return dg.AssetCheckSpec(_name(check), asset=key, blocking=blocking, description=inspect.getdoc(check))


def domain_check_result(
    check: Callable[[Any], Finding], finding: Finding, *, asset_key: dg.AssetKey, blocking: bool
) -> dg.AssetCheckResult:
    """What a domain check found, as its result."""
    return dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=_name(check),
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=None if finding.passed else ", ".join(f"{k} {v}" for k, v in finding.evidence.items()),
        metadata=dict(finding.evidence),
    )


def _name(check: Callable[[Any], Finding]) -> str:
    return check.__name__


def _type_text(dtype: Any, unit: str | None) -> str:
    text = {"String": "string", "Float64": "float", "Int64": "integer", "Boolean": "boolean", "Date": "date"}.get(
        str(dtype), "timestamp (UTC)"
    )
    return f"{text}, {unit}" if unit else text
