"""The whole desk on one MySQL server: the same graph, the same tables, the same orders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from bentleybot_assets.databases import SUFFIXES
from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets_tests.integration.desk import PROJECT, SESSION, Desk, differences, production_variables
from bentleybot_assets_tests.integration.services import free_port, graphql, serving, until
from bentleybot_assets_tests.integration.test_session_run import DAY
from bentleybot_assets_tests.mariadb import SECRETS, MariaDb, running


@pytest.fixture(scope="module")
def server(mariadb: MariaDb) -> MySqlServer:
    return mariadb.database("production")


@pytest.fixture(scope="module")
def desk(server: MySqlServer, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk.on(server, tmp_path_factory.mktemp("production") / "desk")
    desk.run("bentleybot", "db", "upgrade")
    desk.run("bentleybot", "run", "--session", SESSION)
    return desk


def rows(server: MySqlServer, database: str, statement: str) -> list[tuple[object, ...]]:
    connection = server.at(database).connect(table="any")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def test_every_table_equals_the_embedded_one_value_for_value(
    desk: Desk, server: MySqlServer, finished_desk: Desk
) -> None:
    assert differences(server, finished_desk) == []


def test_a_second_run_leaves_every_value_as_it_was_and_creates_no_order(desk: Desk, server: MySqlServer) -> None:
    def state() -> list[tuple[object, ...]]:
        tables = rows(server, server.database, "SHOW TABLES")
        return [rows(server, server.database, f"CHECKSUM TABLE `{name}`")[0] for (name,) in tables]

    before = state()
    desk.run("bentleybot", "run", "--session", SESSION)
    assert state() == before


def test_history_and_models_are_on_the_server_too(desk: Desk, server: MySqlServer) -> None:
    assert not (desk.home / "ledger.db").exists()
    assert not (desk.home / "mlflow.db").exists()
    assert not (desk.home / "warehouse").exists()
    succeeded = rows(server, f"{server.database}_dagster", "SELECT COUNT(*) FROM runs WHERE status = 'SUCCESS'")
    assert succeeded[0][0] >= 1
    finished = rows(server, f"{server.database}_mlflow", "SELECT status FROM runs")
    assert {status for (status,) in finished} == {"FINISHED"}


def test_dagsters_ui_shows_what_the_command_ran_and_runs_into_the_same_history(desk: Desk, server: MySqlServer) -> None:
    port = free_port()
    launch = """mutation { launchPipelineExecution(executionParams: { selector: {
      repositoryName: "__repository__", repositoryLocationName: "bentleybot_assets", pipelineName: "__ASSET_JOB",
      assetSelection: [{path: ["raw", "market", "daily_bars"]}, {path: ["raw", "market", "corporate_actions"]}]
    } }) { ... on LaunchRunSuccess { run { runId } } } }"""

    with serving(
        desk.command("dagster", "dev", "--host", "127.0.0.1", "--port", str(port)),
        folder=desk.folder,
        environment=desk.environment,
        log=desk.folder.with_suffix(".log"),
        port=port,
    ):
        shown = graphql(port, "{ runsOrError { ... on Runs { results { runId jobName } } } }")["runsOrError"]["results"]
        launched = graphql(port, launch)["launchPipelineExecution"]["run"]["runId"]
        query = f'{{ runOrError(runId: "{launched}") {{ ... on Run {{ status }} }} }}'
        status = until(
            lambda: {"SUCCESS", "FAILURE"} & {graphql(port, query)["runOrError"]["status"]}  # others are on the way
        )
    assert "reports_daily_job" in {run["jobName"] for run in shown}
    assert status == {"SUCCESS"}
    recorded = rows(server, f"{server.database}_dagster", "SELECT run_id FROM runs")
    assert {run["runId"] for run in shown} | {launched} == {run for (run,) in recorded}
    assert list((desk.home / "dagster").rglob("*.db")) == []


@pytest.mark.skipif(shutil.which("mariadb-dump") is None, reason="needs the package mariadb-server")
def test_the_password_is_in_no_database_and_no_file(desk: Desk, server: MySqlServer, mariadb: MariaDb) -> None:
    databases = [server.database, f"{server.database}_dagster", f"{server.database}_mlflow"]
    program = [str(shutil.which("mariadb-dump")), "--no-defaults", f"--socket={mariadb.socket}", "--user=root"]
    dump = subprocess.run([*program, "--databases", *databases], capture_output=True, check=True).stdout
    assert len(dump) > 1_000_000
    assert [secret for secret in SECRETS if secret.encode() in dump] == []
    files = [path for path in desk.folder.rglob("*") if path.is_file()]
    assert [path for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS)] == []


def test_databases_that_are_missing_are_created_or_the_grant_is_printed(mariadb: MariaDb, tmp_path: Path) -> None:
    server = mariadb.database("poor")
    mariadb.as_root("DROP DATABASE poor_mlflow")
    created = Desk.on(server, tmp_path / "desk").run("bentleybot", "db", "upgrade")
    assert "database poor_mlflow: created" in created.stdout

    mariadb.account("guest", "x")
    mariadb.as_root("GRANT SELECT ON poor.* TO 'guest'@'127.0.0.1'")
    guest = MySqlServer(server.host, server.port, "guest", "x", "poor")
    refused = Desk.on(guest, tmp_path / "guest").run("bentleybot", "db", "upgrade", check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    all_needed = (
        "ALTER, CREATE, CREATE TEMPORARY TABLES, DELETE, DROP, INDEX, INSERT, REFERENCES, SELECT, TRIGGER, UPDATE"
    )
    assert f"GRANT {all_needed} ON `poor\\_mlflow`.* TO 'guest'@'%';" in refused.stderr
    assert "database poor: there, but guest was not granted ALTER, CREATE," in refused.stdout


def test_a_grant_that_is_printed_and_run_is_all_that_is_needed(mariadb: MariaDb, tmp_path: Path) -> None:
    mariadb.as_root("CREATE USER 'o''brien'@'%' IDENTIFIED BY 'x'")
    asking = Desk.on(MySqlServer("127.0.0.1", mariadb.port, "o'brien", "x", "granted"), tmp_path / "desk")
    refused = asking.run("bentleybot", "db", "upgrade", check=False)
    mariadb.as_root(*(line for line in refused.stderr.splitlines() if line.startswith(("CREATE", "GRANT"))))
    asking.run("bentleybot", "db", "upgrade")
    assert asking.run("bentleybot", "doctor").stdout.count("can be opened, and this user may do what is needed") == 3
    archive = str(tmp_path / "desk.tar.gz")
    asking.run("bentleybot", "backup", archive)
    for suffix in SUFFIXES.values():
        mariadb.as_root(f"DROP DATABASE granted{suffix}", f"CREATE DATABASE granted{suffix} CHARACTER SET utf8mb4")
    Desk.fresh(tmp_path / "restored", **asking.variables).run("bentleybot", "restore", archive)


def test_a_server_with_a_binary_log_is_refused_before_anything_is_half_migrated(tmp_path: Path) -> None:
    with running(MariaDb(tmp_path / "logging", options=("--log-bin",))) as logging:
        desk = Desk.on(logging.database("logged"), tmp_path / "desk")
        refused = desk.run("bentleybot", "db", "upgrade", check=False)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
        assert f"desk@127.0.0.1:{logging.port}/logged_mlflow" in refused.stderr
        assert logging.as_root("SHOW TABLES FROM logged_mlflow") == []
        (remedy,) = re.findall(r"must run (SET GLOBAL .* = ON);", " ".join(refused.stderr.split()))
        logging.as_root(remedy)
        desk.run("bentleybot", "db", "upgrade")
        logging.as_root(remedy.replace("= ON", "= OFF"))
        desk.run("bentleybot", "db", "upgrade")


def test_an_upgrade_that_was_cut_short_is_told_with_what_to_do(mariadb: MariaDb, tmp_path: Path) -> None:
    server = mariadb.database("cut_short")
    mariadb.as_root("CREATE TABLE cut_short_mlflow.secrets (secret_id VARCHAR(36) PRIMARY KEY)")
    refused = Desk.on(server, tmp_path / "desk").run("bentleybot", "db", "upgrade", check=False)
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2
    assert f"desk@127.0.0.1:{server.port}/cut_short_mlflow, table of mlflow's migrations" in said
    assert "An upgrade was cut short, which MySQL cannot undo: restore the backup" in said


def test_a_name_that_the_server_keeps_in_small_letters_is_found_again(tmp_path: Path) -> None:
    with running(MariaDb(tmp_path / "folding", options=("--lower-case-table-names=1",))) as folding:
        desk = Desk.on(folding.database("Bentley"), tmp_path / "desk")
        for _ in range(2):
            assert "database Bentley_mlflow: there" in desk.run("bentleybot", "db", "upgrade").stdout
        assert "can be opened" in desk.run("bentleybot", "doctor").stdout
        desk.run("bentleybot", "backup", str(tmp_path / "desk.tar.gz"))


@pytest.mark.parametrize("lost", ["unwell", "unwell_dagster", "unwell_mlflow"])
def test_the_doctor_finds_a_database_that_is_not_there(mariadb: MariaDb, tmp_path: Path, lost: str) -> None:
    server = mariadb.database("unwell")
    mariadb.as_root(f"DROP DATABASE {lost}")
    examined = Desk.on(server, tmp_path / "desk").run("bentleybot", "doctor", check=False)
    assert examined.returncode in {1, 2}
    (line,) = [line for line in examined.stdout.splitlines() if line.startswith(("FAIL", " FAIL"))]
    assert f"database {lost} " in line
    assert examined.stdout.count("can be opened, and this user may do what is needed") == 2


def test_the_doctor_warns_of_what_a_user_may_not_do(mariadb: MariaDb, tmp_path: Path) -> None:
    server = mariadb.database("looked_at")
    Desk.on(server, tmp_path / "upgraded").run("bentleybot", "db", "upgrade")
    mariadb.account("looker", "x")
    mariadb.as_root(*(f"GRANT SELECT ON looked_at{each}.* TO 'looker'@'127.0.0.1'" for each in SUFFIXES.values()))
    looker = MySqlServer(server.host, server.port, "looker", "x", server.database)
    examined = Desk.on(looker, tmp_path / "desk").run("bentleybot", "doctor").stdout
    said = " ".join(examined.split())
    assert said.count("looker was not granted ALTER, CREATE, CREATE TEMPORARY TABLES, DELETE, DROP, INDEX, INSERT") == 3


def test_a_user_who_may_only_read_may_look_and_is_told_in_one_line_why_nothing_runs(
    desk: Desk, server: MySqlServer, mariadb: MariaDb, tmp_path: Path
) -> None:
    mariadb.account("reader", "reading")
    mariadb.as_root(
        *(f"GRANT SELECT ON {server.database}{each}.* TO 'reader'@'127.0.0.1'" for each in ("", "_dagster", "_mlflow")),
    )
    reader = MySqlServer(server.host, server.port, "reader", "reading", server.database)
    looking = Desk.on(reader, tmp_path / "desk")
    query = "SELECT count(*) FROM trading__orders JOIN market__daily_bars USING (symbol, session)"
    counted = looking.run("bentleybot", "sql", query, "--format", "csv").stdout
    assert counted.split() == ["count_star()", str(Ledger(server).orders(DAY).height)]
    refused = looking.run("bentleybot", "run", check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "INSERT command denied to user 'reader'" in refused.stderr
    assert "`bentleybot db upgrade`" in refused.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"MYSQL_PASSWORD": "no"}, "Check MYSQL_USER and MYSQL_PASSWORD."),
        ({"MYSQL_PORT": "1"}, "Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT"),
        ({"MYSQL_DATABASE": "missing"}, "Run `bentleybot db upgrade`"),
    ],
    ids=str,
)
def test_a_server_that_cannot_be_used_is_one_line(server: MySqlServer, tmp_path: Path, wrong, said) -> None:
    desk = Desk.on(server, tmp_path / "desk")
    desk.variables.update(wrong)
    refused = desk.run("bentleybot", "table", "market/daily_bars", check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert said in refused.stderr
    assert server.password not in refused.stderr


def test_dagsters_own_commands_say_of_a_server_that_cannot_be_used_that_one_line(
    server: MySqlServer, tmp_path: Path
) -> None:
    desk = Desk.on(server, tmp_path / "desk")
    desk.variables.update({"MYSQL_PASSWORD": "no"})
    refused = desk.run("dagster", "dev", "--port", str(free_port()), check=False)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith(f"Error: {server.at(f'{server.database}_dagster').shown}, table")
    assert refused.stderr.endswith("Check MYSQL_USER and MYSQL_PASSWORD.\n")


def test_dagster_keeps_its_records_where_the_production_file_says(mariadb: MariaDb, tmp_path: Path) -> None:
    server = mariadb.database("records")
    shutil.copy(PROJECT / "docker" / "dagster.yaml", tmp_path)

    @dg.asset
    def noted() -> None:
        """Nothing to do."""

    with (
        patch.dict(os.environ, production_variables(server)),
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
    ):
        assert dg.materialize([noted], instance=instance).success
        assert instance.get_latest_materialization_event(noted.key) is not None
        assert instance.run_monitoring_start_timeout_seconds >= 180
    assert rows(server, "records_dagster", "SELECT status FROM runs") == [("SUCCESS",)]


def test_the_production_file_needs_the_production_profile(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "docker" / "dagster.yaml", tmp_path)
    with pytest.raises(MySqlError, match=r"the profile is embedded\. Set BENTLEYBOT_PROFILE=production"):
        dg.DagsterInstance.from_config(str(tmp_path))
