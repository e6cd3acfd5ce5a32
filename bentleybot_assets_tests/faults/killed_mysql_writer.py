"""Writes to warehouse and ledger on MySQL, and something that happens at the k-th write point.

A write point is any statement, any begin and commit of a transaction, and any file that LOAD DATA begins to send. Does
not belong here: what is expected (``test_mysql_outages``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from pymysql.connections import Connection, MySQLResult

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults.dying import Points
from bentleybot_assets_tests.ledger.sessions_of_work import ACCOUNT, FIRST, SECOND, intents, record
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels, quarantined, raw_bars, weights

_YEARS = [date(year, 6, 1) for year in range(2000, 2020)]
# Functions, not constants: polars' threads must not run before a process is forked.


@functools.cache
def versions() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """A table, one that differs in every row, and one with a row gone, two changed and one new."""
    all_changed = labels(*_YEARS, forward_return=0.2)
    changed = pl.when(session=_YEARS[5]).then(pl.lit(0.3)).otherwise("forward_return")
    few_changed = pl.concat([all_changed[1:].with_columns(forward_return=changed), labels(_YEARS[0], symbols=("C",))])
    return labels(*_YEARS, forward_return=0.0), all_changed, few_changed


@functools.cache
def slices() -> dict[date, tuple[pl.DataFrame, pl.DataFrame]]:
    """Two versions of each of two sessions."""
    return {
        MONDAY: (weights(MONDAY, "A", "B"), weights(MONDAY, "C", "D", "E", weight=0.2)),
        TUESDAY: (weights(TUESDAY, "A"), weights(TUESDAY, "F", "G", weight=0.3)),
    }


def work(server: MySqlServer) -> None:
    """Publish whole tables by renaming and by merging, publish slices, quarantine, deliver, decide."""
    warehouse = MySqlWarehouse(server)
    for version in versions():
        warehouse.publish(Labels, version)
    for day, (first, _) in slices().items():
        warehouse.publish(TargetWeights, first, [day])
    warehouse.publish(TargetWeights, pl.concat([second for _, second in slices().values()]), list(slices()))
    warehouse.quarantine(Labels, quarantined("2022-01-03", "2022-01-04"))
    warehouse.quarantine(Labels, quarantined("2022-01-05"), [MONDAY])
    for number in (1, 2):
        # As a sync does: what the committed STATE covers is not fetched again.
        if warehouse.connection_state("market").get("cursor", 0) < number:
            records = {DailyBars: raw_bars("A", float(number)), CorporateActions: CorporateActions.empty_frame()}
            warehouse.append_delivery("market", records, {"cursor": number})
    ledger = Ledger(server)
    for session, orders in ((FIRST, intents(FIRST, AAPL=3, IBM=5)), (SECOND, intents(SECOND))):
        ledger.record_refusal(session, check="contract", table="market/daily_bars", evidence="x", dagster_run_id="bad")
        record(ledger, session, orders)


def digest(server: MySqlServer) -> dict[str, Any]:
    """Everything a reader could see, and which tables there are."""
    warehouse, ledger = MySqlWarehouse(server), Ledger(server)
    seen: dict[str, Any] = {
        contract.table_name(): warehouse.read(contract).rows()
        for contract in (Labels, TargetWeights, DailyBars, CorporateActions)
    }
    seen["quarantine"] = warehouse.read_quarantine(Labels).rows()
    seen["state"] = warehouse.connection_state("market")
    for session in (FIRST, SECOND):
        seen[f"decision of {session}"] = ledger.orders(session).rows(), ledger.account(session, "daily") == ACCOUNT
        seen[f"refusals of {session}"] = ledger.refusals(session).rows()
    with server.connect(table="any") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        seen["tables"] = sorted(cursor.fetchall())
    return seen


def watch(point: Callable[[], None]) -> Callable[[], None]:
    """Call ``point`` before each write point of this process; returns what ends that."""
    watched: list[tuple[type[Any], str]] = [
        (Connection, "query"),
        (Connection, "begin"),
        (Connection, "commit"),
        (MySQLResult, "_read_load_local_packet"),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name in watched]

    def announced(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            point()
            return original(*arguments, **options)

        return call

    for owner, name, original in originals:
        setattr(owner, name, announced(original))

    def end() -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)

    return end


def count_or_die(server: MySqlServer, points_file: Path, die_at: int | None) -> None:
    """Do the work; die before the ``die_at``-th write point, or note in a file how many there were."""
    points = Points(die_at)
    watch(points)
    work(server)
    points_file.write_text(str(points.passed))


def race(where: str | MySqlServer, number: int, gate: Any, folder: Path) -> None:
    """One of several writers that decide the same sessions and meet the same and their own faults."""
    ledger = Ledger(where)
    stood = []
    for day in RACED:
        gate.wait(60)  # or a writer that fails would keep the others
        for evidence in ("everybody's", f"of {number}"):
            ledger.record_refusal(day, check="c", table="t", evidence=evidence, dagster_run_id=f"r{number}")
        stands = record(ledger, day, intents(day, **{f"R{number}": number + 1, "BOTH": 1}), f"r{number}")
        stood.append(",".join(sorted(stands["symbol"])))
    (folder / f"{number}.txt").write_text("\n".join(stood))


def meet(where: str | MySqlServer, number: int, gate: Any, times: int) -> None:
    """One of several writers whose runs, each of its own, all meet one fault."""
    ledger = Ledger(where)
    gate.wait(60)
    for run in range(times):
        ledger.record_refusal(
            FIRST, check="c", table="t", evidence="everybody's", dagster_run_id=f"run {run} of {number}"
        )


RACED = [date(2022, 2, day) for day in range(1, 6)]
WRITERS = 8
