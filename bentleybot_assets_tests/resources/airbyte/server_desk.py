"""A desk whose connections are synced by the fake Airbyte server, and what its tables must be in the end.

Does not belong here: the server (``fake_server``), what goes wrong (the tests).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.instruments import WatchlistEntry, instruments
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.resources.airbyte.raw_tables import raw_database, set_up
from bentleybot_assets.resources.airbyte.server import ServerAirbyte, airbyte_workspace
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.mariadb import PASSWORD, MariaDb
from bentleybot_assets_tests.resources.airbyte.fake_server import CLIENT, MYSQL, WORKSPACE, FakeAirbyte

LOG = logging.getLogger("test.server")
MARKET = "bentleybot_assets.connectors.market.source:MarketSource"
CONFIG = {"mode": "sample", "symbols": ["FB", "IBM"], "start_date": "2012-11-01"}
STREAMS = {"daily_bars": DailyBars, "corporate_actions": CorporateActions}
RAW = raw_database("desk")
LOGIN = dict(zip(("client_id", "client_secret"), CLIENT, strict=True))


def empty_raw_database(mariadb: MariaDb) -> None:
    """Let Airbyte and the desk share the server as they would: with no more rights than an administrator is told of."""
    mariadb.as_root(f"DROP DATABASE IF EXISTS {RAW}", "DROP USER IF EXISTS 'airbyte'@'127.0.0.1'")
    share(mariadb, RAW)


def share(mariadb: MariaDb, database: str) -> None:
    """Run what an administrator is told to run."""
    told = set_up(database, destination=MYSQL["username"], desk="desk")
    written = (statement.replace("<AIRBYTE_MYSQL_PASSWORD>", MYSQL["password"]) for statement in told)
    mariadb.as_root(*(statement.replace("'@'%'", "'@'127.0.0.1'") for statement in written))


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
        modes=dict.fromkeys(("market", "portfolio", "news"), mode),
    )


def embedded(**changes: Any) -> EmbeddedAirbyte:
    """The same connection, read in this process."""
    return EmbeddedAirbyte(connections={"market": Connection(source=MARKET, config=CONFIG | changes)})


def log_of(warehouse: ParquetWarehouse, streams: Mapping[str, type[RawContract]] = STREAMS) -> dict[str, pl.DataFrame]:
    """Stream to its log, in an order of its own."""
    return {name: warehouse.read(contract).sort(pl.all()) for name, contract in streams.items()}


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
