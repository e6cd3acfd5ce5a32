"""What every Airbyte connection shares: its streams as assets, and a sync as their events.

Does not belong here: running a connector (``resources.airbyte``), any stream's columns (``contracts.raw``), whether a
sync is due again (``wiring.freshness``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.resources.airbyte.base import Airbyte, StreamResult, SyncError, SyncResult, not_configured
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.freshness import freshness_spec
from bentleybot_assets.wiring.published import declare
from bentleybot_assets.wiring.refusals import orders_stand_on
from bentleybot_assets.wiring.tables import (
    Finding,
    NotPublishedError,
    TableCheck,
    code_reference,
    contract_check_specs,
    contract_result,
    domain_check_result,
    domain_check_spec,
    published_metadata,
    quarantine_result,
    table_metadata,
)
from bentleybot_assets.wiring.vocabulary import OWNERS

_NEWEST = 8
_LONGEST_STATE = 4_000
"""Characters of a STATE that are shown; one of many symbols is larger."""

LAST_SYNC_CHECK = "last_sync_succeeded"


@dataclass(frozen=True)
class Stream:
    """One stream of a connection: its contract and the checks on its log."""

    contract: type[RawContract]
    warnings: Sequence[TableCheck] = ()

    @property
    def name(self) -> str:
        """The stream's name in the connector's catalog."""
        return self.contract.asset_key()[-1]

    @property
    def key(self) -> dg.AssetKey:
        """The stream's asset key."""
        return dg.AssetKey(list(self.contract.asset_key()))


def schema_has_not_drifted(synced: StreamResult) -> Finding:
    """The source delivers the fields that it delivered when it was first read; what is new is kept in ``extra``."""
    told = [f"{part}: {', '.join(fields)}" for part, fields in synced.new_fields.items()]
    if synced.undeclared:
        told.append(", ".join(sorted(synced.undeclared)))
    return Finding(not told, {"new_fields": f"{'; '.join(told)} (kept in extra)" if told else "none"})


def nothing_was_left_out(synced: StreamResult) -> Finding:
    """Each part of the stream (a symbol, an institution, a feed) could be read."""
    said = " ".join(f"{part}: {problem}" for part, problem in synced.problems.items())
    return Finding(not synced.problems, {"left_out": len(synced.problems), "problems": said or "none"})


_OF_SYNC = (schema_has_not_drifted, nothing_was_left_out)


def connection_assets(
    connection: str, streams: Sequence[Stream]
) -> Callable[[Callable[..., Iterator[Any]]], dg.AssetsDefinition]:
    """Make the streams of a connection the assets of a function that syncs those that a run asks for.

    Args:
        connection: name of the connection; ``defs/raw/<connection>.py`` is where the function is.
        streams: the connection's streams.
    """
    checks = {
        stream.key: [
            *contract_check_specs(stream.key),
            dg.AssetCheckSpec(
                LAST_SYNC_CHECK,
                asset=stream.key,
                description="The stream could be read to its end; whether what it delivered is good, `contract` says.",
            ),
            *(domain_check_spec(stream.key, check, blocking=False) for check in _OF_SYNC),
            *(domain_check_spec(stream.key, check, blocking=False) for check in stream.warnings),
        ]
        for stream in streams
    }

    def decorate(sync: Callable[..., Iterator[Any]]) -> dg.AssetsDefinition:
        assets = dg.multi_asset(
            name=f"{connection}_connection",
            group_name="raw",
            specs=[
                dg.AssetSpec(
                    stream.key,
                    description=stream.contract.description(),
                    metadata={**table_metadata(stream.contract), **code_reference(sync)},
                    owners=[OWNERS["raw"]],
                    kinds={"airbyte", "parquet"},
                    skippable=True,
                ).with_io_manager_key("warehouse_io")
                for stream in streams
            ],
            check_specs=[spec for specs in checks.values() for spec in specs],
            can_subset=True,
        )(sync)
        for key, specs in checks.items():
            declare(sync.__module__, assets, key, [*specs, freshness_spec(key)])
        return assets

    return decorate


def sync_streams(
    context: dg.AssetExecutionContext,
    connection: str,
    streams: Sequence[Stream],
    airbyte: Airbyte,
    warehouse: WarehouseResource,
) -> Iterator[Any]:
    """Sync the selected streams of a connection; yield their check results and materialisations.

    A stream that could not be read is not materialised, and its ``last_sync_succeeded`` says why; the others are. The
    step fails only if orders stand on such a stream, or if none could be read: an error would also keep everything from
    running that is computed from the others. What is computed from a stream that failed does not run in either case.

    A connection that the settings leave out is not read: nothing of it is materialised.

    Raises:
        NotPublishedError: a delivery was refused whole; its check results were yielded before.
        SyncError: the connection, or a stream that is needed, could not be read; so were they.
    """
    if not airbyte.has(connection):
        context.log.info(not_configured(connection))
        return
    selected = [stream for stream in streams if stream.key in context.selected_asset_keys]
    contracts = {stream.name: stream.contract for stream in selected}
    context.log.info("%s: reading %s.", connection, ", ".join(contracts))
    began_at = time.monotonic()
    try:
        result = airbyte.sync(connection, contracts, warehouse.open(), context.log)
    except SyncError as error:
        for stream in selected:
            yield _sync_result(stream, str(error))
        raise
    seconds = time.monotonic() - began_at
    read = [stream for stream in selected if result.streams[stream.name].failure is None]
    for stream in selected:
        yield _sync_result(stream, result.streams[stream.name].failure)
    for stream in read:
        synced = result.streams[stream.name]
        yield contract_result(stream.key, synced.faults, synced.records)
    for stream in read:
        if faults := result.streams[stream.name].faults:
            raise NotPublishedError(stream.contract, " ".join(fault.message for fault in faults))
    for stream in read:
        of_sync = {"sync_seconds": round(seconds, 3), "deliveries": result.deliveries, **result.more}
        yield from _materialised(stream, result.streams[stream.name], airbyte.mode(connection), of_sync, warehouse)
    _state_failures(context, connection, result, selected)


def _materialised(
    stream: Stream, synced: StreamResult, mode: str | None, of_sync: Mapping[str, Any], warehouse: WarehouseResource
) -> Iterator[Any]:
    """The checks on what a sync brought of a stream, and its materialisation."""
    # Raw values are evidence and never set aside; the cleaned tables judge them.
    yield quarantine_result(stream.key, pl.DataFrame(schema=QUARANTINE), 0)
    for judge in _OF_SYNC:
        yield domain_check_result(judge, judge(synced), asset_key=stream.key, blocking=False)
    log = warehouse.open().read(stream.contract)
    for check in stream.warnings:
        yield domain_check_result(check, check(log), asset_key=stream.key, blocking=False)
    metadata = {**published_metadata(stream.contract, warehouse), **_metadata(log, synced, mode), **of_sync}
    yield dg.MaterializeResult(asset_key=stream.key, metadata=metadata)


def _state_failures(
    context: dg.AssetExecutionContext, connection: str, result: SyncResult, selected: Sequence[Stream]
) -> None:
    """Say which streams could not be read, and what follows from it.

    Raises:
        SyncError: orders stand on one of them, or none could be read.
    """
    failures = {each.name: why for each in selected if (why := result.streams[each.name].failure) is not None}
    if not failures:
        return
    read = ", ".join(stream.name for stream in selected if stream.name not in failures)
    said = (
        f"{connection}: not materialised, because not read to the end: {', '.join(failures)}; "
        f"materialised: {read or 'nothing'}. {' '.join(failures.values())}"
    )
    if not read or any(orders_stand_on(stream.key) for stream in selected if stream.name in failures):
        raise SyncError(said)
    context.log.error("%s No order stands on it: the run goes on.", said)


def _sync_result(stream: Stream, problem: str | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=stream.key, check_name=LAST_SYNC_CHECK, passed=problem is None, description=problem
    )


def _metadata(log: pl.DataFrame, synced: StreamResult, mode: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "dagster/row_count": log.height,
        "records_synced": synced.records,
        # A stream of which there is nothing to read has no STATE. What the market's data are says nothing of it.
        "data_mode": synced.state.get("mode") or mode or "unknown",
    }
    if synced.records:
        metadata |= {"first_cursor": str(synced.first), "last_cursor": str(synced.last)}
        metadata |= {f"version of {source}": version for source, version in sorted(synced.versions.items())}
    # A log is in order of delivery: what came last is at its end.
    return {**metadata, "state": _shown(synced.state), "preview": previews.table(log.tail(_NEWEST), _NEWEST)}


def _shown(state: Mapping[str, Any]) -> dg.JsonMetadataValue:
    """A STATE, or what it has where it is long."""
    if len(json.dumps(state)) <= _LONGEST_STATE:
        return dg.MetadataValue.json(dict(state))
    sizes = {name: f"{len(value)} entries" if isinstance(value, Mapping) else value for name, value in state.items()}
    return dg.MetadataValue.json(sizes)
