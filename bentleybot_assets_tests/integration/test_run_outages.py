"""The server goes away in the middle of a whole run: it goes on, or says why it ended, and the next one ends the same.

Does not belong here: outages in a single load or decision (``faults.test_mysql_outages``).
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets_tests.faults.black_hole import BlackHole
from bentleybot_assets_tests.faults.full_disk import NO_MOUNT, MountedMariaDb, may_mount
from bentleybot_assets_tests.integration.desk import SESSION, Desk, differences
from bentleybot_assets_tests.mariadb import MariaDb, running

WITHIN_SECONDS = 15
"""The run must have ended by then if the server stays away."""

LOGIN = (b"_dagster\0", 200)
MLFLOW_LOGIN = (b"_mlflow\0", 2)
LOADED = (b"LOAD DATA", 4)
DECIDED = (b"INSERT INTO decisions", 1)
EVENT = (b"INSERT INTO event_logs", 60)
TRAINED = (b"INSERT INTO metrics", 1)
REGISTERED = (b"INSERT INTO model_versions", 1)
"""What a client sends, and which time it does so is the moment of the fault."""

SWEEP = pytest.mark.sweep


@pytest.fixture
def server(mortal: MariaDb, tmp_path: Path) -> MySqlServer:
    server = mortal.database("desk")
    Desk.on(server, tmp_path / "upgraded").run("bentleybot", "db", "upgrade")
    return server


class Fault:
    """A proxy that does something once, when a client sends ``moment`` for the n-th time.

    Left, it closes what still hangs on it, as the server would do with connections that nobody uses.

    Attributes:
        happened: when it did.
    """

    def __init__(self, port: int, moment: tuple[bytes, int], act: Callable[[], object]) -> None:
        self._sign, self._left = moment
        self._act = act
        self.happened: list[float] = []
        self._is_done = threading.Event()
        self.proxy = BlackHole(port, self._see)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.close()

    def _see(self, data: bytes) -> None:
        self._left -= self._sign in data
        if self._left == 0 and not self.happened:
            self.happened.append(time.monotonic())
            self._act()
            self._is_done.set()

    def wait(self) -> None:
        """Until all is done that was to be done."""
        assert self._is_done.wait(60), "a run ended before the moment of the fault"


def settled(server: MySqlServer, desk: Desk, finished_desk: Desk, *, runs: int = 1) -> None:
    """After one more run everything is as if there had been no fault, and nothing is said to be under way.

    Args:
        server: reached without a proxy.
        desk: where the fault was met.
        finished_desk: where there was none.
        runs: how often one may have to be begun until it is carried out.
    """
    desk.variables["MYSQL_PORT"] = str(server.port)
    ended = (desk.run("bentleybot", "run", "--session", SESSION, check=False) for _ in range(runs))
    assert any(run.returncode == 0 for run in ended)
    assert differences(server, finished_desk) == []
    for database, statement in {
        "_dagster": "SELECT COUNT(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE')",
        "_mlflow": "SELECT COUNT(*) FROM runs WHERE status NOT IN ('FINISHED', 'FAILED', 'KILLED')",
    }.items():
        connection = server.at(server.database + database).connect(table="runs")
        with connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.fetchone() == (0,), database
        connection.close()


@pytest.mark.parametrize(
    "outage",
    [
        (LOGIN, 0.5),
        *(pytest.param((moment, 0.5), marks=SWEEP) for moment in (MLFLOW_LOGIN, LOADED, DECIDED)),
        *(pytest.param((moment, 5), marks=SWEEP) for moment in (LOGIN, MLFLOW_LOGIN, LOADED, DECIDED)),
    ],
    ids=str,
)
def test_a_run_goes_on_when_the_server_is_back_soon(
    mortal: MariaDb, server: MySqlServer, finished_desk: Desk, tmp_path: Path, outage: tuple[tuple[bytes, int], float]
) -> None:
    moment, seconds = outage
    restart = threading.Timer(seconds, mortal.start)
    with Fault(server.port, moment, lambda: (mortal.kill(), restart.start())) as fault:
        desk = Desk.on(replace(server, port=fault.proxy.port), tmp_path / "desk")
        done = desk.run("bentleybot", "run", "--session", SESSION)
        fault.wait()
    restart.join()
    assert done.stderr.count("Check that the server runs and is reached") == 1
    assert "Trying again for 10 seconds." in done.stderr
    assert differences(server, finished_desk) == []
    settled(server, desk, finished_desk)


@pytest.mark.parametrize(
    "moment", [*(pytest.param(moment, marks=SWEEP) for moment in (EVENT, TRAINED)), REGISTERED], ids=str
)
def test_a_statement_of_dagster_or_mlflow_that_was_lost_ends_the_run_and_the_next_one_makes_up_for_it(
    mortal: MariaDb, server: MySqlServer, finished_desk: Desk, tmp_path: Path, moment: tuple[bytes, int]
) -> None:
    with Fault(server.port, moment, lambda: (mortal.kill(), mortal.start())) as fault:
        desk = Desk.on(replace(server, port=fault.proxy.port), tmp_path / "desk")
        ended = desk.run("bentleybot", "run", "--session", SESSION, check=False)
        fault.wait()
    assert ended.returncode in {1, 2}
    said = " ".join((ended.stdout + ended.stderr).split())
    assert f"desk@127.0.0.1:{fault.proxy.port}/desk" in said
    assert "Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT" in said
    assert "Traceback" not in said
    settled(server, desk, finished_desk)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "outage",
    list(itertools.product([LOGIN, MLFLOW_LOGIN, LOADED, DECIDED, EVENT, TRAINED, REGISTERED], ["killed", "silent"])),
    ids=str,
)
def test_a_run_whose_server_stays_away_ends_soon_with_one_line(
    mortal: MariaDb, server: MySqlServer, finished_desk: Desk, tmp_path: Path, outage: tuple[tuple[bytes, int], str]
) -> None:
    moment, way = outage
    with Fault(server.port, moment, lambda: mortal.kill() if way == "killed" else fault.proxy.swallow()) as fault:
        desk = Desk.on(replace(server, port=fault.proxy.port), tmp_path / "desk")
        ended = desk.run("bentleybot", "run", "--session", SESSION, check=False)
        ended_at = time.monotonic()
        fault.wait()
    if way == "killed":
        mortal.start()
    assert ended_at - fault.happened[0] < WITHIN_SECONDS
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"desk@127.0.0.1:{fault.proxy.port}/desk")
    assert "Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT" in last
    settled(server, desk, finished_desk)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "case", list(itertools.product([LOADED, DECIDED, EVENT, TRAINED], ["no log", "a binary log"])), ids=str
)
def test_a_run_whose_servers_disk_becomes_full_says_so_and_the_next_one_makes_up_for_it(
    finished_desk: Desk, tmp_path: Path, case: tuple[tuple[bytes, int], str]
) -> None:
    if not may_mount():
        pytest.skip(NO_MOUNT)
    moment, log = case
    options = ("--log-bin", "--log-bin-trust-function-creators=1") if log == "a binary log" else ()
    (tmp_path / "disk").mkdir()
    with running(MountedMariaDb(tmp_path / "disk" / "server", options=options, size=1 << 30)) as disk:
        server = disk.database("desk")
        Desk.on(server, tmp_path / "upgraded").run("bentleybot", "db", "upgrade")
        with Fault(server.port, moment, disk.fill) as fault:
            desk = Desk.on(replace(server, port=fault.proxy.port), tmp_path / "desk")
            ended = desk.run("bentleybot", "run", "--session", SESSION, check=False)
            ended_at = time.monotonic()
            fault.wait()
        said = " ".join((ended.stdout + ended.stderr).split())
        assert ended.returncode in {1, 2}
        assert re.search(rf"desk@127.0.0.1:{fault.proxy.port}/desk\w*, table .*disk is (not )?full", said)
        assert "Traceback" not in said
        assert ended_at - fault.happened[0] < WITHIN_SECONDS
        disk.free()
        if disk.has_ended:
            disk.start()
        # A server that waits for space looks for it once a minute, and its binary log is held until then.
        settled(server, desk, finished_desk, runs=8 if options else 1)
