"""Dagster's own services and MLflow's server on the MySQL server, started as in production."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import numpy as np
import psutil
import pytest
from dagster._core.definitions.run_request import InstigatorType
from sklearn.linear_model import Ridge

from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.resources.mlflow import CHAMPION, Mlflow, MySqlMlflow
from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets_tests.integration import automated, materialising_writer
from bentleybot_assets_tests.integration.desk import PROJECT, Desk, production_variables
from bentleybot_assets_tests.integration.services import answer, free_port, graphql, serving, until
from bentleybot_assets_tests.integration.test_production import rows
from bentleybot_assets_tests.mariadb import SECRETS, MariaDb
from bentleybot_assets_tests.resources.test_mlflow import VERSION, a_context

TROUBLE = re.compile(r"ERROR|CRITICAL|Traceback|Retrying failed")


class Services:
    """Dagster's services of a production whose ``DAGSTER_HOME`` holds the repository's docker/dagster.yaml."""

    def __init__(self, folder: Path, server: MySqlServer) -> None:
        self.server = server
        folder.mkdir()
        shutil.copy(PROJECT / "docker" / "dagster.yaml", folder)
        self.desk = Desk(folder, {"DAGSTER_HOME": str(folder), **production_variables(server)})
        self.desk.run("bentleybot", "db", "upgrade")
        self.log = folder.with_suffix(".log")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, query: str) -> dict[str, Any]:
        """What the webserver answers, by GraphQL."""
        return graphql(self.port, query)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What Dagster's tables hold."""
        return rows(self.server, f"{self.server.database}_dagster", statement)

    def runs_of(self, job: str) -> list[str]:
        """The statuses of a job's runs."""
        return [status for name, status in self.rows("SELECT pipeline_name, status FROM runs") if name == job]

    def has_ended(self, job: str) -> bool:
        """Whether there was a run of the job, and none is on its way."""
        return bool(statuses := self.runs_of(job)) and set(statuses) <= {"SUCCESS", "FAILURE", "CANCELED"}

    def ticks(self, kind: str) -> list[str]:
        """What became of each look at the schedule or sensor."""
        ended = self.rows("SELECT type, status FROM job_ticks WHERE status <> 'STARTED'")
        return [status for of, status in ended if of == kind]


REQUESTS = """mutation {{
  startSchedule(scheduleSelector: {{{repository}, scheduleName: "every_minute"}}) {{ __typename }}
  startSensor(sensorSelector: {{{repository}, sensorName: "once"}}) {{ __typename }}
  launchPartitionBackfill(backfillParams: {{
    assetSelection: [{{path: ["backfilled"]}}], partitionNames: {partitions}
  }}) {{ __typename }}
}}"""
REPOSITORY = f'repositoryName: "__repository__", repositoryLocationName: "{automated.LOCATION}"'


@pytest.fixture(scope="module")
def services(mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A `dagster dev` asked for a schedule, a sensor and a backfill; its daemon looks once or twice a minute."""
    services = Services(tmp_path_factory.mktemp("services") / "dagster", mariadb.database("services"))
    address = ("--host", "127.0.0.1", "--port", str(services.port))
    with serving(
        services.desk.command("dagster", "dev", "-m", automated.LOCATION, *address),
        folder=services.desk.folder,
        environment=services.desk.environment,
        log=services.log,
        port=services.port,
    ) as services.process:
        answers = services.ask(REQUESTS.format(repository=REPOSITORY, partitions=json.dumps(automated.PARTITIONS)))
        assert {name: reply["__typename"] for name, reply in answers.items()} == {
            "startSchedule": "ScheduleStateResult",
            "startSensor": "Sensor",
            "launchPartitionBackfill": "LaunchBackfillSuccess",
        }
        yield services


def test_a_sensor_asks_for_its_run_once(services: Services) -> None:
    until(lambda: {"SUCCESS", "SKIPPED"} <= set(services.ticks("SENSOR")))
    until(lambda: services.has_ended("sensed_job"))
    assert services.runs_of("sensed_job") == ["SUCCESS"]


def test_monitoring_retries_and_retention_are_in_force(services: Services) -> None:
    with patch.dict(os.environ, services.desk.environment), dg.DagsterInstance.get() as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_start_timeout_seconds >= 180
        assert instance.run_monitoring_max_runtime_seconds == 7200
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 60
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        kept = {
            kind: instance.get_tick_retention_settings(kind)
            for kind in (InstigatorType.SCHEDULE, InstigatorType.SENSOR)
        }
    days = {kind.value: {status.value: days for status, days in settings.items()} for kind, settings in kept.items()}
    assert days == {
        "SCHEDULE": dict.fromkeys(("STARTED", "SKIPPED", "SUCCESS", "FAILURE"), 90),
        "SENSOR": {"STARTED": -1, "SKIPPED": 7, "SUCCESS": 90, "FAILURE": 30},
    }


@pytest.fixture(scope="module")
def mlflow_server(mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow's server as docker/ starts it, on a database that it fills itself."""
    server = mariadb.database("tracked")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    # Whoever has the second variable set for the desk has it set here too.
    variables = {"MLFLOW_PORT": str(port), "MLFLOW_TRACKING_URI": address}
    desk = Desk.on(server, tmp_path_factory.mktemp("mlflow") / "desk", **variables)
    with serving(
        desk.command("python", str(PROJECT / "docker" / "mlflow_server.py")),
        folder=desk.folder,
        environment=desk.environment,
        log=desk.folder.with_suffix(".log"),
        port=port,
    ) as process:
        yield MlflowServer(address, desk, server, process)


@dataclass(frozen=True)
class MlflowServer:
    """A running one: what MLFLOW_TRACKING_URI would be, whose desk it serves, where its tables are, its process."""

    address: str
    desk: Desk
    database: MySqlServer
    process: subprocess.Popen[bytes]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What MLflow's tables hold."""
        return rows(self.database, f"{self.database.database}_mlflow", statement)


def test_models_go_through_mlflows_server_into_mysql_and_its_folder(
    mlflow_server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = Mlflow(tracking_uri=mlflow_server.address, artifact_root="unused by a server")
    model = Ridge().fit(np.arange(6.0).reshape(3, 2), np.arange(3.0))
    with resource.training_run(a_context()) as run:
        run.log_params({"alpha": 1.0})
        run.log_metrics({"rank_ic": 0.02})
        run.register(VERSION, model)
        run.promote(VERSION)
    assert capsys.readouterr().out == ""
    assert resource.check() is None
    assert resource.load(VERSION).coef_.tolist() == model.coef_.tolist()
    assert mlflow_server.rows("SELECT status FROM runs") == [("FINISHED",)]
    assert mlflow_server.rows("SELECT alias FROM registered_model_aliases") == [(CHAMPION,)]
    assert len(list((mlflow_server.desk.home / "mlflow-artifacts").rglob("model.skops"))) == 1


def test_a_desk_that_goes_past_mlflows_server_is_told_to_name_it(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    with Mlflow(tracking_uri=mlflow_server.address, artifact_root="").training_run(a_context()):
        pass
    account = MySqlAccount(**asdict(mlflow_server.database))
    past = MySqlMlflow(tracking_uri="mysql+pymysql://", artifact_root=str(tmp_path), account=account)
    with pytest.raises(ValueError, match="set MLFLOW_TRACKING_URI to its address"), past.training_run(a_context()):
        pass


def test_mlflows_server_answers_only_to_its_own_names(mlflow_server: MlflowServer) -> None:
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert answer(mlflow_server.address + path)[0] == 200
    status, text = answer(mlflow_server.address + path, Host="elsewhere.example")
    assert status == 403
    assert "Invalid Host header" in text


def test_mlflows_server_runs_no_jobs(mlflow_server: MlflowServer) -> None:
    job = {"job_name": "invoke_scorer", "params": {}}
    _, text = answer(f"{mlflow_server.address}/ajax-api/3.0/jobs/", job)
    assert "job execution feature is not enabled" in text
    programs = [" ".join(process.cmdline()[1:3]) for process in family(mlflow_server.process)]
    assert programs == ["-m mlflow", "-m uvicorn"]
    assert mlflow_server.rows("SELECT COUNT(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"MYSQL_PASSWORD": "no"}, "Check MYSQL_USER and MYSQL_PASSWORD."),
        ({"BENTLEYBOT_PROFILE": "embedded"}, "MLflow's server is for BENTLEYBOT_PROFILE=production"),
    ],
    ids=str,
)
def test_mlflows_server_does_not_start_where_it_cannot_work(
    mariadb: MariaDb, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    desk = Desk.on(mariadb.database("tracked_by_none"), tmp_path / "desk")
    desk.variables.update(variables)
    refused = desk.run("python", str(PROJECT / "docker" / "mlflow_server.py"), check=False)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_mlflows_server_shows_the_password_to_nobody(mlflow_server: MlflowServer) -> None:
    assert showing_the_password(mlflow_server.process) == []
    files = [path for path in mlflow_server.desk.folder.parent.rglob("*") if path.is_file()]
    assert [path for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS)] == []


def test_eight_writers_at_once_lose_no_materialisation(mariadb: MariaDb, tmp_path: Path) -> None:
    _eight_writers(Services(tmp_path / "dagster", mariadb.database("writers")), runs=5)


@pytest.mark.sweep
def test_two_thousand_materialisations_of_eight_writers_are_all_there(mariadb: MariaDb, tmp_path: Path) -> None:
    _eight_writers(Services(tmp_path / "dagster", mariadb.database("writers")), runs=50)


def _eight_writers(services: Services, runs: int) -> None:
    assets, writers = len(materialising_writer.ASSETS), 8
    program = [sys.executable, "-m", materialising_writer.__name__]
    logs = [services.desk.folder / f"writer{number}.err" for number in range(writers)]
    processes = []
    for log in logs:
        # Into files: who writes to a pipe waits until somebody reads.
        with log.open("w") as errors:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
            command = [*program, log.stem, str(runs)]
            processes.append(subprocess.Popen(command, env=services.desk.environment, **streams))
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * writers
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process, log in zip(processes, logs, strict=True):
        process.communicate()
        assert process.returncode == 0, log.read_text()
    assert [log.name for log in logs if TROUBLE.search(log.read_text())] == []
    partitions = {f"writer{number}-{run}" for number in range(writers) for run in range(runs)}
    with patch.dict(os.environ, services.desk.environment), dg.DagsterInstance.get() as instance:
        assert set(instance.get_dynamic_partitions("writes")) == partitions
        for name in materialising_writer.ASSETS:
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == partitions
    written = services.rows(
        "SELECT asset_key, `partition` FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
    )
    assert len(written) == len(set(written)) == assets * len(partitions)
    assert services.rows("SELECT status, COUNT(*) FROM runs GROUP BY status") == [("SUCCESS", len(partitions))]
    assert services.rows("SELECT COUNT(*) FROM asset_keys") == [(assets,)]


def test_a_schedule_starts_its_run_at_the_minute(services: Services) -> None:
    until(lambda: services.ticks("SCHEDULE"))
    until(lambda: services.has_ended("scheduled_job"))
    assert set(services.ticks("SCHEDULE")) == {"SUCCESS"}
    assert set(services.runs_of("scheduled_job")) == {"SUCCESS"}


def test_a_backfill_ends_with_every_partition_materialised(services: Services) -> None:
    ended = until(lambda: services.rows("SELECT status FROM bulk_actions WHERE status <> 'REQUESTED'"))
    assert ended == [("COMPLETED_SUCCESS",)]
    nodes = services.ask('{ assetNodes(assetKeys: [{path: ["backfilled"]}]) { partitionStats { numMaterialized } } }')
    assert nodes["assetNodes"][0]["partitionStats"] == {"numMaterialized": len(automated.PARTITIONS)}


def test_no_service_complained_or_showed_the_password(services: Services) -> None:
    logs = [services.log, *services.desk.folder.rglob("*.err")]
    lines = [line for log in logs for line in log.read_text().splitlines()]
    assert [line for line in lines if TROUBLE.search(line)] == []
    assert len(logs) > 4  # of each run beside that of the services
    files = [services.log, *(path for path in services.desk.folder.rglob("*") if path.is_file())]
    assert [path for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS)] == []
    assert showing_the_password(services.process) == []
    assert [path for path in files if path.suffix == ".db"] == []


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all that it started, directly or not."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def showing_the_password(process: subprocess.Popen[bytes]) -> list[str]:
    """The command lines of a server's processes that hold it."""
    lines = [" ".join(member.cmdline()) for member in family(process)]
    return [line for line in lines if any(secret in line for secret in SECRETS)]
