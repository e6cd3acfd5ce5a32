"""Runs the writing parts of the desk and dies at the k-th write point.

A write point is any call that opens a file of the desk for writing or changes a folder (seen by Python's audit hook
before it happens), any SQL statement of the ledger and any commit of it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Engine, event

from bentleybot_assets.contracts.market import DailyBars, Instruments
from bentleybot_assets.contracts.raw.market import CorporateActions
from bentleybot_assets.contracts.raw.market import DailyBars as RawDailyBars
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.instruments import WatchlistEntry, instruments
from bentleybot_assets.core.orders import order_intents
from bentleybot_assets.ledger.decisions import Account, Decision
from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.resources.airbyte import delivery
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.faults.dying import Points

TUESDAY, WEDNESDAY = date(2013, 2, 26), date(2013, 2, 27)
WATCHLIST = [
    WatchlistEntry("FB", "Facebook", "equity", "Communication Services", valid_from=date(2012, 5, 18)),
    WatchlistEntry("GOOG", "Google", "equity", "Communication Services", valid_from=date(2004, 8, 19)),
]
STREAMS = {"daily_bars": RawDailyBars, "corporate_actions": CorporateActions}
_CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}


def work(folder: Path) -> None:
    """Sync, publish whole tables and slices, quarantine, record orders and a refusal."""
    delivery.DELIVERY_RECORDS = 1000
    warehouse = ParquetWarehouse(folder / "warehouse")
    source = Connection(
        source="bentleybot_assets.connectors.market.source:MarketSource",
        config={"mode": "sample", "symbols": [entry.symbol for entry in WATCHLIST]},
    )
    synced = EmbeddedAirbyte(connections={"market": source}).sync(
        "market", STREAMS, warehouse, logging.getLogger("killed_writer")
    )
    assert synced.passed
    raw = warehouse.read(RawDailyBars)
    universe = instruments(WATCHLIST, raw)
    # To and fro: versions are added, taken up again, and removed when they are neither the newest nor the one before.
    for version in (universe.head(1), universe.tail(1), universe, universe.head(1), universe):
        warehouse.publish(Instruments, version)
    bars = daily_bars(raw, warehouse.read(CorporateActions), universe)
    warehouse.publish(DailyBars, bars.filter(pl.col("session") < TUESDAY))
    warehouse.publish(DailyBars, bars)
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    for session in (TUESDAY, WEDNESDAY):
        targets = weights(bars.filter(session=session))
        warehouse.publish(TargetWeights, targets, [session])
        intents = order_intents(
            targets,
            universe,
            strategy="s",
            revision="1",
            account_mode="paper",
            data_mode="sample",
            costs_bps={"equity": 5.0},
        )
        ledger.record_refusal(session, check="contract", table="market/daily_bars", evidence="x", dagster_run_id="r")
        standing = ledger.record_orders(
            Decision("s", session, "1", "paper", "sample"), intents, Account(1000.0, {"FB": 3}), run_id="next"
        )
        warehouse.publish(Orders, standing, [session])
    quarantined = pl.DataFrame(
        [("market__daily_bars", "x", f"symbol=FB, session={TUESDAY}", "close", "NaN", "is a finite number")],
        schema=["table", "source", "row_key", "column", "value", "rule"],
        orient="row",
    )
    warehouse.quarantine(DailyBars, quarantined)


def weights(bars: pl.DataFrame) -> pl.DataFrame:
    """Ten shares of everything."""
    return bars.select(
        "symbol",
        "session",
        weight=pl.lit(0.1),
        reference_price_usd="mark_price",
        price_source="price_source",
        position_quantity=pl.lit(0, dtype=pl.Int64),
        target_quantity=pl.lit(10, dtype=pl.Int64),
        target_value_usd=10 * pl.col("mark_price"),
    )


def digest(folder: Path) -> dict[str, Any]:
    """Everything a reader could see, in a form that can be compared."""
    warehouse = ParquetWarehouse(folder / "warehouse")
    tables: tuple[Any, ...] = (RawDailyBars, CorporateActions, Instruments, DailyBars, TargetWeights, Orders)
    seen: dict[str, Any] = {contract.table_name(): warehouse.read(contract).rows() for contract in tables}
    seen["quarantine"] = warehouse.read_quarantine(DailyBars).rows()
    seen["state"] = warehouse.connection_state("market")
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    for session in (TUESDAY, WEDNESDAY):
        seen[f"orders of {session}"] = ledger.orders(session).rows()
        seen[f"refusals of {session}"] = ledger.refusals(session).rows()
        seen[f"account of {session}"] = ledger.account(session, "s")
    return seen


def count_or_die(folder: Path, die_at: int | None) -> None:
    """Do the work; die before the ``die_at``-th write, or note in ``folder/points`` how many there were."""
    points = Points(die_at)
    watch(folder, points)
    (folder / "desk").mkdir(parents=True, exist_ok=True)
    work(folder / "desk")
    if die_at is None:
        (folder / "points").write_text(str(points.passed))


def watch(folder: Path, point: Callable[[], None]) -> None:
    """Call ``point`` before each write below ``folder/desk`` and each step of a database transaction."""
    root = str(folder / "desk")

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path, _, flags = arguments
            writes = isinstance(path, str) and path.startswith(root) and (flags & (os.O_WRONLY | os.O_RDWR))
        else:
            writes = name in _CHANGES
        if writes:
            point()

    sys.addaudithook(hook)
    event.listen(Engine, "before_cursor_execute", lambda *_: point())
    event.listen(Engine, "commit", lambda *_: point())
