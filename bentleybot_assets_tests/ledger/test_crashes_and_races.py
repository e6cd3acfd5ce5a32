"""Killed at any moment and started by several processes at once, the ledger ends where one undisturbed run ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets_tests.ledger import sessions_of_work
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, RACERS, dump, url_of, work


def _run(job: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", sessions_of_work.__name__, job, str(folder)], check=True, timeout=120)


def test_a_run_after_a_kill_at_any_moment_reaches_the_undisturbed_ledger(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed.db"
    work(url_of(undisturbed))
    killed = tmp_path / "killed"
    killed.mkdir()
    _run("kill", killed)
    ledgers = sorted(killed.glob("*.db"))
    assert len(ledgers) > 40  # moments swept; the first kills come before the first byte is written
    for path in ledgers:
        orders, refused = len(Ledger(url_of(path)).orders(FIRST)), Ledger(url_of(path)).refusals(FIRST)
        assert orders in {0, 2}, f"half a decision after kill {path.stem}"
        # A refusal is cleared by the decision, and only by it.
        cleared = refused["cleared_by_run_id"].to_list()
        assert cleared == ["good"] if orders else cleared in ([], [None]), f"kill {path.stem}"
        work(url_of(path))
        assert dump(path) == dump(undisturbed), f"kill {path.stem} left a trace"


def test_processes_that_start_at_once_agree_on_one_decision(tmp_path: Path) -> None:
    _run("race", tmp_path)
    answers = {(tmp_path / f"{number}.txt").read_text() for number in range(RACERS)}
    assert len(answers) == 1
    assert Ledger(url_of(tmp_path / "race.db")).orders(FIRST)["symbol"].to_list() == list(answers)
