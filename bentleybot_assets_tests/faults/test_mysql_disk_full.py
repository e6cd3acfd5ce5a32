"""A server whose disk becomes full: old versions stay, errors say so soon, and once there is room all goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pymysql.connections import Connection

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.contracts.features import Technical
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer, patience
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults import killed_mysql_writer as writer
from bentleybot_assets_tests.faults.dying import Points
from bentleybot_assets_tests.faults.full_disk import NO_MOUNT, LimitedMariaDb, MountedMariaDb, may_mount
from bentleybot_assets_tests.faults.watching_reader import Reader
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record
from bentleybot_assets_tests.mariadb import MYSQLD, MariaDb, running
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, filled, labels, quarantined, weights

Disk = LimitedMariaDb | MountedMariaDb

WITHIN_SECONDS = 15
"""An error must have come by then."""
UNDO_SECONDS = 5
"""A MariaDB that finds no room to undo what it did tries for so long, and then ends itself."""
STRIDE = 40

DAYS = [date(2000, 1, 1) + timedelta(days=number) for number in range(500)]
SYMBOLS = [f"S{number}" for number in range(500)]
LATER = date(2023, 1, 3)


def _old_labels() -> pl.DataFrame:
    return labels(*DAYS)


def _new_labels() -> pl.DataFrame:
    return labels(*DAYS, forward_return=0.2)


def _merged_labels() -> pl.DataFrame:
    """One row gone, dozens changed, a hundred new."""
    changed = pl.when(pl.col("session").dt.day() < 3).then(pl.lit(0.3)).otherwise("forward_return")
    return pl.concat([_old_labels()[1:].with_columns(forward_return=changed), labels(*DAYS[:100], symbols=("C",))])


def _new_weights() -> dict[date, pl.DataFrame]:
    return {day: weights(day, *SYMBOLS, weight=0.01).sort("symbol") for day in (MONDAY, TUESDAY)}


def _of_symbols(contract: type[Contract]) -> pl.DataFrame:
    return filled(pl.DataFrame({"symbol": SYMBOLS}), contract)


@dataclass(frozen=True)
class Act:
    """Something that is written.

    Attributes:
        table: named in the error.
        full_before: the disk becomes full before the first statement that begins so.
        write: what is done.
    """

    table: str
    full_before: str
    write: Callable[[MySqlServer], object]


ACTS = {
    "a new table": Act(
        "features__technical",
        "LOAD DATA",
        lambda server: MySqlWarehouse(server).publish(Technical, _of_symbols(Technical)),
    ),
    "a whole table": Act(
        "models__labels", "LOAD DATA", lambda server: MySqlWarehouse(server).publish(Labels, _new_labels())
    ),
    "a merge by key": Act(
        "models__labels",
        "INSERT INTO `models__labels`",
        lambda server: MySqlWarehouse(server).publish(Labels, _merged_labels()),
    ),
    "slices": Act(
        "trading__target_weights",
        "INSERT INTO `trading__target_weights`",
        lambda server: MySqlWarehouse(server).publish(
            TargetWeights, pl.concat(_new_weights().values()), list(_new_weights())
        ),
    ),
    "quarantine": Act(
        "quarantine__models__labels",
        "LOAD DATA",
        lambda server: MySqlWarehouse(server).quarantine(Labels, quarantined(*SYMBOLS)),
    ),
    "a delivery": Act(
        "airbyte_deliveries",
        "LOAD DATA",
        lambda server: MySqlWarehouse(server).append_delivery("market", {DailyBars: _of_symbols(DailyBars)}, {"at": 9}),
    ),
    "orders": Act(
        "orders",
        "INSERT INTO orders",
        lambda server: record(Ledger(server), LATER, intents(LATER, **dict.fromkeys(SYMBOLS, 3))),
    ),
    "a refusal": Act(
        "refusals",
        "INSERT INTO refusal_runs",  # the first of its transaction: later ones may still have room in its pages
        lambda server: Ledger(server).record_refusal(
            LATER, check="contract", table="market/daily_bars", evidence="\N{PILE OF POO}" * 8000, dagster_run_id="bad"
        ),
    ),
}


def everything(disk: MariaDb) -> dict[str, object]:
    """All tables, whatever they are, and a checksum of the rows of each."""
    names = [str(name) for (name,) in disk.as_root("SHOW TABLES FROM desk")]
    return dict(disk.as_root(f"CHECKSUM TABLE {', '.join(f'desk.{name}' for name in names)}"))


def _server_with_old_versions(mariadb: MariaDb) -> MySqlServer:
    server = mariadb.database("desk")
    writer.work(server)
    MySqlWarehouse(server).publish(Labels, _old_labels())
    if isinstance(mariadb, LimitedMariaDb):
        mariadb.purge()
    return server


@pytest.fixture(scope="module")
def undisturbed(mariadb: MariaDb) -> Callable[[str], dict[str, object]]:
    """What an act ends with on a server whose disk has room."""

    def end_of(act: str) -> dict[str, object]:
        ACTS[act].write(_server_with_old_versions(mariadb))
        return everything(mariadb)

    return end_of


REAL = [pytest.param(kind, marks=pytest.mark.sweep) for kind in ("mounted", "with a binary log")]
OF_DISKS: dict[str, Callable[[Path], Disk]] = {
    "limited": LimitedMariaDb,
    "mounted": MountedMariaDb,
    "with a binary log": lambda folder: MountedMariaDb(folder, options=("--log-bin",)),
}


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a re-run in another process: it does not know that the server was away a moment ago."""
    monkeypatch.setattr(patience, "_GIVEN_UP_SECONDS", 0)


@pytest.fixture(
    scope="module",
    params=["limited", *REAL],
)
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A server whose disk a test may fill."""
    if request.param != "limited" and not may_mount():
        pytest.skip(NO_MOUNT)
    with running(OF_DISKS[request.param](tmp_path_factory.mktemp("disk") / "server")) as server:
        yield server


class Filling:
    """Makes the disk full before a statement, once.

    Attributes:
        at: when.
    """

    def __init__(self, disk: Disk, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
        self.at: float | None = None
        query = Connection.query

        def fill_first(connection: Any, sql: str | bytes, unbuffered: bool = False) -> int:  # noqa: FBT001, FBT002
            text = sql if isinstance(sql, str) else sql.decode("utf-8", "surrogateescape")
            if self.at is None and text.startswith(before):
                self.at = 0.0  # filling sends statements too
                disk.fill()
                self.at = time.monotonic()
            return query(connection, sql, unbuffered)

        monkeypatch.setattr(Connection, "query", fill_first)


@pytest.mark.parametrize("act", ACTS)
def test_a_disk_that_becomes_full_stops_a_write_without_a_trace_until_there_is_room(
    disk: Disk, undisturbed: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    expected, carry_out = undisturbed(act), ACTS[act].write
    server = _server_with_old_versions(disk)
    before = everything(disk)
    filling = Filling(disk, monkeypatch, ACTS[act].full_before)
    versions = [each.sort("symbol", "session") for each in (_old_labels(), _new_labels(), _merged_labels())]
    slices = {day: (both[1], _new_weights()[day]) for day, both in writer.slices().items()}
    with Reader(server, (MySqlError,), versions=versions, slices=slices) as reader:
        with pytest.raises((MySqlError, LedgerError)) as told:
            carry_out(server)
        assert filling.at
        seconds = time.monotonic() - filling.at
        if not disk.has_ended:
            assert seconds < WITHIN_SECONDS
            # A new table that nobody reads yet may have to stay: without any room nothing can be dropped.
            assert {name: sum_ for name, sum_ in everything(disk).items() if not name.endswith("__next")} == before
            assert MySqlWarehouse(server).read(Labels).equals(versions[0])
            assert set(Ledger(server).orders(FIRST)["symbol"]) == {"AAPL", "IBM"}
    assert not reader.wrong
    remedy = "Check that the server runs.* its disk is not full" if disk.has_ended else "The server's disk is full"
    assert re.search(rf"{server.shown}, table {ACTS[act].table}: .*{remedy}", str(told.value))
    disk.free()
    if disk.has_ended:
        assert seconds < WITHIN_SECONDS + UNDO_SECONDS
        disk.start()
        assert everything(disk) == before
    carry_out(server)
    assert everything(disk) == expected


LITTLE: dict[str, tuple[Callable[[MySqlServer], object], set[str]]] = {
    "slices": (
        lambda server: MySqlWarehouse(server).publish(TargetWeights, weights(MONDAY, *SYMBOLS[:100]), [MONDAY]),
        {"desk.trading__target_weights"},
    ),
    "a refusal": (
        lambda server: Ledger(server).record_refusal(
            LATER, check="c", table="t", evidence="e" * 5000, dagster_run_id="bad"
        ),
        {"desk.refusals", "desk.refusal_runs"},
    ),
}
"""Acts for which a table has room yet, but the last block of a binary log has not; and what they change."""


@pytest.mark.parametrize("disk", REAL[-1:], indirect=True)
@pytest.mark.parametrize("act", ["slices"] if MYSQLD else LITTLE)
def test_a_commit_that_would_wait_for_room_for_its_binary_log_is_given_up(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    carry_out, changed = LITTLE[act]
    server = _server_with_old_versions(disk)
    before = everything(disk)
    filling = Filling(disk, monkeypatch, ACTS[act].full_before)
    cause = "has been committing" if MYSQLD else "Errcode: 28"
    said = rf"{server.shown}, table {ACTS[act].table}: .*{cause}.*The server's disk is full"
    with pytest.raises((MySqlError, LedgerError), match=said):
        carry_out(server)
    assert filling.at
    assert time.monotonic() - filling.at < WITHIN_SECONDS
    assert everything(disk) == before
    disk.free()
    # On MariaDB nobody keeps a lock any more; MySQL lets it go once it has seen the room, within a minute.
    carry_out(server)
    after = everything(disk)
    assert {name for name in after if after[name] != before[name]} == changed


@pytest.mark.parametrize("disk", REAL, indirect=True)
@pytest.mark.parametrize("first", range(STRIDE))
def test_a_disk_that_becomes_full_at_any_point_leaves_nothing_half_and_a_re_run_mends_it(
    disk: Disk, mariadb: MariaDb, first: int
) -> None:
    whole = mariadb.database("desk")
    points = Points(None)
    end = writer.watch(points)
    writer.work(whole)
    end()
    expected = writer.digest(whole)
    for full_at in range(first, points.passed, STRIDE):
        server = disk.database("desk")
        passing = Points(full_at, disk.fill)
        with Reader(server, (MySqlError,)) as reader:
            end = writer.watch(passing)
            try:
                writer.work(server)
            except (MySqlError, LedgerError) as error:
                assert re.search(rf"{server.shown}, table \w+: .*disk is (not )?full", str(error)), full_at  # noqa: PT017
            finally:
                end()
        assert passing.passed > full_at
        assert not reader.wrong, full_at
        disk.free()
        if disk.has_ended:
            disk.start()
        writer.work(server)
        assert writer.digest(server) == expected, full_at
