"""What a desk tells its ledger in two sessions, and processes that are killed or race while telling it.

Run as a program (``python -m bentleybot_assets_tests.ledger.sessions_of_work kill|race FOLDER``) it forks before
any table library has started a thread, so a process that dies costs milliseconds instead of an import.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import alembic.command  # noqa: F401
import polars as pl
from sqlalchemy import Engine, event

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.ledger.decisions import Account, Decision
from bentleybot_assets.ledger.ledger import Ledger

FIRST = date(2022, 12, 27)
SECOND = date(2022, 12, 28)
DECISION = {"strategy": "daily", "revision": "0", "account_mode": "paper", "data_mode": "sample"}
ACCOUNT = Account(cash_usd=1000.1, positions={"MSFT": 7, "SPY": 2})
RACERS = 6


def intents(session: date, **targets: int) -> pl.DataFrame:
    """One order to buy per symbol, from no position to its target."""
    rows = [
        {
            "order_id": f"{session.toordinal():08x}{symbol.lower().encode().hex():0>16}{target:08x}",
            "session": session,
            "symbol": symbol,
            "side": "BUY",
            "quantity": target,
            "position_quantity": 0,
            "target_quantity": target,
            "reference_price_usd": 0.1 + target,
            "estimated_value_usd": (0.1 + target) * target,
            "estimated_cost_usd": 0.07,
            "state": "PENDING",
            **DECISION,
        }
        for symbol, target in targets.items()
    ]
    return pl.DataFrame(rows, schema=Orders.polars_schema()).sort("order_id")


def record(ledger: Ledger, session: date, orders: pl.DataFrame, run_id: str = "good", **changes: str) -> pl.DataFrame:
    """Record the desk's decision of a session, or one that differs from it as ``changes`` say."""
    return ledger.record_orders(Decision(session=session, **{**DECISION, **changes}), orders, ACCOUNT, run_id=run_id)


def work(url: str) -> None:
    """Orders and a cleared refusal in the first session, the decision to place none in the second."""
    ledger = Ledger(url)
    ledger.record_refusal(
        FIRST, check="contract", table="market/daily_bars", evidence="close is NaN", dagster_run_id="bad"
    )
    record(ledger, FIRST, intents(FIRST, AAPL=3, IBM=5))
    record(ledger, SECOND, intents(SECOND))


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def dump(path: Path) -> list[str]:
    """The whole ledger as SQL."""
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def _fork(job: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        job()
        os._exit(0)
    return child


def _work_until(moment: int, path: Path) -> None:
    """Work, but die at the given moment: moments are before and after each statement, and before each commit."""
    seen = 0

    def tick(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment_name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, moment_name, tick)
    work(url_of(path))


def _sweep(folder: Path) -> None:
    """Leave one ledger per moment at which its writer was killed, named after the moment."""
    moment, was_killed = 0, True
    while was_killed:
        moment += 1
        path = folder / f"{moment:04d}.db"
        child = _fork(lambda: _work_until(moment, path))  # noqa: B023  (runs before the next turn)
        _, status = os.waitpid(child, 0)
        was_killed = os.WIFSIGNALED(status)
    path.unlink()
    if status != 0:
        raise SystemExit(f"The undisturbed run ended with status {status}.")


def _race(folder: Path) -> None:
    """Let processes decide one session differently, none before all have found the ledger missing."""
    ready, say_ready = os.pipe()
    gate, opener = os.pipe()
    upgrade = Ledger._upgrade

    def upgrade_together(ledger: Ledger) -> None:
        os.write(say_ready, b".")
        os.read(gate, 1)
        upgrade(ledger)

    def racer(number: int) -> None:
        os.close(opener)
        Ledger._upgrade = upgrade_together  # type: ignore[method-assign]
        stands = record(Ledger(url_of(folder / "race.db")), FIRST, intents(FIRST, **{f"R{number}": number + 1}))
        (folder / f"{number}.txt").write_text(stands["symbol"].item())

    children = [_fork(lambda number=number: racer(number)) for number in range(RACERS)]  # type: ignore[misc]
    os.close(say_ready)
    for _ in range(RACERS):
        os.read(ready, 1)
    os.close(opener)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    if failed:
        raise SystemExit(f"{len(failed)} of {RACERS} processes failed.")


if __name__ == "__main__":
    {"kill": _sweep, "race": _race}[sys.argv[1]](Path(sys.argv[2]))
