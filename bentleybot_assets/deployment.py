"""What a deployment is made of: the resources that the settings ask for.

Belongs here: settings to resources, nothing connected. Does not belong here: assets (``defs``), assembling the code
location (``definitions``).
"""

from __future__ import annotations

from typing import Any

from bentleybot_assets.resources.airbyte import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.desk import Desk, WatchlistItem
from bentleybot_assets.resources.ledger import LedgerResource
from bentleybot_assets.resources.mlflow import Mlflow
from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets.resources.reports import ReportFolder
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring.io_manager import WarehouseIOManager


def resources_of(settings: Settings) -> dict[str, Any]:
    """The outside world of a deployment: built here, connected to at run time."""
    home = settings.home
    warehouse = WarehouseResource(folder=str(home / "warehouse"), data_mode=settings.data_mode)
    return {
        "warehouse": warehouse,
        "warehouse_io": WarehouseIOManager(warehouse=warehouse),
        "airbyte": EmbeddedAirbyte(connections=_connections(settings)),
        "mlflow": Mlflow(tracking_uri=settings.mlflow_tracking_uri, artifact_root=str(home / "mlflow")),
        "ledger": LedgerResource(url=f"sqlite:///{home / 'ledger.db'}"),
        "notifier": Notifier(file=str(home / "alerts.jsonl")),
        "reports": ReportFolder(folder=str(home / "reports")),
        "desk": Desk(
            data_mode=settings.data_mode,
            account_mode=settings.account.mode,
            sessions_start=str(settings.sessions_start),
            watchlist=[WatchlistItem(**entry.model_dump(mode="json")) for entry in settings.watchlist],
            cash_usd=settings.account.cash_usd,
            holdings=dict(settings.account.holdings),
            **settings.policy.model_dump(),
        ),
    }


def _connections(settings: Settings) -> dict[str, Connection]:
    # Market data know only today's symbols: one that left may have been renamed, or belong to another company now.
    symbols = [e.symbol for e in settings.watchlist if settings.data_mode == "sample" or e.valid_to is None]
    return {
        name: Connection(source=connection.source, config={"symbols": symbols, **connection.config})
        for name, connection in settings.connections.items()
    }
