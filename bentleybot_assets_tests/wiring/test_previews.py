"""Previews are markdown that a browser can show."""

from __future__ import annotations

import polars as pl
import pytest

from bentleybot_assets.wiring import previews


def cells(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in markdown.splitlines()]


def test_a_wide_table_has_one_line_per_row_and_whole_values() -> None:
    """A value broken over two lines would be two rows of markdown."""
    frame = pl.DataFrame({f"a_rather_long_name_{number}": [f"{number:016d}"] * 2 for number in range(9)})
    header, _rule, *rows = cells(previews.table(frame).value)
    assert header == frame.columns
    assert rows == [list(row) for row in frame.rows()]


def test_a_long_table_is_cut_to_its_first_rows() -> None:
    _header, _rule, *rows = cells(previews.table(pl.DataFrame({"number": range(20)}), rows=3).value)
    assert rows == [["0"], ["1"], ["2"]]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([3.0, None, 1.0], "█▁"),
        ([2.0, 2.0], "▁▁"),
        ([None], "no data"),
        ([0.0] * 480 + [1.0] * 480, "▁" * 24 + "█" * 24),
    ],
)
def test_a_sparkline_draws_what_is_known_oldest_first(values: list[float | None], line: str) -> None:
    assert previews.sparkline(values) == line


def test_a_line_says_where_it_starts_and_ends() -> None:
    assert previews.line([1.0, None, 2.5], "growth").value == "`▁█` 1 → 2.5  \ngrowth"
