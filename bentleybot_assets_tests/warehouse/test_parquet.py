"""The embedded warehouse: whole versions only, whoever reads, writes or is killed."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.contracts.models import Labels, ReturnForecaster
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.warehouse.base import SchemaMismatchError
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets.warehouse.sql import ask, open_sql
from bentleybot_assets_tests.scenario import raw_bars
from bentleybot_assets_tests.warehouse.tables import MONDAY, labels, quarantined


@pytest.fixture
def warehouse(tmp_path: Path) -> ParquetWarehouse:
    return ParquetWarehouse(tmp_path / "warehouse")


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


def test_a_table_without_sessions_is_one_file(warehouse: ParquetWarehouse) -> None:
    warehouse.publish(ReturnForecaster, ReturnForecaster.empty_frame())
    assert [path.name for path in (warehouse.root / "models" / "return_forecaster").iterdir()] == ["all.parquet"]


def test_an_empty_quarantine_writes_nothing(warehouse: ParquetWarehouse) -> None:
    warehouse.quarantine(Labels, quarantined())
    assert warehouse.read_quarantine(Labels).is_empty()
    assert not (warehouse.root / "quarantine").exists()


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


def test_a_column_that_may_be_null_is_null_in_what_was_delivered_before_it_was_declared(
    warehouse: ParquetWarehouse,
) -> None:
    before, after = raw_bars(symbols=("AAA",)).head(2), raw_bars(symbols=("BBB",)).head(2)
    warehouse.append_delivery("market", {DailyBars: before.drop("extra")}, {})
    warehouse.append_delivery("market", {DailyBars: after.with_columns(extra=pl.lit("{}"))}, {})
    assert warehouse.read(DailyBars)["extra"].to_list() == [None, None, "{}", "{}"]
    with closing(open_sql()) as connection:
        counted = ask(connection, warehouse, "SELECT count(*), count(extra) FROM raw__market__daily_bars")
        assert counted is not None
        assert counted.fetchall() == [(4, 2)]


def test_a_column_that_must_have_values_is_not_made_up(warehouse: ParquetWarehouse) -> None:
    warehouse.append_delivery("market", {DailyBars: raw_bars().head(2).drop("currency")}, {})
    with pytest.raises(SchemaMismatchError, match=r"daily_bars\.parquet has no column currency, of which each row"):
        warehouse.read(DailyBars)
