"""What a deployment is made of: the resources that the settings ask for.

Belongs here: settings to resources, nothing connected, and to Dagster's own instance. Does not belong here: assets
(``defs``), assembling the code location (``definitions``).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.airbyte.saved import saved_pages
from bentleybot_assets.resources.desk import Desk, WatchlistItem
from bentleybot_assets.resources.ledger import MySqlLedgerResource, SqliteLedgerResource
from bentleybot_assets.resources.mlflow import Mlflow, MySqlMlflow
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.resources.notifier import Notifier
from bentleybot_assets.resources.reports import ReportFolder
from bentleybot_assets.resources.warehouse import MySqlWarehouseResource, ParquetWarehouseResource
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring.io_manager import WarehouseIOManager

if TYPE_CHECKING:
    from dagster._core.instance.ref import InstanceRef


def resources_of(settings: Settings) -> dict[str, Any]:
    """The outside world of a deployment: built here, connected to at run time."""
    home = settings.home
    stores = _on_mysql(settings) if settings.profile == "production" else _in_files(settings)
    return {
        **stores,
        "warehouse_io": WarehouseIOManager(warehouse=stores["warehouse"]),
        "airbyte": _airbyte(settings),
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


def _airbyte(settings: Settings) -> Airbyte:
    connections = airbyte_connections(settings)
    if settings.airbyte.mode == "embedded":
        return EmbeddedAirbyte(connections=connections)
    # Importing dagster-airbyte is left to those who use it.
    from bentleybot_assets.resources.airbyte.mixed import MixedAirbyte
    from bentleybot_assets.resources.airbyte.server import ServerAirbyte, airbyte_workspace

    login = {
        "client_id": settings.airbyte_client_id,
        "client_secret": dg.EnvVar("AIRBYTE_CLIENT_SECRET") if settings.airbyte_client_secret else None,
        "username": settings.airbyte_username,
        "password": dg.EnvVar("AIRBYTE_PASSWORD") if settings.airbyte_password else None,
    }
    server = ServerAirbyte(
        workspace=airbyte_workspace(
            str(settings.airbyte_api_url),
            str(settings.airbyte.workspace_id),
            login={name: value for name, value in login.items() if value is not None},
            poll_seconds=settings.airbyte.poll_seconds,
            sync_minutes=settings.airbyte.sync_minutes,
        ),
        saved=str(_saved_workspace(settings)),
        destination=mysql_account(settings),
        modes={
            name: str(each.config.get("mode", ""))
            for name, each in settings.connections.items()
            if name not in settings.airbyte.embedded
        },
    )
    if not settings.airbyte.embedded:
        return server
    return MixedAirbyte(server, EmbeddedAirbyte({name: connections[name] for name in settings.airbyte.embedded}))


def connection_pages(settings: Settings) -> dict[str, str]:
    """Connection to its page on the Airbyte server, as far as that was saved; none where there is no server."""
    if settings.airbyte.mode == "embedded":
        return {}
    pages = saved_pages(_saved_workspace(settings))
    return {name: page for name, page in pages.items() if name not in settings.airbyte.embedded}


def _saved_workspace(settings: Settings) -> Path:
    return settings.home / "airbyte.json"


def _in_files(settings: Settings) -> dict[str, Any]:
    home = settings.home
    return {
        "warehouse": ParquetWarehouseResource(folder=str(home / "warehouse"), data_mode=settings.data_mode),
        "ledger": SqliteLedgerResource(url=f"sqlite:///{home / 'ledger.db'}"),
        "mlflow": Mlflow(tracking_uri=settings.mlflow_tracking_uri, artifact_root=str(home / "mlflow")),
    }


def mysql_account(settings: Settings) -> MySqlAccount:
    """The account of a production deployment; nothing is opened."""
    return MySqlAccount(
        host=str(settings.mysql_host),
        port=settings.mysql_port,
        user=str(settings.mysql_user),
        password=dg.EnvVar("MYSQL_PASSWORD"),
        database=str(settings.mysql_database),
        options=dict(settings.mysql),
    )


def _on_mysql(settings: Settings) -> dict[str, Any]:
    account = mysql_account(settings)
    runs = {"tracking_uri": settings.mlflow_tracking_uri, "artifact_root": str(settings.home / "mlflow")}
    return {
        "warehouse": MySqlWarehouseResource(account=account, data_mode=settings.data_mode),
        "ledger": MySqlLedgerResource(account=account),
        "mlflow": Mlflow(**runs) if settings.mlflow_url else MySqlMlflow(**runs, account=account),
    }


def dagster_storage(settings: Settings) -> dict[str, Any]:
    """Where Dagster keeps its history, as ``dagster.yaml`` would say it: nothing to say for the embedded profile."""
    if settings.profile == "embedded":
        return {}
    return {"storage": {"custom": {"module": "bentleybot_assets.history", "class": "MySqlHistory"}}}


def dagster_reference(settings: Settings) -> InstanceRef:
    """Where the Dagster instance is that `dagster dev` and the `dagster` command use in this folder and environment."""
    from dagster._core.instance.ref import InstanceRef

    here, folder = Path.cwd(), _dagster_folder(settings)
    # Dagster wants the folder of its configuration to exist, which its own does not before the first run.
    config = folder if folder.is_dir() else here
    if settings.dagster_home is not None:
        return InstanceRef.from_dir(str(folder), config_dir=str(config))
    if (here / "dagster.yaml").exists():
        config = here
    return InstanceRef.from_dir(str(folder), config_dir=str(config), overrides=dagster_storage(settings))


def _dagster_folder(settings: Settings) -> Path:
    return settings.dagster_home or settings.home / "dagster"


@contextmanager
def open_dagster(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of :func:`dagster_reference`; its own folder is made where it is missing."""
    _dagster_folder(settings).mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        with dg.DagsterInstance.from_ref(dagster_reference(settings)) as instance:
            yield instance


def airbyte_connections(settings: Settings) -> dict[str, Connection]:
    """The connections with all that their sources are told."""
    # Market data know only today's symbols: one that left may have been renamed, or belong to another company now.
    symbols = [e.symbol for e in settings.watchlist if settings.data_mode == "sample" or e.valid_to is None]
    given: dict[str, dict[str, Any]] = {"market": {"symbols": symbols}}
    return {
        name: Connection(source=connection.source, config={**given.get(name, {}), **connection.config})
        for name, connection in settings.connections.items()
    }
