"""One command carries real prices to a brief, and a second one changes nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.resources.processes import alone
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import SESSION, Desk

DAY = date.fromisoformat(SESSION)


def warehouse_of(desk: Desk) -> ParquetWarehouse:
    return ParquetWarehouse(desk.home / "warehouse")


@contextmanager
def instance_of(desk: Desk) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of the desk; dagster.yaml names its folders relative to where a command runs."""
    with chdir(desk.folder), dg.DagsterInstance.from_config(str(desk.folder)) as instance:
        yield instance


def content(desk: Desk) -> dict[str, bytes | str]:
    """Every file and link of the warehouse and the reports, with its bytes."""
    return {
        str(path.relative_to(desk.home)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for room in ("warehouse", "reports")
        for path in sorted((desk.home / room).rglob("*"))
        if (path.is_symlink() or path.is_file()) and path.parent.name != ".locks"
    }


def ledger_rows(desk: Desk) -> list[tuple[object, ...]]:
    with sqlite3.connect(desk.home / "ledger.db") as connection:
        return connection.execute("SELECT * FROM orders ORDER BY order_id").fetchall()


def test_the_first_run_decides_the_newest_session_and_says_what_came_out(finished_desk: Desk) -> None:
    warehouse = warehouse_of(finished_desk)
    signals = warehouse.read(TradingSignals, [DAY])
    orders = warehouse.read(Orders, [DAY])
    assert signals.height == 25
    assert signals["reasons"].str.len_chars().min() > 0
    assert not orders.is_empty()
    assert len(ledger_rows(finished_desk)) == orders.height
    brief = (finished_desk.home / "reports" / "daily_brief" / f"{SESSION}.html").read_text()
    assert "SAMPLE DATA" in brief
    for symbol in orders["symbol"]:
        assert symbol in brief


def test_orders_trade_target_less_position(finished_desk: Desk) -> None:
    targets = warehouse_of(finished_desk).read(TargetWeights, [DAY])
    orders = warehouse_of(finished_desk).read(Orders, [DAY])
    wanted = targets.filter(pl.col("target_quantity") != pl.col("position_quantity"))
    signed = pl.when(pl.col("side") == "BUY").then(pl.col("quantity")).otherwise(-pl.col("quantity"))
    joined = wanted.join(orders.select("symbol", traded=signed), on="symbol", how="full", coalesce=True)
    assert joined.select((pl.col("traded") == pl.col("target_quantity") - pl.col("position_quantity")).all()).item()
    assert joined.height == orders.height


def test_each_run_left_one_finished_mlflow_run_and_none_open(finished_desk: Desk) -> None:
    """Training is the only asset of a run that opens one, however often the desk was run before this test."""
    client = MlflowClient(f"sqlite:///{finished_desk.home}/mlflow.db")
    recorded = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert {(run.data.tags["asset_key"], run.info.status) for run in recorded} == {
        ("models/return_forecaster", "FINISHED")
    }
    with instance_of(finished_desk) as instance:
        runs = instance.get_runs()
    assert sorted(run.data.tags["dagster_run_id"] for run in recorded) == sorted(run.run_id for run in runs)


def test_instruments_that_left_the_universe_are_not_decided(finished_desk: Desk) -> None:
    warehouse = warehouse_of(finished_desk)
    assert {"IBM", "GOOG", "FB"} <= set(warehouse.read(DailyBars)["symbol"])
    assert not {"IBM", "GOOG", "FB", "^GSPC"} & set(warehouse.read(TradingSignals)["symbol"])


def test_a_second_run_changes_no_byte_and_creates_no_order(finished_desk: Desk) -> None:
    desk = finished_desk
    before, orders = content(desk), ledger_rows(desk)
    result = desk.run("bentleybot", "run")

    assert content(desk) == before
    assert ledger_rows(desk) == orders
    printed = " ".join(result.stdout.split())
    assert f"session │ {SESSION}" in printed
    assert re.search(r"signals │ \d+ BUY, \d+ HOLD, \d+ SELL", printed)
    assert re.search(rf"orders │ {len(orders)}, worth [\d,.]+ USD \(paper\)", printed)
    assert re.search(r"checks │ \d+ passed, 0 failed", printed)
    assert "SAMPLE DATA" in printed
    assert "Warning" not in result.stderr


def test_a_run_waits_for_the_one_that_is_at_work_in_the_same_home(finished_desk: Desk) -> None:
    desk = finished_desk
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with alone(desk.home / ".run.lock", "a test", before_waiting=pytest.fail):
        command = desk.command("bentleybot", "run")
        waiting = subprocess.Popen(command, cwd=desk.folder, env=desk.environment, **pipes)
        assert f"Another command is at work here (process {os.getpid()}" in waiting.stderr.readline()
    waiting.communicate()
    assert waiting.returncode == 0


def test_dagsters_own_command_materialises_everything_and_changes_nothing(finished_desk: Desk) -> None:
    desk = finished_desk
    before, orders = content(desk), ledger_rows(desk)
    desk.run(
        "dagster",
        "asset",
        "materialize",
        "--select",
        "*",
        "--partition",
        SESSION,
        "-m",
        "bentleybot_assets.definitions",
    )
    assert content(desk) == before
    assert ledger_rows(desk) == orders


def test_tables_print_as_csv_and_json(finished_desk: Desk) -> None:
    arguments = ("bentleybot", "table", "signals/trading_signals", "--session", SESSION, "--format")
    csv = pl.read_csv(finished_desk.run(*arguments, "csv").stdout.encode(), try_parse_dates=True)
    rows = json.loads(finished_desk.run(*arguments, "json").stdout)
    signals = warehouse_of(finished_desk).read(TradingSignals, [DAY])
    assert csv["symbol"].to_list() == signals["symbol"].to_list() == [row["symbol"] for row in rows]


def test_a_long_table_is_cut_and_says_so(finished_desk: Desk) -> None:
    rows = warehouse_of(finished_desk).row_count(DailyBars)
    shown = finished_desk.run("bentleybot", "table", "market/daily_bars", "--limit", "3")
    assert shown.stdout.count("│ AAPL ") == 3
    assert f"The first 3 of {rows:,} rows" in shown.stderr
    assert (
        finished_desk.run("bentleybot", "table", "market/daily_bars", "--format", "csv").stdout.count("\n") == rows + 1
    )


def test_sql_sees_the_tables(finished_desk: Desk) -> None:
    query = "SELECT session, count(*) AS n FROM trading__orders GROUP BY session"
    printed = finished_desk.run("bentleybot", "sql", query, "--format", "csv").stdout
    assert printed.split() == ["session,n", f"{SESSION},{len(ledger_rows(finished_desk))}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table", "market/prices"), "contracts/market.py has no contract Prices. The tables are features/matrix,"),
        (("table", "_base/contract"), "There is no table '_base/contract'"),
        (("table", "trading/orders", "--session", "yesterday"), "'yesterday' is not a day"),
        (("run", "--session", "2022-12-26"), "2022-12-26 is not a session"),
        (("sql", "SELECT * FROM nowhere"), "nowhere"),
    ],
)
def test_a_mistake_at_the_command_line_is_one_clear_line(
    finished_desk: Desk, arguments: tuple[str, ...], message: str
) -> None:
    result = finished_desk.run("bentleybot", *arguments, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_finds_a_finished_desk_in_order(finished_desk: Desk) -> None:
    printed = finished_desk.run("bentleybot", "doctor").stdout
    assert "FAIL" not in printed
    assert re.search(r"ok +trading/orders", printed)


def test_nothing_is_written_outside_the_state_folder(finished_desk: Desk) -> None:
    """Whatever ran on this desk before: the session, queries, `dagster dev` with a browser."""
    left = {path.name for path in finished_desk.folder.iterdir()}
    assert left == {".bentleybot", "bentleybot.yaml", "dagster.yaml", "workspace.yaml", "pyproject.toml"}
    assert not finished_desk.user_home.exists()


def test_every_table_says_that_it_holds_sample_data_and_where(finished_desk: Desk) -> None:
    with instance_of(finished_desk) as instance:
        for key in sorted(EXPECTED):
            event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
            metadata = event.asset_materialization.metadata
            assert metadata["data_mode"].value == "sample", key
            assert "sql" in metadata, key
            assert Path(metadata["location"].value).is_dir(), key


def test_all_tables_are_there(finished_desk: Desk) -> None:
    views = warehouse_of(finished_desk).sql_views()
    assert set(views) == {key.replace("/", "__") for key in EXPECTED}
