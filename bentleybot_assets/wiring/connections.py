"""What every Airbyte connection shares: its streams as assets, and a sync as their events.

Does not belong here: running a connector (``resources.airbyte``), any stream's columns (``contracts.raw``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.resources.airbyte import EmbeddedAirbyte, StreamResult
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.wiring.published import declare
from bentleybot_assets.wiring.tables import (
    NotPublishedError,
    TableCheck,
    code_reference,
    contract_check_specs,
    contract_result,
    domain_check_result,
    domain_check_spec,
    quarantine_result,
    table_metadata,
)
from bentleybot_assets.wiring.vocabulary import OWNERS


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


def stream_specs(connection: str, streams: Sequence[Stream], *, defined_in: str) -> dict[str, Any]:
    """The arguments of :func:`dagster.multi_asset` that declare a connection's streams and their checks.

    ``defined_in`` is the file to which the streams' code references point.
    """
    checks = {
        stream.key: [
            *contract_check_specs(stream.key),
            *(domain_check_spec(stream.key, check, blocking=False) for check in stream.warnings),
        ]
        for stream in streams
    }
    for key, specs in checks.items():
        declare(f"bentleybot_assets.defs.raw.{connection}", key, specs, is_by_session=False)
    return {
        "name": f"{connection}_connection",
        "group_name": "raw",
        "specs": [
            dg.AssetSpec(
                stream.key,
                description=stream.contract.description(),
                metadata={**table_metadata(stream.contract), **code_reference(defined_in)},
                owners=[OWNERS["raw"]],
                kinds={"airbyte", "parquet"},
                skippable=True,
            ).with_io_manager_key("warehouse_io")
            for stream in streams
        ],
        "check_specs": [spec for specs in checks.values() for spec in specs],
    }


def sync_streams(
    context: dg.AssetExecutionContext,
    connection: str,
    streams: Sequence[Stream],
    airbyte: EmbeddedAirbyte,
    warehouse: Warehouse,
) -> Iterator[Any]:
    """Sync the selected streams of a connection; yield their check results and materialisations.

    Raises:
        NotPublishedError: a delivery was refused whole; its check results were yielded before.
    """
    selected = [stream for stream in streams if stream.key in context.selected_asset_keys]
    result = airbyte.sync(connection, {stream.name: stream.contract for stream in selected}, warehouse, context.log)
    for stream in selected:
        yield contract_result(stream.key, result.streams[stream.name].faults)
    for stream in selected:
        if faults := result.streams[stream.name].faults:
            raise NotPublishedError(stream.contract, " ".join(fault.message for fault in faults))
    for stream in selected:
        # Raw values are evidence and never set aside; the cleaned tables judge them.
        yield quarantine_result(stream.key, pl.DataFrame(schema=QUARANTINE), 0)
        log = warehouse.read(stream.contract)
        for check in stream.warnings:
            yield domain_check_result(check, check(log), asset_key=stream.key, blocking=False)
        yield dg.MaterializeResult(asset_key=stream.key, metadata=_metadata(log, result.streams[stream.name]))


def _metadata(log: pl.DataFrame, synced: StreamResult) -> dict[str, Any]:
    metadata: dict[str, Any] = {"dagster/row_count": log.height, "records_synced": synced.records}
    if synced.records:
        metadata |= {"first_cursor": str(synced.first), "last_cursor": str(synced.last)}
        metadata |= {f"version of {source}": version for source, version in sorted(synced.versions.items())}
    return metadata
