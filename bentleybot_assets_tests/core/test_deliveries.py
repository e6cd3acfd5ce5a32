"""Which of several deliveries counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.core.deliveries import as_of, newest_versions

START = datetime(2020, 1, 6, 21, tzinfo=UTC)
SCHEMA = {
    "symbol": pl.String,
    "value": pl.Float64,
    "available_at": pl.Datetime("us", "UTC"),
    "is_modelled": pl.Boolean,
    "fetched_at": pl.Datetime("us", "UTC"),
}


def log(*deliveries: tuple[str, float | None, int]) -> pl.DataFrame:
    """Deliveries of (symbol, value, hour at which it was fetched and known)."""
    rows = [
        (symbol, value, START + timedelta(hours=hour), False, START + timedelta(hours=hour))
        for symbol, value, hour in deliveries
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def current(deliveries: pl.DataFrame) -> list[tuple[str, float | None, int]]:
    """Versions that count, as (symbol, value, hour)."""
    rows = newest_versions(deliveries, ["symbol"]).select("symbol", "value", "fetched_at").sort("symbol").iter_rows()
    return [(symbol, value, int((at - START) / timedelta(hours=1))) for symbol, value, at in rows]


def test_what_was_delivered_once_stays() -> None:
    assert current(log(("A", 1.0, 0), ("B", None, 3))) == [("A", 1.0, 0), ("B", None, 3)]


def test_late_correction_wins_wherever_it_stands() -> None:
    assert current(log(("A", 2.0, 5), ("A", 1.0, 0))) == [("A", 2.0, 5)]


def test_identical_duplicates_collapse() -> None:
    assert current(log(("A", 1.0, 0), ("A", 1.0, 0), ("A", 1.0, 0))) == [("A", 1.0, 0)]


def test_unchanged_delivery_keeps_the_time_it_was_first_known() -> None:
    assert current(log(("A", 1.0, 0), ("A", 1.0, 4), ("A", 1.0, 9))) == [("A", 1.0, 0)]


def test_value_that_came_back_is_known_since_it_came_back() -> None:
    assert current(log(("A", 1.0, 0), ("A", 2.0, 3), ("A", 1.0, 6), ("A", 1.0, 8))) == [("A", 1.0, 6)]


def test_missing_and_not_a_number_are_values_like_others() -> None:
    nan = float("nan")
    assert current(log(("A", None, 0), ("A", None, 4))) == [("A", None, 0)]
    assert str(current(log(("A", nan, 0), ("A", nan, 4), ("A", nan, 5)))) == "[('A', nan, 0)]"
    assert current(log(("A", nan, 0), ("A", None, 4))) == [("A", None, 4)]


def test_different_versions_of_one_instant_all_stay() -> None:
    assert sorted(current(log(("A", 2.0, 5), ("A", 1.0, 5), ("A", 9.0, 0)))) == [("A", 1.0, 5), ("A", 2.0, 5)]


def test_conflict_with_what_was_known_before_is_not_hidden() -> None:
    assert sorted(current(log(("A", 1.0, 0), ("A", 1.0, 5), ("A", 2.0, 5)))) == [("A", 1.0, 5), ("A", 2.0, 5)]


def test_conflict_that_a_later_delivery_settles_is_over() -> None:
    assert current(log(("A", 1.0, 5), ("A", 2.0, 5), ("A", 2.0, 7))) == [("A", 2.0, 7)]


deliveries = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from([1.0, 2.0, None]), st.integers(0, 3)), min_size=1, max_size=8
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(delivered=deliveries, data=st.data())
def test_order_and_repetition_of_deliveries_do_not_matter(
    delivered: list[tuple[str, float | None, int]], data: st.DataObject
) -> None:
    repeated = delivered + data.draw(st.lists(st.sampled_from(delivered), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    assert sorted(current(log(*shuffled)), key=str) == sorted(current(log(*delivered)), key=str)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(delivered=deliveries)
def test_newest_fetch_decides_the_value(delivered: list[tuple[str, float | None, int]]) -> None:
    for symbol in {symbol for symbol, _, _ in delivered}:
        newest = max(hour for name, _, hour in delivered if name == symbol)
        expected = {value for name, value, hour in delivered if name == symbol and hour == newest}
        assert {value for name, value, _ in current(log(*delivered)) if name == symbol} == expected


def test_a_correction_does_not_make_a_record_younger() -> None:
    (row,) = newest_versions(log(("A", 1.0, 0), ("A", 2.0, 5)), ["symbol"]).iter_rows(named=True)
    assert (row["value"], row["available_at"]) == (2.0, START)


def test_what_was_known_is_what_had_been_fetched_by_then() -> None:
    delivered = log(("A", 1.0, 0), ("A", 2.0, 5), ("B", 3.0, 6))
    known = [as_of(delivered, ["symbol"], START + timedelta(hours=at)).height for at in (-1, 0, 4, 5, 6)]
    assert known == [0, 1, 1, 2, 3]


def test_a_correction_that_claims_the_publication_time_was_not_known_before_it_was_fetched() -> None:
    delivered = log(("A", 1.0, 0), ("A", 2.0, 5)).with_columns(available_at=pl.lit(START))
    known = as_of(delivered, ["symbol"], START + timedelta(hours=4))
    assert known["value"].to_list() == [1.0]


def test_history_that_is_read_late_for_the_first_time_keeps_its_publication_time() -> None:
    delivered = log(("A", 1.0, 9)).with_columns(available_at=pl.lit(START))
    assert as_of(delivered, ["symbol"], START).height == 1


@settings(derandomize=True, deadline=None, max_examples=100)
@given(delivered=deliveries, instant=st.integers(0, 3))
def test_the_newest_version_as_of_an_instant_is_that_of_a_log_that_ends_then(
    delivered: list[tuple[str, float | None, int]], instant: int
) -> None:
    cut = [row for row in delivered if row[2] <= instant]
    known = as_of(log(*delivered), ["symbol"], START + timedelta(hours=instant))
    assert sorted(current(known), key=str) == sorted(current(log(*cut)), key=str)
