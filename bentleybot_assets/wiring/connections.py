"""What every Airbyte connection shares: its streams as assets, and a sync as their events.

Does not belong here: running a connector (``resources.airbyte``), any stream's columns (``contracts.raw``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.resources.airbyte import EmbeddedAirbyte
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.wiring.tables import (
    NotPublishedError,
    TableCheck,
    audit_results,
    contract_check_specs,
    domain_check_result,
    domain_check_spec,
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
