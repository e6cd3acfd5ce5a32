"""A delivery that contradicts itself: nothing moves, everybody is told, and the next good run clears it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml

from bentleybot_assets.definitions import build_defs
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring.refusals import refuse
from bentleybot_assets_tests.faults.corrupted_market import FLAG
from bentleybot_assets_tests.integration.desk import SESSION, Desk
from bentleybot_assets_tests.integration.test_session_run import content, instance_of, ledger_rows

CHECK = "raw/market/daily_bars failed its check contract"


@pytest.fixture
def new_desk(tmp_path: Path) -> Desk:
    """A desk that never ran, whose market source can be corrupted."""
    desk = Desk.fresh(tmp_path / "desk")
    config = yaml.safe_load((desk.folder / "bentleybot.yaml").read_text())
    config["connections"]["market"]["source"] = "bentleybot_assets_tests.faults.corrupted_market:CorruptedMarket"
    (desk.folder / "bentleybot.yaml").write_text(yaml.safe_dump(config))
    return desk


@pytest.fixture
def desk(new_desk: Desk) -> Desk:
    """One that has run, and whose source will deliver again."""
    new_desk.run("bentleybot", "run")
    # As if nothing of the connection had been seen yet.
    shutil.rmtree(new_desk.home / "warehouse" / "raw" / "market")
    return new_desk


def refusals(desk: Desk) -> list[tuple[str, str, str, str | None]]:
    with sqlite3.connect(desk.home / "ledger.db") as connection:
        return connection.execute("SELECT code, table_name, check_name, cleared_by_run_id FROM refusals").fetchall()


def alerts(desk: Desk) -> list[dict[str, str]]:
    file = desk.home / "alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def tables(desk: Desk) -> dict[str, bytes | str]:
    return {name: value for name, value in content(desk).items() if "daily_brief" not in name}


def brief(desk: Desk) -> str:
    return (desk.home / "reports" / "daily_brief" / f"{SESSION}.html").read_text()


def test_a_desk_whose_first_delivery_is_corrupted_orders_nothing_until_a_good_one(new_desk: Desk) -> None:
    desk = new_desk
    (desk.folder / FLAG).touch()

    first = desk.run("bentleybot", "run", check=False)

    assert first.returncode == 1
    assert "HALT raw/market/daily_bars, contract: raw__market__daily_bars" in first.stdout
    assert ledger_rows(desk) == []
    assert refusals(desk) == [("HALT", "raw/market/daily_bars", "contract", None)]
    # Of all tables only the other connections' and the brief are there; it names the check and shows what it found.
    assert {Path(name).parts[:3] for name in tables(desk)} == {
        ("warehouse", "raw", "news"),
        ("warehouse", "raw", "portfolio"),
    }
    assert "HALT" in brief(desk)
    assert re.search(
        r"raw/market/daily_bars.{0,200}\bcontract\b.*the rule is one row per", brief(desk), flags=re.DOTALL
    )

    (desk.folder / FLAG).unlink()
    desk.run("bentleybot", "run")
    assert len(ledger_rows(desk)) == 25
    ((_, _, _, cleared_by),) = refusals(desk)
    assert cleared_by is not None


def test_a_corrupted_delivery_stops_everything_and_the_next_good_run_clears_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, orders = tables(desk), ledger_rows(desk)
    (desk.folder / FLAG).touch()

    first = desk.run("bentleybot", "run", check=False)

    assert first.returncode == 1
    assert "HALT" in first.stdout
    assert tables(desk) == before
    assert ledger_rows(desk) == orders
    assert refusals(desk) == [("HALT", "raw/market/daily_bars", "contract", None)]
    assert "HALT" in brief(desk)
    assert "contract" in brief(desk)
    (alert,) = alerts(desk)
    assert (alert["title"], alert["severity"]) == (CHECK, "ERROR")
    for part in ("raw__market__daily_bars", "symbol=", "close = ", "the rule is one row per"):
        assert part in alert["evidence"]

    # In unattended operation the sensor is who reports; it finds that this evaluation was reported.
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("BENTLEYBOT_HOME", str(desk.home))
    settings = Settings.load(desk.folder)
    sensor = build_defs(settings).get_sensor_def("check_failed_sensor")
    with instance_of(desk) as instance:
        notifier = resources_of(settings)["notifier"]
        context = dg.build_sensor_context(instance=instance, resources={"notifier": notifier})
        sensor.evaluate_tick(context)
    assert len(alerts(desk)) == 1

    halted = brief(desk)
    # The same fault again is the same refusal, counted, and gives the same page.
    assert desk.run("bentleybot", "run", check=False).returncode == 1
    assert len(refusals(desk)) == 1
    assert brief(desk) == halted
    told = " ".join(desk.run("bentleybot", "doctor", check=False).stdout.split())
    assert "raw/market/daily_bars: contract (met by 2 runs)" in told

    # Orders alone do not get past the red check.
    alone = desk.run(
        "dagster", "asset", "materialize", "--select", "trading/orders", "--partition", SESSION,
        "-m", "bentleybot_assets.definitions", check=False,
    )  # fmt: skip
    assert alone.returncode != 0
    assert "raw/market/daily_bars fails its check contract" in alone.stdout + alone.stderr

    (desk.folder / FLAG).unlink()
    desk.run("bentleybot", "run")
    cleared = refusals(desk)
    ((code, _, _, cleared_by),) = cleared
    assert code == "HALT"
    assert cleared_by is not None
    assert "HALT" not in brief(desk)
    assert ledger_rows(desk) == orders

    # In unattended operation the failed runs may be reported only now, in any order.
    with instance_of(desk) as instance:
        stopped = instance.get_run_ids(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert len(stopped) == 3
        for run_id in [*stopped, *reversed(stopped)]:
            refuse(instance, run_id, date.fromisoformat(SESSION), resources_of(settings)["ledger"].open())
    assert refusals(desk) == cleared
