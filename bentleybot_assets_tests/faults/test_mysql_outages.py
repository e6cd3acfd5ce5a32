"""Killed clients, killed servers, black holes: nothing half is seen, errors come soon, and a re-run mends the rest."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import connectorx
import pytest
from pymysql.connections import Connection, MySQLResult
from pymysql.err import OperationalError

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer, watched
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults import killed_mysql_writer as writer
from bentleybot_assets_tests.faults.black_hole import BlackHole
from bentleybot_assets_tests.faults.dying import Context, Points, exit_code, forkserver, parts
from bentleybot_assets_tests.faults.watching_reader import Reader
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record
from bentleybot_assets_tests.mariadb import MariaDb
from bentleybot_assets_tests.warehouse.tables import MONDAY, weights

STRIDE = 40
PARTS = parts(STRIDE, always=7)


@pytest.fixture(scope="module")
def processes() -> Context:
    return forkserver(writer.__name__)


@pytest.fixture(scope="module")
def undisturbed(
    mariadb: MariaDb, processes: Context, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], int]:
    """What an undisturbed run ends with, and its number of write points."""
    server, file = mariadb.database("desk"), tmp_path_factory.mktemp("undisturbed") / "points"
    assert exit_code(processes, writer.count_or_die, server, file, None) == 0
    return writer.digest(server), int(file.read_text())


@pytest.mark.parametrize("first", PARTS)
def test_a_client_killed_at_any_point_leaves_nothing_half_and_a_re_run_mends_it(
    mariadb: MariaDb, processes: Context, undisturbed: tuple[dict[str, Any], int], tmp_path: Path, first: int
) -> None:
    expected, points = undisturbed
    assert points > 150
    for die_at in range(first, points, STRIDE):
        server = mariadb.database("desk")
        with Reader(server) as reader:
            assert exit_code(processes, writer.count_or_die, server, tmp_path / "points", die_at) == -signal.SIGKILL
            assert exit_code(processes, writer.count_or_die, server, tmp_path / "points", None) == 0, die_at
        assert not reader.wrong, die_at
        assert reader.reads, die_at
        assert writer.digest(server) == expected, die_at


@pytest.mark.parametrize("first", PARTS)
def test_a_server_killed_at_any_point_and_started_again_ends_with_what_was_to_be_written(
    mortal: MariaDb, undisturbed: tuple[dict[str, Any], int], first: int
) -> None:
    expected, points = undisturbed
    for kill_at in range(first, points, STRIDE):
        server = mortal.database("desk")
        passing = Points(kill_at, lambda: (mortal.kill(), mortal.start()))
        end = writer.watch(passing)
        try:
            writer.work(server)
        except (MySqlError, LedgerError) as error:
            assert server.shown in str(error), kill_at  # noqa: PT017 - it may, but need not, be retried to success
        finally:
            end()
        assert passing.passed > kill_at
        writer.work(server)
        assert writer.digest(server) == expected, kill_at


WITHIN_SECONDS = 15
"""An error must have come by then."""


@pytest.mark.parametrize("seconds", [0.5, *(pytest.param(outage, marks=pytest.mark.sweep) for outage in (5, 30))])
def test_a_load_waits_for_a_server_that_comes_back_soon_and_gives_one_up_that_does_not(
    mortal: MariaDb, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    server = mortal.database("desk")
    warehouse = MySqlWarehouse(server)
    old, new = writer.versions()[:2]
    warehouse.publish(Labels, old)
    for day, (first, _) in writer.slices().items():
        warehouse.publish(TargetWeights, first, [day])
    killed: list[float] = []
    restart = threading.Timer(seconds, mortal.start)
    send = MySQLResult._read_load_local_packet

    def send_to_nobody(result: Any, packet: Any) -> Any:
        if not killed:
            mortal.kill()
            killed.append(time.monotonic())
            restart.start()
        return send(result, packet)

    monkeypatch.setattr(MySQLResult, "_read_load_local_packet", send_to_nobody)
    with Reader(server, tolerated=(MySqlError,)) as reader:
        if seconds < server.read_seconds:
            warehouse.publish(Labels, new)
        else:
            with pytest.raises(
                MySqlError, match=rf"{server.shown}, table models__labels: .*Check that the server runs"
            ):
                warehouse.publish(Labels, new)
            assert time.monotonic() - killed[0] < WITHIN_SECONDS
        restart.join()
        warehouse.publish(Labels, new)
    assert killed
    assert not reader.wrong
    assert warehouse.read(Labels).equals(new)


# Black holes


@pytest.fixture
def hole(mysql_server: MySqlServer) -> Iterator[BlackHole]:
    proxy = BlackHole(mysql_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def through(hole: BlackHole, mysql_server: MySqlServer) -> MySqlServer:
    """The server as it is reached through the proxy."""
    writer.work(mysql_server)
    return replace(mysql_server, port=hole.port, options={"connect_timeout": "1", "read_timeout": "1"})


ACTS: dict[str, tuple[str, Callable[[MySqlServer], object]]] = {
    "read": ("models__labels", lambda server: MySqlWarehouse(server).read(Labels)),
    "scan": ("models__labels", lambda server: MySqlWarehouse(server).scan(Labels).collect()),
    "publish": ("models__labels", lambda server: MySqlWarehouse(server).publish(Labels, writer.versions()[0])),
    "slices": (
        "trading__target_weights",
        lambda server: MySqlWarehouse(server).publish(TargetWeights, weights(MONDAY, "A"), [MONDAY]),
    ),
    "decide": ("(orders|ledger_alembic_version)", lambda server: record(Ledger(server), FIRST, intents(FIRST))),
    "look up": ("(orders|ledger_alembic_version)", lambda server: Ledger(server).orders(FIRST)),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("point", [0, 5])
def test_a_server_that_stops_answering_is_an_error_that_names_it(
    hole: BlackHole, through: MySqlServer, monkeypatch: pytest.MonkeyPatch, act: str, point: int
) -> None:
    table, carry_out = ACTS[act]
    left = point

    def pass_point() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            hole.swallow()

    read_sql = connectorx.read_sql

    def read_nothing(*arguments: Any, **options: Any) -> Any:
        hole.swallow()
        return read_sql(*arguments, **options)

    monkeypatch.setattr(connectorx, "read_sql", read_nothing)
    if point == 0:
        hole.swallow()
    end = writer.watch(pass_point)
    said = rf"{through.shown}, table {table}: .*(error 20\d\d|no answer within \d+ s).*Check (that )?the server"
    try:
        with pytest.raises((MySqlError, LedgerError), match=said):
            carry_out(through)
    finally:
        end()


@pytest.mark.parametrize("act", ["read", "publish", "slices"])
def test_long_work_is_given_up_as_soon_as_the_server_answers_nobody(
    hole: BlackHole, through: MySqlServer, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    table, carry_out = ACTS[act]
    swallowed: list[float] = []

    def swallowing(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            hole.swallow()
            swallowed.append(time.monotonic())
            return original(*arguments, **options)

        return call

    monkeypatch.setattr(connectorx, "read_sql", swallowing(connectorx.read_sql))
    monkeypatch.setattr(MySQLResult, "_read_load_local_packet", swallowing(MySQLResult._read_load_local_packet))
    with pytest.raises(MySqlError, match=rf"{through.shown}, table {table}: .*error 20\d\d.*Check that the server"):
        carry_out(through)
    assert time.monotonic() - swallowed[0] < WITHIN_SECONDS


def test_what_the_server_said_before_it_went_away_is_what_is_told(hole: BlackHole, through: MySqlServer) -> None:
    connection = through.connect(table="any")
    hole.swallow()

    def be_refused() -> None:
        with watched(through, connection, "any"):
            for thread in threading.enumerate():
                if thread.name == "heartbeat":
                    thread.join()
            raise MySqlError("a row does not fit", 1062)

    with pytest.raises(MySqlError) as told:
        be_refused()
    assert told.value.code == 1062


def test_a_run_whose_commit_was_carried_out_but_not_answered_is_counted_once(
    mysql_server: MySqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = {"check": "c", "table": "t", "evidence": "e"}
    ledger, other = Ledger(mysql_server), Ledger(mysql_server)
    ledger.record_refusal(FIRST, **fault, dagster_run_id="r1")
    commit = Connection.commit

    def unanswered(connection: Connection[Any]) -> None:
        monkeypatch.setattr(Connection, "commit", commit)
        connection.commit()
        other.record_refusal(FIRST, **fault, dagster_run_id="r3")
        raise OperationalError(2013, "Lost connection to MySQL server during query")

    monkeypatch.setattr(Connection, "commit", unanswered)
    ledger.record_refusal(FIRST, **fault, dagster_run_id="r2")
    assert Connection.commit is commit
    assert ledger.refusals(FIRST)["times_met"].to_list() == [3]
