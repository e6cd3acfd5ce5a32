"""The embedded warehouse: whole versions only, whoever reads, writes or is killed."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.contracts.models import Labels, OutOfSample, ReturnForecaster
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.reports import DailyBrief
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.warehouse.base import MissingTableError
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets.warehouse.sql import open_sql, renew_views

MONDAY, TUESDAY = date(2022, 1, 3), date(2022, 1, 4)


@pytest.fixture
def warehouse(tmp_path: Path) -> ParquetWarehouse:
    return ParquetWarehouse(tmp_path / "warehouse")


def labels(*sessions: date, symbols: tuple[str, ...] = ("A", "B"), forward_return: float = 0.1) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol,
            "session": session,
            "horizon_sessions": 5,
            "entry_session": session,
            "exit_session": session,
            "forward_return": forward_return,
            "forward_rank": 0.0,
        }
        for symbol in symbols
        for session in sorted(sessions)
    ]
    return pl.DataFrame(rows, schema=Labels.polars_schema(), orient="row")


def weights(session: date, *symbols: str, weight: float = 0.1) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "session": session,
                "weight": weight,
                "reference_price_usd": 1.0,
                "price_source": "x",
                "position_quantity": 0,
                "target_quantity": 1,
                "target_value_usd": 1.0,
            }
            for symbol in symbols
        ],
        schema=TargetWeights.polars_schema(),
        orient="row",
    )


def tree(folder: Path) -> dict[str, tuple[str | int, ...]]:
    """Every file and link with what would change if it were written again."""
    return {
        str(path.relative_to(folder)): (str(path.readlink()) if path.is_symlink() else path.stat().st_mtime_ns,)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_a_table_reads_back_as_it_was_published_across_years(warehouse: ParquetWarehouse) -> None:
    frame = labels(date(2020, 6, 1), date(2021, 6, 1), date(2022, 6, 1))
    warehouse.publish(Labels, frame)

    assert warehouse.read(Labels).equals(frame)
    assert warehouse.row_count(Labels) == frame.height
    files = sorted(path.name for path in (warehouse.root / "models" / "labels").iterdir())
    assert files == ["2020.parquet", "2021.parquet", "2022.parquet"]


@pytest.mark.parametrize("contract", [Labels, OutOfSample, Orders, DailyBrief], ids=lambda c: c.__name__)
def test_rows_come_back_in_the_order_of_their_grain(warehouse: ParquetWarehouse, contract: type[Contract]) -> None:
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
    frame = keys.sort(grain).select(
        pl.col(name) if name in grain else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in contract.polars_schema().items()
    )
    warehouse.publish(contract, frame)
    assert warehouse.read(contract).equals(frame)


def test_a_table_that_was_never_published_says_how_to_publish_it(warehouse: ParquetWarehouse) -> None:
    assert warehouse.row_count(Labels) is None
    with pytest.raises(
        MissingTableError, match=r"models/labels was never published in .*`bentleybot run` publishes it"
    ):
        warehouse.read(Labels)


def test_publishing_the_same_table_again_changes_no_byte(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY, date(2021, 1, 4)))
    before = tree(warehouse.root / "models")
    warehouse.publish(Labels, labels(MONDAY, date(2021, 1, 4)))
    assert tree(warehouse.root / "models") == before


def test_a_version_before_the_current_one_stays_for_its_readers(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY))
    opened = warehouse.scan(Labels)
    warehouse.publish(Labels, labels(MONDAY, forward_return=0.2))
    assert opened.collect()["forward_return"].unique().to_list() == [0.1]
    assert warehouse.read(Labels)["forward_return"].unique().to_list() == [0.2]


def test_versions_do_not_pile_up(warehouse: ParquetWarehouse) -> None:
    for number in range(5):
        warehouse.publish(Labels, labels(MONDAY, forward_return=number / 10))
    assert len(list((warehouse.root / ".versions" / "models" / "labels").iterdir())) == 2


def test_replacing_a_session_leaves_the_others(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(TargetWeights, weights(MONDAY, "A", "B"), [MONDAY])
    warehouse.publish(TargetWeights, weights(TUESDAY, "A"), [TUESDAY])
    warehouse.publish(TargetWeights, weights(MONDAY, "C"), [MONDAY])

    assert warehouse.read(TargetWeights, [MONDAY])["symbol"].to_list() == ["C"]
    assert warehouse.read(TargetWeights, [TUESDAY])["symbol"].to_list() == ["A"]
    assert warehouse.row_count(TargetWeights, [MONDAY]) == 1
    assert warehouse.read(TargetWeights).height == 2


def test_several_sessions_of_two_years_are_replaced_at_once(warehouse: ParquetWarehouse) -> None:
    december = date(2021, 12, 31)
    warehouse.publish(TargetWeights, weights(december, "A", "B"), [december])
    warehouse.publish(TargetWeights, pl.concat([weights(december, "C"), weights(MONDAY, "D")]), [december, MONDAY])
    assert warehouse.read(TargetWeights)["symbol"].to_list() == ["C", "D"]


def test_a_session_without_rows_exists(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(Orders, Orders.empty_frame(), [MONDAY])
    assert warehouse.row_count(Orders, [MONDAY]) == 0
    assert warehouse.read(Orders).schema == Orders.polars_schema()


def test_a_table_without_sessions_is_one_file(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(ReturnForecaster, ReturnForecaster.empty_frame())
    assert [path.name for path in (warehouse.root / "models" / "return_forecaster").iterdir()] == ["all.parquet"]


def test_readers_see_whole_versions_while_a_writer_replaces_them(warehouse: ParquetWarehouse) -> None:
    years = [date(year, 6, 1) for year in range(2010, 2020)]
    warehouse.publish(Labels, labels(*years, forward_return=0.0))
    done = threading.Event()
    seen: set[int] = set()
    errors: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(warehouse.read(Labels)["forward_return"].n_unique())
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which fails the test
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        warehouse.publish(Labels, labels(*years, forward_return=number / 100))
    done.set()
    reader.join()
    assert not errors
    assert seen == {1}


def test_writers_of_different_sessions_do_not_lose_each_other(warehouse: ParquetWarehouse) -> None:
    days = [date(2022, 1, day) for day in range(3, 15)]
    threads = [
        threading.Thread(target=warehouse.publish, args=(TargetWeights, weights(day, "A"), [day])) for day in days
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warehouse.read(TargetWeights)["session"].to_list() == days


def quarantined(*keys: str) -> pl.DataFrame:
    return pl.DataFrame(
        [dict.fromkeys(QUARANTINE, "x") | {"row_key": f"symbol=A, session={key}"} for key in keys], schema=QUARANTINE
    )


def test_quarantine_holds_the_bad_rows_of_the_newest_version(warehouse: ParquetWarehouse) -> None:
    warehouse.quarantine(Labels, quarantined("2022-01-03", "2022-01-04"))
    warehouse.quarantine(Labels, quarantined("2022-01-05"))
    assert warehouse.read_quarantine(Labels).equals(quarantined("2022-01-05"))


def test_quarantine_of_a_session_leaves_the_others(warehouse: ParquetWarehouse) -> None:
    warehouse.quarantine(TargetWeights, quarantined("2022-01-03"), [MONDAY])
    warehouse.quarantine(TargetWeights, quarantined("2022-01-04"), [TUESDAY])
    warehouse.quarantine(TargetWeights, quarantined(), [MONDAY])
    assert warehouse.read_quarantine(TargetWeights).equals(quarantined("2022-01-04"))


def test_an_empty_quarantine_writes_nothing(warehouse: ParquetWarehouse) -> None:
    warehouse.quarantine(Labels, quarantined())
    assert warehouse.read_quarantine(Labels).is_empty()
    assert not (warehouse.root / "quarantine").exists()


def raw_bars(symbol: str, close: float) -> pl.DataFrame:
    known: dict[str, Any] = {
        name: datetime(2022, 1, 3, tzinfo=UTC) for name in ("event_at", "available_at", "fetched_at")
    }
    row = dict.fromkeys(DailyBars.polars_schema()) | known | {"symbol": symbol, "session": MONDAY, "close": close}
    return pl.DataFrame([row], schema=DailyBars.polars_schema(), orient="row")


def test_deliveries_are_appended_in_order_with_their_state(warehouse: ParquetWarehouse) -> None:
    assert warehouse.connection_state("market") == {}
    empty = {CorporateActions: CorporateActions.empty_frame()}
    assert warehouse.append_delivery("market", {DailyBars: raw_bars("B", 1.0), **empty}, {"cursor": 1}) == 1
    assert warehouse.append_delivery("market", {DailyBars: raw_bars("A", 2.0)}, {"cursor": 2}) == 2

    assert warehouse.read(DailyBars)["symbol"].to_list() == ["B", "A"]
    assert warehouse.read(CorporateActions).is_empty()
    assert warehouse.connection_state("market") == {"cursor": 2}


def test_sql_sees_every_table(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY, date(2021, 1, 4)))
    warehouse.append_delivery("market", {DailyBars: raw_bars("A", 1.5)}, {})
    warehouse.quarantine(Labels, quarantined("2022-01-03"))

    connection = open_sql(warehouse.root)
    assert connection.sql("SELECT count(*) FROM models__labels").fetchall() == [(4,)]
    assert connection.sql("SELECT close FROM raw__market__daily_bars").fetchall() == [(1.5,)]
    assert connection.sql("SELECT count(*) FROM quarantine__models__labels").fetchall() == [(1,)]


def test_sql_goes_on_after_the_versions_it_was_opened_on_are_gone(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY))
    connection = open_sql(warehouse.root)
    warehouse.publish(Labels, labels(TUESDAY))
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    warehouse.publish(OutOfSample, OutOfSample.empty_frame())

    renew_views(connection, warehouse.root)
    assert connection.sql("SELECT count(*) FROM models__labels").fetchall() == [(4,)]
    assert connection.sql("SELECT count(*) FROM models__out_of_sample").fetchall() == [(0,)]


def test_sql_cannot_be_injected_through_a_folder_name(tmp_path: Path) -> None:
    warehouse = ParquetWarehouse(tmp_path / "it's; DROP TABLE x")
    warehouse.publish(Labels, labels(MONDAY))
    assert open_sql(warehouse.root).sql("SELECT count(*) FROM models__labels").fetchall() == [(2,)]


def test_sql_of_an_empty_warehouse_has_no_view(tmp_path: Path) -> None:
    with pytest.raises(duckdb.CatalogException):
        open_sql(tmp_path / "none").sql("SELECT * FROM models__labels")


def test_a_reader_that_is_overtaken_by_two_versions_looks_again(warehouse: ParquetWarehouse, monkeypatch) -> None:
    warehouse.publish(Labels, labels(MONDAY, forward_return=0.0))
    listed = ParquetWarehouse._files
    versions = iter((0.1, 0.2))

    def overtaken(self: ParquetWarehouse, contract: type[Contract]) -> list[Path]:
        files = listed(self, contract)
        for version in versions:
            self.publish(Labels, labels(MONDAY, forward_return=version))
        return files

    monkeypatch.setattr(ParquetWarehouse, "_files", overtaken)
    assert warehouse.read(Labels)["forward_return"].unique().to_list() == [0.2]
