"""A chart shows what it was given, is well-formed, and stays inside its frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.core.svg import Line, line_chart

SVG = "{http://www.w3.org/2000/svg}"
DAYS = [date(2020, 1, 1) + timedelta(days=30 * number) for number in range(5)]


def chart(*lines: Line, sessions: Sequence[date] = DAYS, **options: object) -> ET.Element:
    arguments = {"caption": "Growth", "tick": lambda value: f"{value:g}", "width": 400, "height": 200, **options}
    return ET.fromstring(line_chart(sessions, lines, **arguments))  # type: ignore[arg-type]  # noqa: S314


def points(drawing: ET.Element, css_class: str) -> list[tuple[float, float]]:
    """The corners of a line, as drawn."""
    paths = [path.attrib["d"] for path in drawing.iter(f"{SVG}path") if path.attrib["class"] == f"line {css_class}"]
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", paths[-1])]


def labels(drawing: ET.Element) -> list[str]:
    return [text.text or "" for text in drawing.iter(f"{SVG}text")]


def test_higher_values_are_drawn_higher_and_later_sessions_further_right() -> None:
    corners = points(chart(Line("A", [1, 3, 2, 5, 4], "a")), "a")
    assert [x for x, _ in corners] == sorted(x for x, _ in corners)
    heights = [y for _, y in corners]
    assert sorted(heights, reverse=True) == [heights[position] for position in (0, 2, 1, 4, 3)]


def test_a_linear_axis_gives_equal_steps_equal_height() -> None:
    heights = [y for _, y in points(chart(Line("A", [0, 10, 20, 30, 40], "a")), "a")]
    steps = [above - below for below, above in pairwise(heights)]
    assert max(steps) - min(steps) < 0.2


def test_a_log_axis_gives_equal_ratios_equal_height() -> None:
    heights = [y for _, y in points(chart(Line("A", [1, 2, 4, 8, 16], "a"), is_log=True), "a")]
    steps = [above - below for below, above in pairwise(heights)]
    assert max(steps) - min(steps) < 0.2


def test_days_count_not_positions() -> None:
    sessions = [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 11)]
    (first, _), (second, _), (third, _) = points(chart(Line("A", [1, 2, 3], "a"), sessions=sessions), "a")
    assert (third - second) / (second - first) == pytest.approx(9, rel=0.01)


@pytest.mark.parametrize(
    ("values", "is_log", "expected"),
    [
        ([0, 10, 20, 30, 40], False, ["0", "10", "20", "30", "40"]),
        ([-0.48, 0, 0, 0, 0], False, ["-0.4", "-0.3", "-0.2", "-0.1", "0"]),
        ([1, 10, 100, 1000, 316], True, ["1", "10", "100", "1000"]),
        ([1, 2, 3, 4, 5], True, ["1", "1.5", "2", "3", "5"]),
        ([7, 7, 7, 7, 7], False, ["7"]),
    ],
)
def test_the_axis_is_marked_with_round_numbers(values: list[float], is_log: bool, expected: list[str]) -> None:  # noqa: FBT001
    drawing = chart(Line("A", values, "a"), is_log=is_log, tick=lambda value: f"{value:.6g}")
    marks = [text for text in drawing.iter(f"{SVG}text") if text.attrib.get("text-anchor") == "end"]
    assert [mark.text for mark in marks] == expected


def test_short_times_are_marked_in_months_and_long_ones_in_years() -> None:
    assert "Mar 2020" in labels(chart(Line("A", [1, 2, 3, 4, 5], "a")))
    decades = [date(year, 6, 1) for year in range(1990, 2023)]
    years = [text for text in labels(chart(Line("A", range(33), "a"), sessions=decades)) if text.isdigit()]
    assert {"2000", "2010", "2020"} <= set(years)
    assert "1990" not in years  # its January lies before the first session


def test_the_legend_and_the_last_values_name_every_line() -> None:
    drawing = chart(Line("Algorithm", [1, 2, 3, 4, 5.5], "a"), Line("Benchmark", [1, 1, 2, 2, 2.5], "b"))
    assert {"Algorithm", "Benchmark", "5.5", "2.5"} <= set(labels(drawing))


def test_last_values_that_coincide_do_not_overlap() -> None:
    drawing = chart(*(Line(name, [1, 2, 3, 4, 5], name) for name in "abc"))
    ends = [text for text in drawing.iter(f"{SVG}text") if text.attrib["class"].startswith("tick end")]
    heights = sorted(float(text.attrib["y"]) for text in ends)
    assert all(below - above >= 14 for above, below in pairwise(heights))


def test_legend_entries_that_do_not_fit_start_a_new_row() -> None:
    drawing = chart(*(Line(f"A rather long name {number}", [1, 2, 3, 4, 5], "a") for number in range(4)))
    entries = [text for text in drawing.iter(f"{SVG}text") if (text.text or "").startswith("A rather")]
    assert len({text.attrib["y"] for text in entries}) > 1
    assert all(float(text.attrib["x"]) < 400 for text in entries)


def test_the_chart_says_in_words_what_it_shows() -> None:
    title = chart(Line("Algorithm", [1, 2, 3, 4, 5.5], "a")).find(f"{SVG}title")
    assert title is not None
    assert title.text == "Growth, 2020-01-01 to 2020-04-30. Algorithm: 1 to 5.5."


def test_text_is_escaped_wherever_it_enters() -> None:
    evil = "<script>alert('1')</script>\"&"
    drawing = chart(Line(evil, [1, 2, 3, 4, 5], evil), caption=evil, tick=lambda _: evil)
    assert not list(drawing.iter(f"{SVG}script"))
    assert evil in labels(drawing)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, 2, 3, 4], {}, "Line A has 4 values for 5 sessions"),
        ([1, 2, float("nan"), 4, 5], {}, "Line A is nan at 2020-03-01; a finite number"),
        ([1, 2, 0, 4, 5], {"is_log": True}, "Line A is 0 at 2020-03-01; a positive number"),
        ([1, 2, 3, 4, 5], {"sessions": DAYS[::-1]}, "must ascend, but 2020-03-31 follows 2020-04-30"),
        ([1], {"sessions": DAYS[:1]}, "needs two sessions"),
    ],
)
def test_what_cannot_be_drawn_is_named(values: list[float], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chart(Line("A", values, "a"), **options)


@given(
    st.lists(st.lists(st.floats(1e-6, 1e9), min_size=4, max_size=4), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 4000),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_every_line_stays_inside_the_frame(rows: list[list[float]], is_log: bool, gap: int) -> None:  # noqa: FBT001
    sessions = [date(1990, 1, 2) + timedelta(days=gap * number) for number in range(4)]
    lines = [Line(f"L{number}", values, f"l{number}") for number, values in enumerate(rows)]
    drawing = chart(*lines, sessions=sessions, is_log=is_log, is_filled=True)
    for line in lines:
        corners = points(drawing, line.css_class)
        assert len(corners) == 4
        assert all(0 <= x <= 400 and 0 <= y <= 200 for x, y in corners)
