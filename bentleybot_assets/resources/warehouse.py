"""Where tables are kept, as a Dagster resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The warehouse of this deployment.

    Attributes:
        folder: where the embedded warehouse keeps its parquet files.
        data_mode: what its tables come from: the recorded ``sample``, or the source of market data. One warehouse
            holds one kind; what is published says which. None where nobody said.
    """

    folder: str
    data_mode: str | None = None

    def open(self) -> Warehouse:
        """The warehouse; opening touches nothing."""
        return ParquetWarehouse(Path(self.folder))
