"""What every warehouse promises: the same tests run on parquet and on MySQL."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.contracts.models import Labels, OutOfSample
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.reports import DailyBrief
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.warehouse.base import MissingTableError, Warehouse
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, filled, labels, quarantined, raw_bars, weights


def test_a_table_reads_back_as_it_was_published(warehouse: Warehouse) -> None:
    frame = labels(date(2020, 6, 1), date(2021, 6, 1), date(2022, 6, 1))
    warehouse.publish(Labels, frame)
    assert warehouse.read(Labels).equals(frame)
    assert warehouse.row_count(Labels) == frame.height
    assert warehouse.newest_session(Labels) == date(2022, 6, 1)


@pytest.mark.parametrize("contract", [Labels, OutOfSample, Orders, DailyBrief], ids=lambda c: c.__name__)
def test_rows_come_back_in_the_order_of_their_grain(warehouse: Warehouse, contract: type[Contract]) -> None:
    grain = list(contract.rules().grain)
    values = {
        name: [date(year, month, 1) for year in (2020, 2021, 2022) for month in (2, 6)]
        if dtype == pl.Date
        else (["A", "B", "C"] if dtype == pl.String else [1, 2])
        for name, dtype in contract.polars_schema().items()
        if name in grain
    }
    # Not every combination exists, as not every instrument trades in every year.
    rows = [row for number, row in enumerate(itertools.product(*values.values())) if number % 5]
    keys = pl.DataFrame(rows, schema={name: contract.polars_schema()[name] for name in values}, orient="row")
    frame = filled(keys.sort(grain), contract)
    warehouse.publish(contract, frame)
    assert warehouse.read(contract).equals(frame)


def test_a_table_that_was_never_published_says_how_to_publish_it(warehouse: Warehouse) -> None:
    assert warehouse.row_count(Labels) is None
    assert warehouse.newest_session(Labels) is None
    with pytest.raises(
        MissingTableError, match=r"models/labels was never published in .*`bentleybot run` publishes it"
    ):
        warehouse.read(Labels)


def test_replacing_a_session_leaves_the_others(warehouse: Warehouse) -> None:
    warehouse.publish(TargetWeights, weights(MONDAY, "A", "B"), [MONDAY])
    warehouse.publish(TargetWeights, weights(TUESDAY, "A"), [TUESDAY])
    warehouse.publish(TargetWeights, weights(MONDAY, "C"), [MONDAY])

    assert warehouse.read(TargetWeights, [MONDAY])["symbol"].to_list() == ["C"]
    assert warehouse.read(TargetWeights, [TUESDAY])["symbol"].to_list() == ["A"]
    assert warehouse.row_count(TargetWeights, [MONDAY]) == 1
    assert warehouse.read(TargetWeights).height == 2


def test_several_sessions_of_two_years_are_replaced_at_once(warehouse: Warehouse) -> None:
    december = date(2021, 12, 31)
    warehouse.publish(TargetWeights, weights(december, "A", "B"), [december])
    warehouse.publish(TargetWeights, pl.concat([weights(december, "C"), weights(MONDAY, "D")]), [december, MONDAY])
    assert warehouse.read(TargetWeights)["symbol"].to_list() == ["C", "D"]


def test_a_session_without_rows_exists(warehouse: Warehouse) -> None:
    warehouse.publish(Orders, Orders.empty_frame(), [MONDAY])
    assert warehouse.row_count(Orders, [MONDAY]) == 0
    assert warehouse.newest_session(Orders) is None
    assert warehouse.read(Orders).schema == Orders.polars_schema()


@contextmanager
def looking(look: Callable[[], tuple[object, ...]]) -> Iterator[set[tuple[object, ...]]]:
    """What ``look`` sees from a thread of its own while the block is carried out; its errors are the test's."""
    done = threading.Event()
    seen: set[tuple[object, ...]] = set()

    def keep_looking() -> None:
        while not done.is_set():
            seen.add(look())

    with ThreadPoolExecutor(1) as threads:
        looked = threads.submit(keep_looking)
        try:
            yield seen
        finally:
            done.set()
        looked.result()


def test_readers_see_whole_versions_while_a_writer_replaces_them(warehouse: Warehouse) -> None:
    years = [date(year, 6, 1) for year in range(2010, 2020)]
    warehouse.publish(Labels, labels(*years, forward_return=0.0))
    with looking(lambda: tuple(warehouse.read(Labels)["forward_return"].unique())) as seen:
        for number in range(60):
            warehouse.publish(Labels, labels(*years, forward_return=number / 100))
    assert seen
    assert all(len(returns) == 1 for returns in seen)


def test_readers_see_two_slices_change_together(warehouse: Warehouse) -> None:
    versions = [pl.concat([weights(MONDAY, symbol), weights(TUESDAY, symbol)]) for symbol in "AB"]
    warehouse.publish(TargetWeights, versions[0], [MONDAY, TUESDAY])
    with looking(lambda: tuple(warehouse.read(TargetWeights)["symbol"])) as seen:
        for number in range(1, 41):
            warehouse.publish(TargetWeights, versions[number % 2], [MONDAY, TUESDAY])
    assert seen
    assert seen <= {("A", "A"), ("B", "B")}


def test_writers_of_different_sessions_do_not_lose_each_other(warehouse: Warehouse) -> None:
    days = [date(2022, 1, day) for day in range(3, 15)]
    threads = [
        threading.Thread(target=warehouse.publish, args=(TargetWeights, weights(day, "A"), [day])) for day in days
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warehouse.read(TargetWeights)["session"].to_list() == days


def test_writers_of_different_sessions_do_not_lose_each_others_quarantine(warehouse: Warehouse) -> None:
    days = [date(2022, 1, day) for day in range(3, 15)]
    threads = [
        threading.Thread(target=warehouse.quarantine, args=(TargetWeights, quarantined(day.isoformat()), [day]))
        for day in days
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warehouse.read_quarantine(TargetWeights).equals(quarantined(*(day.isoformat() for day in days)))


def test_quarantine_holds_the_bad_rows_of_the_newest_version(warehouse: Warehouse) -> None:
    warehouse.quarantine(Labels, quarantined("2022-01-03", "2022-01-04"))
    warehouse.quarantine(Labels, quarantined("2022-01-05"))
    assert warehouse.read_quarantine(Labels).equals(quarantined("2022-01-05"))


def test_quarantine_of_a_session_leaves_the_others(warehouse: Warehouse) -> None:
    warehouse.quarantine(TargetWeights, quarantined("2022-01-03"), [MONDAY])
    warehouse.quarantine(TargetWeights, quarantined("2022-01-04"), [TUESDAY])
    warehouse.quarantine(TargetWeights, quarantined(), [MONDAY])
    assert warehouse.read_quarantine(TargetWeights).equals(quarantined("2022-01-04"))


def test_deliveries_are_appended_in_order_with_their_state(warehouse: Warehouse) -> None:
    assert warehouse.connection_state("market") == {}
    empty = {CorporateActions: CorporateActions.empty_frame()}
    assert warehouse.append_delivery("market", {DailyBars: raw_bars("B", 1.0), **empty}, {"cursor": 1}) == 1
    assert warehouse.append_delivery("market", {DailyBars: raw_bars("A", 2.0)}, {"cursor": 2}) == 2

    assert warehouse.read(DailyBars)["symbol"].to_list() == ["B", "A"]
    assert warehouse.read(CorporateActions).is_empty()
    assert warehouse.connection_state("market") == {"cursor": 2}
