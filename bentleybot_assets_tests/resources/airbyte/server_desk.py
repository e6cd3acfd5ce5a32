"""A desk whose connection ``market`` is synced by the fake Airbyte server, and what its tables must be in the end.

Does not belong here: the server (``fake_server``), what goes wrong (the tests).
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import polars as pl

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.instruments import WatchlistEntry, instruments
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.airbyte.server import ServerAirbyte, airbyte_workspace
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.mariadb import PASSWORD, MariaDb
from bentleybot_assets_tests.resources.airbyte.fake_server import CLIENT, WORKSPACE, FakeAirbyte

LOG = logging.getLogger("test.server")
MARKET = "bentleybot_assets.connectors.market.source:MarketSource"
CONFIG = {"mode": "sample", "symbols": ["FB", "IBM"], "start_date": "2012-11-01"}
STREAMS = {"daily_bars": DailyBars, "corporate_actions": CorporateActions}
LOGIN = dict(zip(("client_id", "client_secret"), CLIENT, strict=True))


def empty_raw_database(mariadb: MariaDb) -> None:
    """Let Airbyte and the desk share the server as they would: one makes the raw tables, the other may stamp rows."""
    mariadb.as_root(
        "DROP DATABASE IF EXISTS airbyte_internal",
        "CREATE DATABASE airbyte_internal CHARACTER SET utf8mb4",
        "GRANT SELECT, UPDATE ON airbyte_internal.* TO 'desk'@'127.0.0.1'",
    )


def desk_at(
    fake: FakeAirbyte, file: Path, *, login: dict[str, str] = LOGIN, mode: str = "sample", **patience: float
) -> ServerAirbyte:
    """The resource of a desk that asks again at once."""
    patience = {"poll_seconds": 0, "sync_minutes": 1, "retry_seconds": 0} | patience
    return ServerAirbyte(
        workspace=airbyte_workspace(fake.url, WORKSPACE, login=login, **patience),
        saved=str(file),
        destination=MySqlAccount(
            host="127.0.0.1", port=fake.mysql.port, user="desk", password=PASSWORD, database="desk", options={}
        ),
        modes={"market": mode},
    )


def embedded(**changes: Any) -> EmbeddedAirbyte:
    """The same connection, read in this process."""
    return EmbeddedAirbyte(connections={"market": Connection(source=MARKET, config=CONFIG | changes)})


def log_of(warehouse: ParquetWarehouse) -> dict[str, pl.DataFrame]:
    """Stream to its log, in an order of its own."""
    return {name: warehouse.read(contract).sort(pl.all()) for name, contract in STREAMS.items()}


def market_bars(warehouse: ParquetWarehouse) -> pl.DataFrame:
    """``market/daily_bars`` as it follows from the log."""
    logs = log_of(warehouse)
    watchlist = [
        WatchlistEntry(
            symbol=symbol,
            name=symbol,
            asset_class="equity",
            sector="Information Technology",
            currency="USD",
            exchange="XNYS",
            valid_from=logs["daily_bars"]["session"].min(),
            valid_to=None,
        )
        for symbol in CONFIG["symbols"]
    ]
    known = instruments(watchlist, logs["daily_bars"])
    return daily_bars(logs["daily_bars"], logs["corporate_actions"], known).sort("symbol", "session")


def digest(warehouse: ParquetWarehouse) -> dict[str, str]:
    """Every file of a warehouse."""
    return {
        str(file.relative_to(warehouse.root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(warehouse.root.rglob("*"))
        if file.is_file()
    }
