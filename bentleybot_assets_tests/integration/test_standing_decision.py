"""Once a session is decided its orders stand, whether or not they can be reported, and whatever is set later."""

from __future__ import annotations

import sqlite3
import subprocess

import polars as pl
import pytest
import yaml

from bentleybot_assets_tests.integration.desk import SESSION, Desk
from bentleybot_assets_tests.integration.test_session_run import ledger_rows


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.fresh(tmp_path_factory.mktemp("standing_decision"))


@pytest.fixture(scope="module")
def without_report(desk: Desk) -> subprocess.CompletedProcess[str]:
    """The first run of a desk on which no report can be written."""
    desk.home.mkdir()
    (desk.home / "reports").touch()
    result = desk.run("bentleybot", "run", check=False)
    (desk.home / "reports").unlink()
    return result


def test_a_report_that_fails_is_an_error_and_leaves_the_orders_and_no_refusal(
    desk: Desk, without_report: subprocess.CompletedProcess[str]
) -> None:
    printed = " ".join(without_report.stdout.split())
    assert without_report.returncode == 1
    assert "HALT" not in printed
    assert "The orders stand: none depends on what failed." in printed
    assert "FAILED reports/daily_brief, run_succeeds: NotADirectoryError" in printed
    assert f"orders │ {len(ledger_rows(desk))}, worth" in printed
    assert ledger_rows(desk)
    with sqlite3.connect(desk.home / "ledger.db") as connection:
        assert connection.execute("SELECT * FROM refusals").fetchall() == []


def test_other_cash_and_a_shorter_watchlist_change_nothing_of_a_decided_session(
    desk: Desk, without_report: subprocess.CompletedProcess[str]
) -> None:
    orders = ledger_rows(desk)
    assert "AAPL" in str(orders)
    config = yaml.safe_load((desk.folder / "bentleybot.yaml").read_text())
    config["watchlist"] = [entry for entry in config["watchlist"] if entry["symbol"] != "AAPL"]
    config["account"]["cash_usd"] = 5000
    (desk.folder / "bentleybot.yaml").write_text(yaml.safe_dump(config))

    desk.run("bentleybot", "run")

    assert ledger_rows(desk) == orders
    page = (desk.home / "reports" / "daily_brief" / f"{SESSION}.html").read_text()
    assert "<dt>Cash now</dt><dd>$100,000" in page
    table = desk.run("bentleybot", "table", "trading/orders", "--session", SESSION, "--format", "csv").stdout
    assert pl.read_csv(table.encode()).height == len(orders)
