"""A small desk of either profile, and a restore of it that dies at the k-th point.

A point is any statement to the server, any program that is started, and any change of a file or folder. Does not belong
here: what is expected (``test_killed_restores``).
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from pymysql.connections import Connection

from bentleybot_assets.backup import back_up, restore_from
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.resources.restoring import WORKSHOP
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.faults.dying import Points
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels, quarantined

RUNS = "CREATE TABLE runs (run_id VARCHAR(32) PRIMARY KEY, artifact_uri VARCHAR(500))"
_EVENTS = {"subprocess.Popen", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink"}


def settings_of(variables: dict[str, str], folder: Path) -> Settings:
    """Of a desk whose commands are typed in ``folder``."""
    os.chdir(folder)
    os.environ.update(variables)
    return Settings.load()


def make(variables: dict[str, str], folder: Path, server: MySqlServer | None, archive: Path) -> None:
    """Fill a desk, and back it up."""
    settings = settings_of(variables, folder)
    resources = resources_of(settings)
    warehouse = resources["warehouse"].open()
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    warehouse.quarantine(Labels, quarantined("2022-01-05"))
    record(resources["ledger"].open(), FIRST, intents(FIRST, AAPL=3, IBM=5))
    home = settings.home
    for name in ("reports/brief.html", "mlflow/model.skops"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(name)
    run = f"INSERT INTO runs VALUES ('a', '{(home / 'mlflow').as_uri()}/a')"  # noqa: S608 - a path of the test's
    if server is None:
        with closing(sqlite3.connect(home / "mlflow.db")) as mlflow:
            mlflow.executescript(f"{RUNS}; {run}")
    else:
        for suffix in ("_dagster", "_mlflow"):
            with closing(server.at(server.database + suffix).connect(table="runs")) as connection:
                connection.cursor().execute(RUNS)
                connection.cursor().execute(run)
    back_up(settings, archive, before_waiting=print)


def digest(home: Path, server: MySqlServer | None) -> dict[str, Any]:
    """Every file of a home, whether it has a restore's mark, and every row of the databases."""
    seen: dict[str, Any] = {
        str(path.relative_to(home)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in home.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.relative_to(home).parts[0].startswith(".")
    }
    seen |= {WORKSHOP: "there"} if (home / WORKSHOP).exists() else {}
    for suffix in ("", "_dagster", "_mlflow") if server else ():
        with closing(server.at("information_schema").connect(table="any")) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SHOW TABLES IN `{server.database}{suffix}`")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT * FROM `{server.database}{suffix}`.`{table}`")  # noqa: S608 - its own names
                seen[f"{suffix}/{table}"] = sorted(map(str, cursor.fetchall()))
    return seen


def count_or_die(variables: dict[str, str], folder: Path, archive: Path, die_at: int | None) -> None:
    """Restore; die before the ``die_at``-th point, or note in a file how many there were."""
    settings = settings_of(variables, folder)
    points = Points(die_at)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and str(settings.home) in str(arguments[0]) and arguments[2] & os.O_ACCMODE
        if is_write or event in _EVENTS:
            points()

    def query(self: Connection[Any], *arguments: Any) -> Any:
        points()
        return original(self, *arguments)

    original, Connection.query = Connection.query, query
    sys.addaudithook(hear)
    restore_from(settings, archive)
    (folder / "points").write_text(str(points.passed))


def killing_client(client: str, folder: Path) -> None:
    """A client program that kills the restore which started it, and loads the rest once somebody writes to ``go``.

    It stops before rows of a table without a key: loaded twice, they would be there twice. At its end it writes to
    ``ended``.
    """
    for name in ("go", "ended"):
        os.mkfifo(folder / name)
    program = folder / "mariadb"
    program.write_text(
        f"""#!/bin/sh
        if [ "$1" = --version ]; then exec {client} --version; fi
        cd {folder} && cat > dump
        rows=$(grep -n '^INSERT INTO `quarantine' dump | cut -d: -f1)
        {{ head -n $((rows - 1)) dump; kill -KILL $PPID; cat go; tail -n +$rows dump; }} | {client} "$@"
        echo > ended
        """
    )
    program.chmod(stat.S_IRWXU)
