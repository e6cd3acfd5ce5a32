"""Killed clients, killed servers, black holes, locks and races: nothing half is seen, and a re-run mends the rest."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import connectorx
import polars as pl
import pytest
from pymysql.connections import MySQLResult

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.warehouse.base import MissingTableError
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults import killed_mysql_writer as writer
from bentleybot_assets_tests.faults.black_hole import BlackHole
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record, url_of
from bentleybot_assets_tests.mariadb import MISSING, MariaDb, is_installed
from bentleybot_assets_tests.warehouse.statements import recorded
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels, weights

STRIDE = 40
"""As in ``test_killed_writers``: one part of each sweep runs always, the others in `make faults`."""
PARTS = [7, *(pytest.param(first, marks=pytest.mark.sweep) for first in range(STRIDE) if first != 7)]

Context = multiprocessing.context.ForkServerContext


@pytest.fixture(scope="module")
def processes() -> Context:
    """Children that have the imports done but no thread running yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([writer.__name__, "alembic.command"])
    return context


@pytest.fixture(scope="module")
def own() -> Iterator[Callable[[Path], MariaDb]]:
    """Starts servers that a test may kill."""
    if not is_installed():
        pytest.skip(MISSING)
    started: list[MariaDb] = []

    def start(folder: Path) -> MariaDb:
        server = MariaDb(folder)
        server.install()
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def mortal(own: Callable[[Path], MariaDb], tmp_path_factory: pytest.TempPathFactory) -> MariaDb:
    """A server that a test may kill."""
    return own(tmp_path_factory.mktemp("mortal"))


@pytest.fixture(scope="module")
def undisturbed(
    mariadb: MariaDb, processes: Context, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], int]:
    """What an undisturbed run ends with, and its number of write points."""
    server, file = mariadb.database("desk"), tmp_path_factory.mktemp("undisturbed") / "points"
    assert run(processes, server, file, None) == 0
    return writer.digest(server), int(file.read_text())


def run(context: Context, server: MySqlServer, file: Path, die_at: int | None) -> int | None:
    process = context.Process(target=writer.count_or_die, args=(server, file, die_at))
    process.start()
    process.join()
    return process.exitcode


class Reader:
    """Reads in a thread of its own, and remembers anything that is not a whole version.

    Args:
        server: who is asked.
        tolerated: errors that may be met, beside tables which are not there yet.
    """

    def __init__(self, server: MySqlServer, tolerated: tuple[type[Exception], ...] = ()) -> None:
        self._warehouse = MySqlWarehouse(server)
        self._tolerated = (MissingTableError, *tolerated)
        self._is_done = threading.Event()
        self.wrong: list[object] = []
        self.reads = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._is_done.is_set():
            try:
                found = self._warehouse.read(Labels)
                if not any(found.equals(version) for version in writer.versions()):
                    self.wrong.append(found)
                slices = self._warehouse.read(TargetWeights)
                for day, versions in writer.slices().items():
                    part = slices.filter(session=day)
                    if not part.is_empty() and not any(part.equals(version) for version in versions):
                        self.wrong.append(part)
                # Both sessions are replaced in one step.
                newest = {day: slices.filter(session=day).equals(both[1]) for day, both in writer.slices().items()}
                if slices["session"].n_unique() == 2 and newest[MONDAY] and not newest[TUESDAY]:
                    self.wrong += [] if slices.filter(session=TUESDAY).equals(writer.slices()[TUESDAY][0]) else [slices]
                self.reads += 1
            except self._tolerated:
                pass
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which fails the test
                self.wrong.append(error)


@pytest.mark.parametrize("first", PARTS)
def test_a_client_killed_at_any_point_leaves_nothing_half_and_a_re_run_mends_it(
    mariadb: MariaDb, processes: Context, undisturbed: tuple[dict[str, Any], int], tmp_path: Path, first: int
) -> None:
    expected, points = undisturbed
    assert points > 150
    for die_at in range(first, points, STRIDE):
        server = mariadb.database("desk")
        with Reader(server) as reader:
            assert run(processes, server, tmp_path / "points", die_at) == -signal.SIGKILL
            assert run(processes, server, tmp_path / "points", None) == 0, die_at
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
        left = kill_at

        def point() -> None:
            nonlocal left
            left -= 1
            if left == -1:
                mortal.kill()
                mortal.start()

        end = writer.watch(point)
        try:
            writer.work(server)
        except (MySqlError, LedgerError) as error:
            assert server.shown in str(error), kill_at  # noqa: PT017 - it may, but need not, be retried to success
        finally:
            end()
        assert left < 0
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
    # As if the table were so large that its rows may take a quarter of an hour.
    monkeypatch.setattr(transfer, "ROWS_PER_SECOND", 1 / 500)
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


# Locks of others


@pytest.fixture
def impatient(mysql_server: MySqlServer) -> MySqlServer:
    """The server with a table of weights; locks are waited for a second."""
    warehouse = MySqlWarehouse(mysql_server)
    warehouse.publish(TargetWeights, weights(MONDAY, "A", "B"), [MONDAY])
    warehouse.publish(TargetWeights, weights(TUESDAY, "A", "B"), [TUESDAY])
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    Ledger(mysql_server).orders(FIRST)
    return replace(mysql_server, options={"read_timeout": "3"})


def held(server: MySqlServer, *statements: str) -> Any:
    """A connection in a transaction that has carried out ``statements``."""
    connection = server.connect(table="any")
    connection.begin()
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return connection


HOLDS = {
    "row": (
        "SELECT * FROM trading__target_weights WHERE session = '2022-01-03' FOR UPDATE",
        "trading__target_weights",
        lambda server: MySqlWarehouse(server).publish(TargetWeights, weights(MONDAY, "C"), [MONDAY]),
    ),
    "table": (
        "LOCK TABLES models__labels READ",
        "models__labels",
        lambda server: MySqlWarehouse(server).publish(Labels, labels(MONDAY, TUESDAY, forward_return=0.4)),
    ),
    "table in use": (
        "SELECT COUNT(*) FROM models__labels",
        "models__labels",
        lambda server: MySqlWarehouse(server).publish(Labels, labels(MONDAY, TUESDAY, forward_return=0.4)),
    ),
    "decision": (
        "INSERT INTO decisions VALUES ('daily', '2022-12-27', '0', 'paper', 'sample')",
        "orders",
        lambda server: record(Ledger(server), FIRST, intents(FIRST, AAPL=3)),
    ),
    "refusals": (
        "LOCK TABLES refusals WRITE",
        "refusals",
        lambda server: Ledger(server).record_refusal(FIRST, check="c", table="t", evidence="e", dagster_run_id="r"),
    ),
}


@pytest.mark.parametrize("hold", HOLDS)
def test_a_lock_that_another_connection_keeps_is_an_error_that_says_so(impatient: MySqlServer, hold: str) -> None:
    statement, table, write = HOLDS[hold]
    other = held(impatient, statement)
    with pytest.raises(
        (MySqlError, LedgerError), match=rf"{impatient.shown}, table {table}: .*error 1205.*Another connection holds"
    ):
        write(impatient)
    other.close()
    write(impatient)


def test_a_writer_that_another_one_keeps_waiting_says_so(
    impatient: MySqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = recorded(monkeypatch)
    warehouse = MySqlWarehouse(impatient)
    warehouse.publish(TargetWeights, weights(MONDAY, "C"), [MONDAY])
    (lock,) = [statement for statement in sent if "GET_LOCK" in statement]
    other = held(impatient, lock)
    with pytest.raises(MySqlError, match=r"table trading__target_weights: another connection has been writing it"):
        warehouse.publish(TargetWeights, weights(MONDAY, "D"), [MONDAY])
    other.close()
    warehouse.publish(TargetWeights, weights(MONDAY, "D"), [MONDAY])
    assert warehouse.read(TargetWeights, [MONDAY])["symbol"].to_list() == ["D"]


def _until_somebody_waits(mariadb: MariaDb) -> None:
    # Not innodb_trx: the server refreshes that only if nobody has looked for a tenth of a second.
    waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
    while mariadb.as_root(waits) == [("Innodb_row_lock_current_waits", "0")]:
        pass


def test_a_lock_that_is_let_go_is_waited_for(impatient: MySqlServer, mariadb: MariaDb) -> None:
    other = held(impatient, HOLDS["row"][0])

    def let_go() -> None:
        _until_somebody_waits(mariadb)
        other.close()

    thread = threading.Thread(target=let_go, daemon=True)
    thread.start()
    warehouse = MySqlWarehouse(impatient)
    warehouse.publish(TargetWeights, weights(MONDAY, "C"), [MONDAY])
    thread.join()
    assert warehouse.read(TargetWeights, [MONDAY])["symbol"].to_list() == ["C"]


def test_the_loser_of_a_deadlock_writes_again_from_the_start(
    impatient: MySqlServer, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever changed more rows wins a deadlock.
    heavy = [
        f"INSERT INTO refusals VALUES ('{number}', '2022-01-03', 'c', 'c', 't', 'e', 'r', NULL)"  # noqa: S608
        for number in range(99)
    ]
    other = held(impatient, *heavy, "UPDATE trading__target_weights SET weight = 0.5 WHERE session = '2022-01-04'")

    def cross() -> None:
        _until_somebody_waits(mariadb)
        with other.cursor() as cursor:
            cursor.execute("UPDATE trading__target_weights SET weight = 0.5 WHERE session = '2022-01-03'")
        other.commit()
        other.close()

    sent = recorded(monkeypatch)
    thread = threading.Thread(target=cross, daemon=True)
    thread.start()
    new = pl.concat([weights(MONDAY, "C", "D"), weights(TUESDAY, "E")])
    MySqlWarehouse(impatient).publish(TargetWeights, new, [MONDAY, TUESDAY])
    thread.join()
    assert sum(statement.startswith("DELETE") for statement in sent) == 2
    assert MySqlWarehouse(impatient).read(TargetWeights).equals(new.sort("symbol", "session"))
    assert mariadb.as_root("SELECT COUNT(*) FROM desk.refusals") == [(99,)]


# Races


@pytest.mark.parametrize("engine", ["sqlite", "mysql"])
def test_writers_that_race_agree_on_one_decision_a_session_and_lose_no_refusal(
    request: pytest.FixtureRequest, processes: Context, tmp_path: Path, engine: str
) -> None:
    where = url_of(tmp_path / "ledger.db") if engine == "sqlite" else request.getfixturevalue("mysql_server")
    gate = processes.Barrier(writer.WRITERS)
    racers = [
        processes.Process(target=writer.race, args=(where, number, gate, tmp_path)) for number in range(writer.WRITERS)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * writer.WRITERS
    answers = {(tmp_path / f"{number}.txt").read_text() for number in range(writer.WRITERS)}
    assert len(answers) == 1
    ledger = Ledger(where)
    for day, answer in zip(writer.RACED, answers.pop().splitlines(), strict=True):
        assert sorted(ledger.orders(day)["symbol"]) == answer.split(",")
        assert ledger.orders(day).height == 2
        told = ["everybody's", *(f"of {number}" for number in range(writer.WRITERS))]
        assert sorted(ledger.refusals(day)["evidence"]) == sorted(told)
