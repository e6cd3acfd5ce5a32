"""What a decided session was decided on stands; every other session is computed."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets.wiring.decisions import each_undecided_session
from bentleybot_assets_tests.ledger.sessions_of_work import DECISION, FIRST, SECOND, intents, record, url_of

DAYS = dg.StaticPartitionsDefinition([FIRST.isoformat(), SECOND.isoformat()])


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(url_of(tmp_path / "ledger.db"))


@pytest.fixture
def warehouse(tmp_path: Path) -> ParquetWarehouse:
    warehouse = ParquetWarehouse(tmp_path / "warehouse")
    warehouse.publish(Orders, pl.concat([intents(FIRST, AAPL=3), intents(SECOND, AAPL=4)]), [FIRST, SECOND])
    return warehouse


def compute(day: date) -> pl.DataFrame:
    return intents(day, AAPL=99)


def rows(
    ledger: Ledger,
    warehouse: ParquetWarehouse,
    first: date,
    last: date,
    compute: Callable[[date], pl.DataFrame] = compute,
) -> dict[date, float]:
    """Quantity of each session as the asset sees it; a session that is computed has 99."""

    seen = []

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def decided(context: dg.AssetExecutionContext) -> None:
        seen.append(
            each_undecided_session(
                context,
                Orders,
                compute,
                warehouse=warehouse,
                ledger=ledger,
                strategy=DECISION["strategy"],
            )
        )

    tags = {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([decided], instance=instance, tags=tags)
    [frame] = seen
    return dict(frame.select("session", "quantity").iter_rows())


def test_without_a_decision_every_session_is_computed_again(ledger: Ledger, warehouse: ParquetWarehouse) -> None:
    assert rows(ledger, warehouse, FIRST, SECOND) == {FIRST: 99, SECOND: 99}


def test_a_decided_session_keeps_its_rows(ledger: Ledger, warehouse: ParquetWarehouse) -> None:
    record(ledger, FIRST, intents(FIRST, AAPL=3))
    assert rows(ledger, warehouse, FIRST, SECOND) == {FIRST: 3, SECOND: 99}


def test_a_decision_of_another_strategy_keeps_nothing(ledger: Ledger, warehouse: ParquetWarehouse) -> None:
    record(ledger, FIRST, intents(FIRST).clear(), strategy="hourly")
    assert rows(ledger, warehouse, FIRST, FIRST) == {FIRST: 99}


def test_a_decided_session_whose_rows_are_gone_is_computed_again(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, FIRST, intents(FIRST, AAPL=3))
    assert rows(ledger, ParquetWarehouse(tmp_path / "empty"), FIRST, FIRST) == {FIRST: 99}


def test_a_session_that_another_run_decides_while_it_is_computed_keeps_what_it_was_decided_on(
    ledger: Ledger, warehouse: ParquetWarehouse
) -> None:
    def overtaken(day: date) -> pl.DataFrame:
        if day == SECOND:
            for other in (FIRST, SECOND):
                warehouse.publish(Orders, intents(other, AAPL=5), [other])
                record(ledger, other, intents(other, AAPL=5))
        return compute(day)

    assert rows(ledger, warehouse, FIRST, SECOND, overtaken) == {FIRST: 5, SECOND: 5}
