"""What every Airbyte connection shares: its streams as assets, and a sync as their events.

Does not belong here: running a connector (``resources.airbyte``), any stream's columns (``contracts.raw``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.resources.airbyte import EmbeddedAirbyte, StreamResult
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.published import declare
from bentleybot_assets.wiring.tables import (
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


@dataclass(frozen=True)
class Stream:
    """One stream of a connection: its contract and the checks on its log."""

    contract: type[Contract]
    warnings: Sequence[TableCheck] = ()

    @property
    def name(self) -> str:
        """The stream's name in the connector's catalog."""
        return self.contract.asset_key()[-1]

    @property
    def key(self) -> dg.AssetKey:
        """The stream's asset key."""
        return dg.AssetKey(list(self.contract.asset_key()))


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
            *(domain_check_spec(stream.key, check, blocking=False) for check in stream.warnings),
        ]
        for stream in streams
    }

    def decorate(sync: Callable[..., Iterator[Any]]) -> dg.AssetsDefinition:
        for key, specs in checks.items():
            declare(sync.__module__, key, specs, is_by_session=False)
        return dg.multi_asset(
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

    return decorate


def sync_streams(
    context: dg.AssetExecutionContext,
    connection: str,
    streams: Sequence[Stream],
    airbyte: EmbeddedAirbyte,
    warehouse: WarehouseResource,
) -> Iterator[Any]:
    """Sync the selected streams of a connection; yield their check results and materialisations.

    Raises:
        NotPublishedError: a delivery was refused whole; its check results were yielded before.
    """
    selected = [stream for stream in streams if stream.key in context.selected_asset_keys]
    contracts = {stream.name: stream.contract for stream in selected}
    result = airbyte.sync(connection, contracts, warehouse.open(), context.log)
    for stream in selected:
        synced = result.streams[stream.name]
        yield contract_result(stream.key, synced.faults, synced.records)
    for stream in selected:
        if faults := result.streams[stream.name].faults:
            raise NotPublishedError(stream.contract, " ".join(fault.message for fault in faults))
    for stream in selected:
        # Raw values are evidence and never set aside; the cleaned tables judge them.
        yield quarantine_result(stream.key, pl.DataFrame(schema=QUARANTINE), 0)
        log = warehouse.open().read(stream.contract)
        for check in stream.warnings:
            yield domain_check_result(check, check(log), asset_key=stream.key, blocking=False)
        metadata = {**published_metadata(stream.contract, warehouse), **_metadata(log, result.streams[stream.name])}
        yield dg.MaterializeResult(asset_key=stream.key, metadata=metadata)


def _metadata(log: pl.DataFrame, synced: StreamResult) -> dict[str, Any]:
    metadata: dict[str, Any] = {"dagster/row_count": log.height, "records_synced": synced.records}
    if synced.records:
        metadata |= {"first_cursor": str(synced.first), "last_cursor": str(synced.last)}
        metadata |= {f"version of {source}": version for source, version in sorted(synced.versions.items())}
    # A log is in order of delivery: what came last is at its end.
    return {**metadata, "preview": previews.table(log.tail(_NEWEST), _NEWEST)}
