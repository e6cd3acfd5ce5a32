"""What may be published, what is set aside, and what condemns a frame."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.contracts._base import contracts
from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import DailyBars as RawDailyBars
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core.audit import audit, describe, valid_rows

MONDAY = date(2020, 1, 6)
CLOSE = datetime(2020, 1, 6, 21, tzinfo=UTC)


def bar(**changes: Any) -> dict[str, Any]:
    """A faultless row of ``market/daily_bars``."""
    return {
        "symbol": "AAA",
        "session": MONDAY,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 100.0,
        "mark_price": 11.0,
        "price_source": "split_adjusted_close",
        "total_return": None,
        "total_return_close": 11.0,
        "is_outlier": False,
        "currency": "USD",
        "event_at": CLOSE,
        "available_at": CLOSE + timedelta(minutes=15),
        "is_modelled": True,
        "fetched_at": CLOSE + timedelta(hours=1),
        "source": "a_source",
        "source_version": "1",
        **changes,
    }


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=DailyBars.polars_schema(), orient="row")


GOOD = bars(*(bar(symbol=f"G{number}") for number in range(9)))

ROW_FAULTS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a NaN close": ({"close": float("nan")}, "close", "NaN", "is a finite number"),
    "a missing mark price": ({"mark_price": None}, "mark_price", "null", "is not null"),
    "a zero price": ({"low": 0.0}, "low", "0.0", "greater than(0)"),
    "a negative price": ({"open": -1.0}, "open", "-1.0", "greater than(0)"),
    "a high below the low": ({"high": 8.0}, "high", "8.0", "high is at least low"),
    "a close outside the range": ({"close": 13.0}, "close", "13.0", "close is within the range"),
    "an open outside the range": ({"open": 8.5}, "open", "8.5", "open is within the range"),
    "a Saturday": ({"session": date(2020, 1, 4)}, "session", "2020-01-04", "session is a nyse session"),
    "a holiday": ({"session": date(2020, 1, 1)}, "session", "2020-01-01", "session is a nyse session"),
    "a bar from the future": (
        {"event_at": CLOSE + timedelta(days=1)},
        "session",
        "2020-01-06",
        "bar was closed when fetched",
    ),
    "a session after its close": (
        {"session": date(2031, 6, 3)},
        "session",
        "2031-06-03",
        "session is the exchange date of its close",
    ),
    "a bar known before it closed": (
        {"available_at": CLOSE - timedelta(seconds=1)},
        "available_at",
        "2020-01-06 20:59:59.000000+00:00",
        "bar is known after it closed",
    ),
    "a negative volume": ({"volume": -5.0}, "volume", "-5.0", "greater than or equal to(0)"),
}


@pytest.mark.parametrize(("changes", "column", "value", "rule"), ROW_FAULTS.values(), ids=ROW_FAULTS.keys())
def test_a_bad_bar_is_quarantined_and_the_rest_is_published(
    changes: dict[str, Any], column: str, value: str, rule: str
) -> None:
    outcome = audit(DailyBars, pl.concat([GOOD, bars(bar(symbol="BAD", **changes))]))

    assert outcome.passed
    assert outcome.published is not None
    assert outcome.published.equals(GOOD)
    assert outcome.quarantined_rows == 1
    session = changes.get("session", MONDAY)
    expected = (
        f"market__daily_bars: {column} = {value} at symbol=BAD, session={session} from a_source "
        f"breaks the rule: {rule}."
    )
    assert expected in list(describe(outcome.quarantined))


def condemned(frame: pl.DataFrame, contract: Any = DailyBars, published_rows: int | None = None) -> str:
    outcome = audit(contract, frame, published_rows=published_rows)
    assert outcome.published is None
    assert len(outcome.faults) == 1
    return outcome.faults[0].message


def test_a_missing_column_condemns_the_table_and_is_named() -> None:
    message = condemned(GOOD.drop("low"))
    assert message.startswith("market__daily_bars: column low (Float64) is missing")


def test_an_undeclared_column_condemns_the_table_and_is_named() -> None:
    assert "column surprise (Int32) is not in the contract" in condemned(GOOD.with_columns(surprise=pl.lit(1)))


def test_a_retyped_column_condemns_the_table_and_shows_a_value() -> None:
    message = condemned(GOOD.with_columns(pl.col("close").cast(pl.String)))
    assert "column close should be Float64 but is String, for instance '11.0' at symbol=G0" in message


def test_columns_out_of_order_condemn_the_table() -> None:
    assert "columns stand as" in condemned(GOOD.select(reversed(GOOD.columns)))


def test_two_different_rows_for_one_key_condemn_the_table() -> None:
    message = condemned(pl.concat([GOOD, bars(bar(symbol="G0", close=11.5))]))
    assert "first symbol=G0, session=2020-01-06 from a_source with close = 11.0, 11.5" in message
    assert "the rule is one row per symbol, session" in message


def test_an_empty_table_is_condemned() -> None:
    assert "no row is left to publish" in condemned(GOOD.clear())


def test_a_table_that_may_be_empty_is_published_empty() -> None:
    assert audit(Orders, Orders.empty_frame(), published_rows=50).passed


RAW = [contract for contract in contracts() if issubclass(contract, RawContract)]


@pytest.mark.parametrize("contract", RAW, ids=lambda contract: contract.table_name())
def test_a_delivery_of_a_stream_that_has_nothing_is_no_fault(contract: type[RawContract]) -> None:
    assert audit(contract, contract.empty_frame()).passed


def test_a_table_that_lost_more_than_nine_tenths_is_condemned() -> None:
    assert "9 rows would replace 91" in condemned(GOOD, published_rows=91)
    assert audit(DailyBars, GOOD, published_rows=90).passed


def test_a_table_with_more_bad_rows_than_good_ones_is_condemned() -> None:
    bad = bars(*(bar(symbol=f"B{number}", close=-1.0) for number in range(10)))
    assert "10 of 19 rows are bad" in condemned(pl.concat([GOOD, bad]))


def test_a_derived_table_may_not_lose_a_row() -> None:
    weights = pl.DataFrame(
        {
            "symbol": ["A", "B"],
            "session": [MONDAY, MONDAY],
            "weight": [0.5, 1.5],
            "reference_price_usd": [1.0, 1.0],
            "price_source": ["x", "x"],
            "position_quantity": [0, 0],
            "target_quantity": [1, 1],
            "target_value_usd": [1.0, 1.0],
        },
        schema=TargetWeights.polars_schema(),
    )
    assert "weight = 1.5 at symbol=B, session=2020-01-06" in condemned(weights, TargetWeights)


def test_identical_duplicates_collapse() -> None:
    outcome = audit(DailyBars, pl.concat([GOOD, GOOD.reverse()]))
    assert outcome.published is not None
    assert outcome.published.equals(GOOD)


@given(st.permutations(range(GOOD.height)), st.lists(st.integers(0, GOOD.height - 1), max_size=5))
def test_neither_order_nor_repetition_of_rows_matters(order: list[int], repeated: list[int]) -> None:
    outcome = audit(DailyBars, GOOD[[*order, *repeated]])
    assert outcome.published is not None
    assert outcome.published.equals(GOOD)


def test_a_log_keeps_rows_as_delivered() -> None:
    delivered = raw_bars("B", "A", "A")
    outcome = audit(RawDailyBars, delivered, published_rows=1000)
    assert outcome.published is not None
    assert outcome.published.equals(delivered)


def test_a_log_refuses_a_delivery_that_contradicts_itself() -> None:
    delivered = raw_bars("A", "A").with_columns(close=pl.Series([1.0, 2.0]))
    assert "with close = 1.0, 2.0" in condemned(delivered, RawDailyBars)


def raw_bars(*symbols: str) -> pl.DataFrame:
    row = {name: bar().get(name) for name in RawDailyBars.polars_schema()}
    rows = [{**row, "price_basis": "unadjusted", "symbol": symbol} for symbol in symbols]
    return pl.DataFrame(rows, schema=RawDailyBars.polars_schema(), orient="row")


@pytest.mark.parametrize(
    "mutation", [lambda frame: frame.drop("low"), lambda frame: frame.with_columns(low=pl.lit("x"))]
)
def test_valid_rows_needs_the_right_structure(mutation: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    with pytest.raises(ValueError, match="column low"):
        valid_rows(DailyBars, mutation(GOOD))


def test_valid_rows_marks_each_row_in_its_place() -> None:
    mixed = bars(bar(symbol="A"), bar(symbol="B", close=-1.0), bar(symbol="C"))
    assert valid_rows(DailyBars, mixed).to_list() == [True, False, True]


@pytest.mark.parametrize(
    "variable", [{"PANDERA_VALIDATION_ENABLED": "False"}, {"PANDERA_VALIDATION_DEPTH": "SCHEMA_ONLY"}], ids=str
)
def test_the_environment_cannot_turn_the_contract_off(variable: dict[str, str]) -> None:
    program = (
        "from bentleybot_assets_tests.core.test_audit import *;"
        "print(audit(DailyBars, pl.concat([GOOD, bars(bar(mark_price=-5.0))])).quarantined_rows)"
    )
    environment = {**os.environ, **variable, "PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1"]
