"""What the command says and does around a run; the run itself is in ``integration``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from bentleybot_assets import cli
from bentleybot_assets.cli import _close_abandoned_runs
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.definitions import defs
from bentleybot_assets.deployment import open_dagster
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.mysql_engine import engine_url
from bentleybot_assets.resources.processes import name_of_this_process
from bentleybot_assets.settings import Settings
from bentleybot_assets.terminal import explained
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels

NAME_ITSELF = """
import json
from bentleybot_assets.definitions import defs
from bentleybot_assets.resources.processes import name_of_this_process

print(json.dumps(name_of_this_process(".dagster/")))
"""


PID = {".dagster/pid": str(os.getpid())}


@dg.job
def a_job() -> None:
    """Nothing to do."""


@pytest.fixture(scope="module")
def dead() -> dict[str, str]:
    """The name of a process that is no more."""
    told = subprocess.run([sys.executable, "-c", NAME_ITSELF], capture_output=True, text=True, check=True).stdout
    return json.loads(told)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param({}, "FAILURE", id="its process is gone"),
        pytest.param({".dagster/host": "elsewhere"}, "STARTED", id="its process is on another machine"),
        pytest.param(name_of_this_process(".dagster/"), "STARTED", id="its process is at work"),
        pytest.param({".dagster/process_started": "yesterday", **PID}, "FAILURE", id="reused id"),
    ],
)
def test_a_run_left_open_is_closed_if_its_process_is_gone(dead, changed, status) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED, tags=dead | changed)
        _close_abandoned_runs(instance)
        assert instance.get_run_by_id(run.run_id).status.value == status


def test_a_run_that_names_no_process_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.STARTED)
        _close_abandoned_runs(instance)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED


def test_an_error_of_dagsters_or_mlflows_engine_is_one_line_that_names_the_server(
    mysql_server: MySqlServer, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = sa.create_engine(engine_url(mysql_server, "of MLflow"))
    with pytest.raises(typer.Exit) as ended, explained(), engine.connect() as connection:
        connection.execute(sa.text("SELECT 1 FROM alembic_version"))
    engine.dispose()
    assert ended.value.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{mysql_server.shown}, table alembic_version: ")
    assert "run `bentleybot db upgrade`" in line


def test_the_prompt_shows_tables_as_they_are_when_asked(home: Path, monkeypatch, capsys) -> None:
    warehouse = ParquetWarehouse(home / "warehouse")
    query = "SELECT 'rows: ' || count(*) AS n FROM models__labels"

    def typed() -> Iterator[str]:
        warehouse.publish(Labels, labels(MONDAY))
        yield query
        warehouse.publish(Labels, labels(TUESDAY))
        warehouse.publish(Labels, labels(MONDAY, TUESDAY))
        yield query
        yield ""

    lines = typed()
    monkeypatch.setattr(cli.out, "input", lambda _: next(lines))
    cli.sql(query=None)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert ["rows: 2" in shown.out, "rows: 4" in shown.out] == [True, True]


def said(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Exit code and all output of the command."""
    result = CliRunner().invoke(cli.app, arguments, input=typed)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("session", "why"),
    [
        ("", "'' is not a day; write it as 2022-12-28."),
        ("tomorrow", "'tomorrow' is not a day"),
        ("2022-12-25", "2022-12-25 is not a session of the New York Stock Exchange; the one before it is 2022-12-23."),
        ("2021-12-31", "2021-12-31 is before 2022-01-03, where this desk's sessions start"),
        ("2023-03-01", "2023-03-01 is after the newest session of sample data, 2022-12-28."),
    ],
)
def test_a_session_that_cannot_be_decided_is_one_line_and_nothing_runs(home: Path, session: str, why: str) -> None:
    code, output = said("run", "--session", session)
    assert (code, why in output) == (2, True), output
    assert not home.exists()


def test_the_newest_session_must_be_one_the_desk_decides_too(monkeypatch) -> None:
    monkeypatch.setenv("BENTLEYBOT_SESSIONS_START", "2023-01-03")
    code, output = said("run")
    assert code == 2
    assert "2022-12-28 is before 2023-01-03, where this desk's sessions start (sessions_start in" in output


def test_a_raw_table_of_a_connection_that_is_left_out_says_how_to_have_it(
    tmp_path: Path, home: Path, monkeypatch
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("connections: {market: {config: {mode: sample}}}")
    monkeypatch.setenv("BENTLEYBOT_CONFIG", str(config))
    code, output = said("table", "raw/news/articles")
    assert code == 2
    assert " ".join(output.split()) == (
        "raw/news/articles was never published: bentleybot.yaml has no connection news, so nothing is read for it. "
        "To have it read, add an entry `news` to its `connections`."
    )
    assert "`bentleybot run` publishes it" in said("table", "raw/market/daily_bars")[1]
    assert not home.exists()


@pytest.mark.parametrize("query", ["", "/* nothing */"])
def test_a_query_that_gives_no_rows_is_one_line(query: str) -> None:
    assert said("sql", query)[0] == 2
    assert "gives no rows" in said("sql", query)[1]


def test_the_end_of_input_ends_the_prompt() -> None:
    code, output = said("sql", typed="SELECT 7 AS seven\n")
    assert code == 0
    assert "seven" in output


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_ledger_that_cannot_be_read_is_one_line_with_its_fix(home: Path, command: str) -> None:
    home.mkdir()
    (home / "ledger.db").write_text("symbol,session\n" * 100)
    code, output = said(command)
    assert code == 2
    assert "Traceback" not in output
    assert "The file is not a ledger: point the ledger's url at another file, or restore a copy." in output


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENTLEYBOT_HOME", str(tmp_path / "file" / "home"))
    code, output = said("run")
    assert (code, "Traceback" in output) == (2, False)
    assert "Not a directory. Mend that, or set `home` in bentleybot.yaml to another folder." in output


def test_the_history_is_where_dagster_home_says(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_dagster(Settings.load()) as instance:
        assert instance.root_directory == str(tmp_path)


def test_a_run_that_died_before_it_began_is_closed_too(dead) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus.NOT_STARTED, tags=dead)
        _close_abandoned_runs(instance)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def test_progress_is_told_in_the_names_of_tables() -> None:
    tables = cli._tables_of_steps(defs.resolve_job_def("reports_daily_job"))
    assert tables["market_connection"] == "raw/market: 5 tables"
    assert tables["market__daily_bars"] == "market/daily_bars"
