"""Connections that stand in each other's way: locks, deadlocks and races end in one decision or one clear error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer, address
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets.warehouse.mysql import warehouse as warehouse_module
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults import killed_mysql_writer as writer
from bentleybot_assets_tests.faults.dying import Context, forkserver
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record, url_of
from bentleybot_assets_tests.mariadb import MariaDb
from bentleybot_assets_tests.warehouse.statements import recorded
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels, weights


@pytest.fixture
def impatient(mysql_server: MySqlServer, monkeypatch: pytest.MonkeyPatch) -> MySqlServer:
    """The server with a table of weights; locks, writers and readers are waited for a second."""
    monkeypatch.setattr(warehouse_module, "WRITER_PATIENCE_SECONDS", 1)
    monkeypatch.setattr(warehouse_module, "READER_PATIENCE_SECONDS", 1)
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
        f"INSERT INTO refusals VALUES ('{number}', '2022-01-03', 'c', 'c', 't', 'e', 'r', NULL, 1)"  # noqa: S608
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


def test_a_table_is_replaced_as_soon_as_its_readers_are_done_without_loading_it_again(
    mysql_server: MySqlServer, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, new = MySqlWarehouse(mysql_server), labels(MONDAY, TUESDAY, forward_return=0.4)
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    reader = held(mysql_server, "SELECT COUNT(*) FROM models__labels")
    sent = recorded(monkeypatch)

    def leave() -> None:
        while sum(statement.startswith("RENAME") for statement in sent) < 2:  # it has tried, and tries again
            pass
        reader.close()

    thread = threading.Thread(target=leave, daemon=True)
    thread.start()
    warehouse.publish(Labels, new)
    thread.join()
    assert warehouse.read(Labels).equals(new)
    assert sum(statement.startswith("LOAD DATA") for statement in sent) == 1


def test_a_table_that_is_never_let_go_of_stays_as_it_was_and_nothing_else_is_left(
    impatient: MySqlServer, mariadb: MariaDb
) -> None:
    warehouse = MySqlWarehouse(impatient)
    reader = held(impatient, "SELECT COUNT(*) FROM models__labels")
    with pytest.raises(MySqlError, match="table models__labels: somebody has been reading it for more than 1 s"):
        warehouse.publish(Labels, labels(MONDAY, TUESDAY, forward_return=0.4))
    reader.close()
    assert warehouse.read(Labels).equals(labels(MONDAY, TUESDAY))
    tables = mariadb.as_root("SELECT table_name FROM information_schema.tables WHERE table_schema = 'desk'")
    assert not [name for (name,) in tables if name.startswith("models__labels_")]


def _until_somebody_waits_for_long(mariadb: MariaDb) -> None:
    """Until a connection has waited for a user lock for longer than the second that an answer may take."""
    waiting = 0
    while waiting < 2:
        rows: list[Any] = mariadb.as_root("SHOW PROCESSLIST")
        waiting = max((seconds for _, _, _, _, _, seconds, state, *_ in rows if state == "User lock"), default=0)


def test_a_writer_waits_for_another_one_for_longer_than_for_an_answer(
    mysql_server: MySqlServer, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = recorded(monkeypatch)
    warehouse = MySqlWarehouse(replace(mysql_server, options={"read_timeout": "1"}))
    warehouse.publish(TargetWeights, weights(MONDAY, "A"), [MONDAY])
    (lock,) = [statement for statement in sent if "GET_LOCK" in statement]
    other = held(mysql_server, lock)

    def let_go() -> None:
        _until_somebody_waits_for_long(mariadb)
        other.close()

    thread = threading.Thread(target=let_go, daemon=True)
    thread.start()
    warehouse.publish(TargetWeights, weights(TUESDAY, "A"), [TUESDAY])
    thread.join()
    assert warehouse.read(TargetWeights)["session"].to_list() == [MONDAY, TUESDAY]


LOOKS: dict[str, Callable[[MySqlWarehouse], object]] = {
    "columns": lambda warehouse: warehouse.read(Labels).height,
    "rows": lambda warehouse: warehouse.read(Labels).height,
    "count": lambda warehouse: warehouse.row_count(Labels),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_server_that_answers_others_may_take_its_time_over_a_read(
    mysql_server: MySqlServer, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    if look == "rows":
        monkeypatch.setattr(MySqlServer, "shows_certificate", True)
    # In clear, or the certificate would have to be there.
    warehouse = MySqlWarehouse(replace(mysql_server, options={"read_timeout": "1", "ssl_mode": "disabled"}))
    warehouse.publish(Labels, labels(MONDAY))
    mariadb.as_root(
        "USE desk",
        "RENAME TABLE models__labels TO kept",
        "CREATE VIEW models__labels AS SELECT * FROM kept WHERE GET_LOCK('gate', 60) + RELEASE_LOCK('gate') = 2",
    )
    gate = held(mysql_server, "SELECT GET_LOCK('gate', 0)")

    def open_gate() -> None:
        _until_somebody_waits_for_long(mariadb)
        gate.close()

    thread = threading.Thread(target=open_gate, daemon=True)
    thread.start()
    assert LOOKS[look](warehouse) == 2
    thread.join()


def test_a_table_that_takes_long_to_compare_does_not_cost_its_writer_the_connection(
    mysql_server: MySqlServer, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, read = MySqlWarehouse(mysql_server), transfer.read
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    monkeypatch.setattr(address, "_SESSION", address._SESSION.replace("wait_timeout = 300", "wait_timeout = 1"))

    def read_slowly(*arguments: Any, **named: Any) -> pl.DataFrame:
        idle = 0
        while idle is not None and idle < 2:
            rows: list[Any] = mariadb.as_root("SHOW PROCESSLIST")
            idle = max((seconds for _, user, _, _, _, seconds, *_ in rows if user == "desk"), default=None)
        return read(*arguments, **named)

    monkeypatch.setattr(transfer, "read", read_slowly)
    warehouse.publish(Labels, labels(MONDAY, TUESDAY, forward_return=0.4))
    assert warehouse.read(Labels).equals(labels(MONDAY, TUESDAY, forward_return=0.4))


@pytest.fixture(scope="module")
def processes() -> Context:
    return forkserver(writer.__name__)


@pytest.fixture(params=["sqlite", "mysql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | MySqlServer:
    """A ledger that is not there yet."""
    return url_of(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("mysql_server")


def side_by_side(processes: Context, work: Callable[..., None], where: str | MySqlServer, last: Any) -> None:
    """Have :data:`writer.WRITERS` processes do the work at once; none may fail."""
    gate = processes.Barrier(writer.WRITERS)
    racers = [processes.Process(target=work, args=(where, number, gate, last)) for number in range(writer.WRITERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * writer.WRITERS


def test_writers_that_race_agree_on_one_decision_a_session_and_lose_no_refusal(
    processes: Context, where: str | MySqlServer, tmp_path: Path
) -> None:
    side_by_side(processes, writer.race, where, tmp_path)
    answers = {(tmp_path / f"{number}.txt").read_text() for number in range(writer.WRITERS)}
    assert len(answers) == 1
    ledger = Ledger(where)
    for day, answer in zip(writer.RACED, answers.pop().splitlines(), strict=True):
        assert sorted(ledger.orders(day)["symbol"]) == answer.split(",")
        assert ledger.orders(day).height == 2
        told = ["everybody's", *(f"of {number}" for number in range(writer.WRITERS))]
        assert sorted(ledger.refusals(day)["evidence"]) == sorted(told)


LONG = (pytest.mark.sweep, pytest.mark.timeout(1200))  # each of 8,000 commits reaches the disk before the next


@pytest.mark.parametrize("times", [25, pytest.param(1000, marks=LONG)])
def test_writers_that_count_in_one_row_lose_no_count(processes: Context, where: str | MySqlServer, times: int) -> None:
    side_by_side(processes, writer.meet, where, times)
    assert Ledger(where).refusals(FIRST)["times_met"].to_list() == [writer.WRITERS * times]
