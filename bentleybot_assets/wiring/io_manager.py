"""Frames between assets and the warehouse. Does not belong here: judging them (``wiring.tables``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl

from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.warehouse.base import MissingTableError

MAY_BE_MISSING = "bentleybot/may_be_missing"
"""Input metadata: load an empty frame where the table was never published, instead of failing."""

COLUMNS = "columns"
"""Input metadata, the name that Dagster's own database I/O managers use: load these columns only."""


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Publishes audited frames to the warehouse and loads them as the input's annotation asks.

    ``pl.DataFrame`` and ``pd.DataFrame`` get the table, or the run's sessions of a table that is partitioned by them,
    and of it the columns that the input's metadata ask for. ``pl.LazyFrame`` always gets the whole table to choose
    from, so that a session's run reads only what it needs.
    """

    warehouse: WarehouseResource

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        """Publish ``obj``, which ``wiring.tables`` has audited."""
        contract = contract_for(context.asset_key.path)
        sessions = _sessions(context.asset_partition_keys) if context.has_asset_partitions else None
        self.warehouse.open().publish(contract, obj, sessions)

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame | pd.DataFrame:
        """Load a table as the annotation of the input asks.

        Raises:
            TypeError: the annotation is not a frame this loads.
            MissingTableError: the table was never published and the input does not allow that.
        """
        wanted = context.dagster_type.typing_type
        contract = contract_for(context.asset_key.path)
        columns = context.definition_metadata.get(COLUMNS)
        warehouse = self.warehouse.open()
        try:
            if wanted is pl.LazyFrame:
                return warehouse.scan(contract)
            sessions = _sessions(context.asset_partition_keys) if context.has_asset_partitions else None
            frame = warehouse.read(contract, sessions, columns=columns)
        except MissingTableError:
            if not _may_be_missing(context.definition_metadata):
                raise
            frame = contract.empty_frame().select(columns or pl.all())
            if wanted is pl.LazyFrame:
                return frame.lazy()
        if wanted is pl.DataFrame:
            return frame
        if wanted is pd.DataFrame:
            return frame.to_pandas()
        raise TypeError(
            f"Input {context.name} of {context.step_context.op.name} is annotated {wanted}, which the warehouse cannot "
            "load. Annotate it pl.DataFrame, pl.LazyFrame or pd.DataFrame."
        )


def _sessions(partition_keys: Sequence[str]) -> list[date]:
    return [date.fromisoformat(key) for key in partition_keys]


def _may_be_missing(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata.get(MAY_BE_MISSING))
