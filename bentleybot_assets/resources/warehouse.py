"""Where tables are kept, as a Dagster resource."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import dagster as dg

from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.resources.restoring import require_whole
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse


class WarehouseResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """The warehouse of this deployment.

    Attributes:
        data_mode: what its tables come from: the recorded ``sample``, or the source of market data. One warehouse
            holds one kind; what is published says which. None where nobody said.
    """

    data_mode: str | None = None

    @abstractmethod
    def open(self) -> Warehouse:
        """The warehouse; opening touches nothing."""


class ParquetWarehouseResource(WarehouseResource):
    """Files on this machine.

    Attributes:
        folder: where they are.
    """

    folder: str

    def open(self) -> Warehouse:
        """See :class:`WarehouseResource`."""
        require_whole(Path(self.folder).parent)
        return ParquetWarehouse(Path(self.folder))


class MySqlWarehouseResource(WarehouseResource):
    """Tables on a server.

    Attributes:
        account: the server's account.
    """

    account: MySqlAccount

    def open(self) -> Warehouse:
        """See :class:`WarehouseResource`."""
        return MySqlWarehouse(self.account.server())
