"""A finished desk is backed up and comes back elsewhere: all it holds is equal, and its next run continues."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from mlflow import MlflowClient

from bentleybot_assets.backup import elsewhere
from bentleybot_assets.backup.databases import _quoted, options_file
from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.resources.mlflow import Mlflow
from bentleybot_assets.settings import Settings
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import PROJECT, SESSION, Desk
from bentleybot_assets_tests.integration.test_session_run import content, instance_of, ledger_rows
from bentleybot_assets_tests.mariadb import PASSWORD, MariaDb

WATCHED = yaml.safe_load((PROJECT / "bentleybot.yaml").read_text())["watchlist"]
FEW = json.dumps(
    [entry for entry in WATCHED if entry["symbol"] in {"AAPL", "XOM", "WMT", "USMV", "MTUM", "^GSPC"}], default=str
)
"""So that runs, dumps and loads are short: what is restored does not depend on how much there is."""

DAGSTER_FILES = ("dagster.yaml", "docker/dagster.yaml")

SUFFIXES = ("", "_dagster", "_mlflow")


def models(tracking_uri: str) -> list[tuple[str, str, dict[str, str], dict[str, str]]]:
    """Every registered version, its tags, and who has which alias."""
    client = MlflowClient(tracking_uri, tracking_uri)
    registered = {model.name: dict(model.aliases) for model in client.search_registered_models()}
    versions = client.search_model_versions()
    return sorted((each.name, each.version, dict(each.tags), registered[each.name]) for each in versions)


def require_models_below(home: Path, tracking_uri: str) -> None:
    """The models of a desk are its own, in its folder, and load: their hashes are looked at."""
    client = MlflowClient(tracking_uri, tracking_uri)
    resource = Mlflow(tracking_uri=tracking_uri, artifact_root=str(home / "mlflow"))
    versions = client.search_model_versions()
    assert versions
    for version in versions:
        assert version.source.startswith((home / "mlflow").as_uri())
        assert resource.load(version.tags["model_version"]) is not None


def without_replaced_versions(desk: Desk, found: dict[str, bytes | str]) -> dict[str, bytes | str]:
    """A version that no table points to is kept for its readers, and is not in an archive."""
    links = [path for path in (desk.home / "warehouse").rglob("*") if path.is_symlink()]
    current = tuple(f"{link.resolve().relative_to(desk.home.resolve())}/" for link in links)
    assert len(current) >= len([name for name in EXPECTED if not name.startswith("raw/")])
    return {name: value for name, value in found.items() if ".versions/" not in name or name.startswith(current)}


def runs_of(desk: Desk) -> list[tuple[str, str]]:
    with instance_of(desk) as instance:
        return sorted((run.run_id, run.status.value) for run in instance.get_runs())


def test_an_embedded_desk_comes_back_in_another_folder_and_continues(finished_desk: Desk, tmp_path: Path) -> None:
    archive = tmp_path / "desk.tar.gz"
    before, rows, runs = content(finished_desk), ledger_rows(finished_desk), runs_of(finished_desk)
    registered = models(f"sqlite:///{finished_desk.home}/mlflow.db")
    said = finished_desk.run("bentleybot", "backup", str(archive))
    assert str(archive) in "".join(said.stdout.split())
    assert said.stderr == ""

    desk = Desk.fresh(tmp_path / "elsewhere")
    assert desk.run("bentleybot", "restore", str(archive)).stderr == ""
    kept = without_replaced_versions(finished_desk, before)
    assert content(desk) == kept
    assert ledger_rows(desk) == rows
    assert runs_of(desk) == runs
    store = f"sqlite:///{desk.home}/mlflow.db"
    assert models(store) == registered
    require_models_below(desk.home, store)

    printed = desk.run("bentleybot", "run").stdout
    assert f"{SESSION} was decided before; its decision stands." in printed
    assert content(desk) == kept
    assert ledger_rows(desk) == rows
    assert len(runs_of(desk)) == len(runs) + 1
    assert models(store) == registered


@pytest.mark.parametrize(
    ("file", "named"),
    [
        pytest.param("dagster.yaml", [], id="of the project"),
        pytest.param("docker/dagster.yaml", [], id="of the services"),
        pytest.param(None, ["logs"], id="one that states the history alone"),
    ],
)
def test_what_dagster_keeps_outside_of_the_desk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str | None, named: list[str]
) -> None:
    desk = Desk.on(MySqlServer("127.0.0.1", 1, "desk", "x", "desk"), tmp_path / "desk")
    services = tmp_path / "services"
    services.mkdir()
    history = yaml.safe_load((PROJECT / "docker" / "dagster.yaml").read_text())["storage"]
    (services / "dagster.yaml").write_text((PROJECT / file).read_text() if file else yaml.dump({"storage": history}))
    monkeypatch.chdir(desk.folder)
    monkeypatch.delenv("BENTLEYBOT_HOME")
    for name, value in desk.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(services))
    assert [re.search(r"Dagster's (\w+) ", line)[1] for line in elsewhere(Settings.load())] == named


def test_services_and_command_leave_what_steps_print_and_pass_on_in_one_place() -> None:
    of_command, of_services = (yaml.safe_load((PROJECT / name).read_text()) for name in DAGSTER_FILES)
    for storage in ("compute_logs", "local_artifact_storage"):
        assert of_services[storage] == of_command[storage]


@dataclass(frozen=True)
class ProductionDesk(Desk):
    """A desk on a MySQL server."""

    server: MySqlServer | None = None

    @classmethod
    def at(cls, folder: Path, server: MySqlServer) -> ProductionDesk:
        desk = Desk.on(server, folder, BENTLEYBOT_WATCHLIST=FEW)
        return cls(desk.folder, desk.variables, server)

    def rows(self, query: str, database: str = "") -> tuple[tuple[Any, ...], ...]:
        assert self.server is not None
        with closing(self.server.at(self.server.database + database).connect(table="x")) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchall()

    def all(self) -> dict[str, Any]:
        """Everything that a backup holds."""
        assert self.server is not None
        warehouse = MySqlWarehouse(self.server)
        return {key: warehouse.read(contract_for(key.split("/"))) for key in EXPECTED} | {
            "orders": self.rows("SELECT * FROM orders ORDER BY order_id"),
            "models": models(self.mlflow),
            "reports": {path.name: path.read_bytes() for path in (self.home / "reports").rglob("*") if path.is_file()},
        }

    def runs(self) -> tuple[tuple[Any, ...], ...]:
        return self.rows("SELECT run_id, status FROM runs ORDER BY run_id", "_dagster")

    @property
    def mlflow(self) -> str:
        assert self.server is not None
        url = self.server.at(f"{self.server.database}_mlflow").sqlalchemy_url().set(query={})
        return url.render_as_string(hide_password=False)


def require_equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = value.equals(right[name]) if isinstance(value, pl.DataFrame) else value == right[name]
        assert same, name


@pytest.fixture(scope="module")
def production(mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> tuple[ProductionDesk, Path]:
    """A desk on the server on which the newest session was run, and its backup."""
    folder = tmp_path_factory.mktemp("production")
    desk = ProductionDesk.at(folder / "desk", mariadb.database("backed_up"))
    desk.run("bentleybot", "run", "--session", SESSION)
    assert desk.run("bentleybot", "backup", str(folder / "desk.tar.gz")).stderr == ""
    return desk, folder / "desk.tar.gz"


@pytest.fixture(scope="module")
def restored(production, mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> ProductionDesk:
    """The desk elsewhere, in databases that were not there: its user may create them."""
    server = mariadb.database("restored")
    mariadb.as_root(*(f"DROP DATABASE restored{suffix}" for suffix in SUFFIXES))
    desk = ProductionDesk.at(tmp_path_factory.mktemp("restored") / "elsewhere", server)
    assert desk.run("bentleybot", "restore", str(production[1])).stderr == ""
    return desk


def test_a_production_desk_comes_back_in_databases_of_its_own_and_continues(production, restored) -> None:
    original, _ = production
    before, runs = restored.all(), restored.runs()
    require_equal(original.all(), before)
    assert runs == original.runs()
    require_models_below(restored.home, restored.mlflow)

    printed = restored.run("bentleybot", "run").stdout
    assert f"{SESSION} was decided before; its decision stands." in printed
    require_equal(restored.all(), before)
    assert len(restored.runs()) == len(runs) + 1


def test_a_database_that_the_user_may_not_create_is_named_with_the_statement(production, mariadb, tmp_path) -> None:
    server = mariadb.database("allowed").at("forbidden")
    result = ProductionDesk.at(tmp_path / "desk", server).run("bentleybot", "restore", str(production[1]), check=False)
    assert result.returncode == 2
    assert "CREATE DATABASE IF NOT EXISTS `forbidden` CHARACTER SET utf8mb4" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_restore_that_the_server_stops_is_refused_until_one_succeeds(production, mariadb, tmp_path: Path) -> None:
    server = replace(mariadb.database("half"), user="weak")
    mariadb.account("weak", PASSWORD)
    mariadb.as_root(
        *(f"GRANT ALL ON half{each}.* TO 'weak'@'127.0.0.1'" for each in SUFFIXES),
        "REVOKE INSERT ON half_mlflow.* FROM 'weak'@'127.0.0.1'",
    )
    desk = ProductionDesk.at(tmp_path / "desk", server)
    result = desk.run("bentleybot", "restore", str(production[1]), check=False)
    assert result.returncode == 2
    said = " ".join(result.stderr.split())
    assert "INSERT command denied to user" in said
    assert "Until a restore has succeeded, nothing opens the databases half, half_dagster, half_mlflow;" in said
    assert PASSWORD not in said
    assert [path.name for path in tmp_path.iterdir()] == ["desk"]
    assert [path.name for path in desk.home.iterdir()] == [".run.lock"]

    words = "database half is being restored, or a restore of it was interrupted (it has table restore_in_progress)."
    for command in (["run"], ["doctor"], ["table", "market/daily_bars"], ["db", "upgrade"], ["backup", "x.tar.gz"]):
        refused = desk.run("bentleybot", *command, check=False)
        assert refused.returncode == 2, command
        assert words in refused.stderr, command
        assert "run `bentleybot restore` again" in refused.stderr
        assert "Traceback" not in refused.stderr

    mariadb.as_root("GRANT INSERT ON half_mlflow.* TO 'weak'@'127.0.0.1'")
    desk.run("bentleybot", "restore", str(production[1]))
    require_equal(production[0].all(), desk.all())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_database_that_holds_something_is_left_alone(production, mariadb: MariaDb, tmp_path, suffix: str) -> None:
    desk = ProductionDesk.at(tmp_path / "desk", mariadb.database("taken"))
    mariadb.as_root(f"CREATE TABLE taken{suffix}.precious (a INT)")
    result = desk.run("bentleybot", "restore", str(production[1]), check=False)
    assert result.returncode == 2
    assert f"database taken{suffix} is not empty: it has table precious" in " ".join(result.stderr.split())
    assert PASSWORD not in result.stderr
    assert not desk.home.exists()
    found = mariadb.as_root("SELECT table_name FROM information_schema.tables WHERE table_schema LIKE 'taken%'")
    assert found == [("precious",)]


def test_no_secret_is_in_the_archive(production) -> None:
    with tarfile.open(production[1]) as archive:
        assert {"databases/tables.sql", "databases/dagster.sql", "databases/mlflow.sql"} <= set(archive.getnames())
        for member in archive:
            content = archive.extractfile(member).read() if member.isreg() else b""
            assert PASSWORD.encode() not in content, member.name
            assert PASSWORD.replace("'", "\\'").encode() not in content, member.name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"MYSQL_PASSWORD": "w-r-o-n-g"}, "Check MYSQL_USER and MYSQL_PASSWORD"),
        ({"MYSQL_DATABASE": "nowhere"}, "there is no database nowhere"),
        ({"PATH": "/nonexistent"}, "Install the package mariadb-client"),
    ],
)
def test_what_stops_a_backup_is_one_clear_line(production, tmp_path: Path, changed, message: str) -> None:
    desk = production[0]
    there = replace(desk, variables={**desk.variables, **changed})
    result = there.run("bentleybot", "backup", str(tmp_path / "desk.tar.gz"), check=False)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "w-r-o-n-g" not in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("password", ["plain", "a b#c;d", "\"'\\", "\\n\\s\\\\", "'quoted'", '"quoted"', "ä€=[x]"])
def test_the_servers_programs_read_any_password(mariadb: MariaDb, tmp_path: Path, password: str) -> None:
    mariadb.account("odd", password)
    assert "\n" not in _quoted(password)
    client = shutil.which("mariadb")
    file = options_file(MySqlServer("127.0.0.1", mariadb.port, "odd", password, "x"), client, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    answer = subprocess.run([client, f"--defaults-file={file}", "-e", "SELECT 1"], capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
