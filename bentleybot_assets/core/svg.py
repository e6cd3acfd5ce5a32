"""Line charts over time as self-contained SVG text.

Colours and fonts come from the page through CSS classes (``chart``, ``grid``, ``tick``, ``caption``, ``line``,
``area`` and each line's own class), so one chart serves light, dark and print. A plotting library is not used because
importing one costs more than the rest of the page. Does not belong here: what is plotted (``brief``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import pairwise

_LETTER = 7.4
"""Width of an average letter of the 12 px labels in a wide font; only the spacing of the legend depends on it."""

_LEFT, _RIGHT, _BOTTOM = 46.0, 50.0, 24.0
_ROW = 18.0


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: its name in the legend.
        values: one finite number per session of the chart.
        css_class: what the page styles it by.
    """

    label: str
    values: Sequence[float]
    css_class: str


def line_chart(
    sessions: Sequence[date],
    lines: Sequence[Line],
    *,
    caption: str,
    tick: Callable[[float], str],
    width: int,
    height: int,
    is_log: bool = False,
    is_filled: bool = False,
) -> str:
    """Lines over a common time axis, with grid, tick labels, legend and the last value of each line.

    Args:
        sessions: time axis, oldest first, at least two.
        lines: what to draw, the last one on top and first in the legend.
        caption: what the vertical axis shows, with its unit.
        tick: how to write a value.
        width: width of the drawing in its own units (pixels when shown unscaled).
        height: height of the drawing.
        is_log: logarithmic vertical axis; every value must be positive.
        is_filled: fill between each line and the top of the plot, as for losses below zero.

    Raises:
        ValueError: fewer than two sessions, sessions that do not ascend, a line of another length, or a value that is
            not finite (or, on a log scale, not positive).
    """
    _require_drawable(sessions, lines, is_log=is_log)
    legend = _legend(lines[::-1], width)
    top = _ROW * (2 + legend[-1].row) + 8
    scale = math.log if is_log else float
    values = [value for line in lines for value in line.values]
    marks = _value_ticks(min(values), max(values), is_log=is_log)
    low, high = (scale(value) for value in (min(*values, *marks), max(*values, *marks)))
    if low == high:
        low, high = low - 1, high + 1
    first, last = sessions[0].toordinal(), sessions[-1].toordinal()
    bottom, right = height - _BOTTOM, width - _RIGHT

    def x(day: date) -> float:
        return _LEFT + (right - _LEFT) * (day.toordinal() - first) / (last - first)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (scale(value) - low) / (high - low)

    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(_in_words(caption, sessions, lines, tick))}</title>",
        f'<text class="caption" x="0" y="12">{escape(caption)}</text>',
    ]
    for entry in legend:
        middle = _ROW * (1 + entry.row) + 8
        parts.append(f'<path class="line {escape(entry.line.css_class)}" d="M{entry.x:.1f} {middle}h20"/>')
        parts.append(f'<text class="tick" x="{entry.x + 26:.1f}" y="{middle + 4}">{escape(entry.line.label)}</text>')
    for mark in marks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(mark):.1f}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{escape(tick(mark))}</text>'
        )
    for day, label in _time_ticks(sessions[0], sessions[-1], at_most=max(2, int((right - _LEFT) / 64))):
        parts.append(f'<path class="grid" d="M{x(day):.1f} {bottom}v4"/>')
        parts.append(f'<text class="tick" x="{x(day):.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    for line in lines:
        steps = "L".join(f"{x(day):.1f} {y(value):.1f}" for day, value in zip(sessions, line.values, strict=True))
        if is_filled:
            parts.append(f'<path class="area {escape(line.css_class)}" d="M{_LEFT} {top}L{steps}L{right} {top}Z"/>')
        parts.append(f'<path class="line {escape(line.css_class)}" d="M{steps}"/>')
    for line, height_of_label in _end_labels(lines, y):
        parts.append(
            f'<text class="tick end {escape(line.css_class)}" x="{right + 5}" y="{height_of_label:.1f}">'
            f"{escape(tick(line.values[-1]))}</text>"
        )
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _LegendEntry:
    line: Line
    row: int
    x: float


def _legend(lines: Sequence[Line], width: int) -> list[_LegendEntry]:
    """Side by side as long as there is room, then in the next row."""
    entries: list[_LegendEntry] = []
    row, x = 0, 0.0
    for line in lines:
        needed = 26 + _LETTER * len(line.label) + 18
        if entries and x + needed > width:
            row, x = row + 1, 0.0
        entries.append(_LegendEntry(line, row, x))
        x += needed
    return entries


def _end_labels(lines: Sequence[Line], y: Callable[[float], float]) -> list[tuple[Line, float]]:
    """The last values beside the line ends, pushed apart where they would overlap."""
    placed: list[tuple[Line, float]] = []
    for line in sorted(lines, key=lambda line: y(line.values[-1])):
        wanted = y(line.values[-1]) + 4
        placed.append((line, max(wanted, placed[-1][1] + 14) if placed else wanted))
    return placed


def _value_ticks(low: float, high: float, *, is_log: bool) -> list[float]:
    """Round numbers between ``low`` and ``high``; on a log scale their ratios are as equal as round numbers allow."""
    if low == high:
        return [low]
    if is_log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            marks = [mantissa * 10.0**power for power in powers for mantissa in mantissas]
            inside = [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]
            if len(inside) >= 4:  # noqa: PLR2004 - fewer do not make an axis
                return inside
    span = high - low
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if span / (unit * factor) <= 5)  # noqa: PLR2004
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _time_ticks(first: date, last: date, *, at_most: int) -> list[tuple[date, str]]:
    """Starts of years, or of months where the time is short, with their labels."""
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next((step for step in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600) if months / step <= at_most), 1200)
    ticks = []
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        day = date(number // 12, number % 12 + 1, 1)
        if number % step == 0 and day >= first:
            ticks.append((day, str(day.year) if step >= 12 else f"{day:%b %Y}"))  # noqa: PLR2004 - months
    return ticks


def _in_words(caption: str, sessions: Sequence[date], lines: Sequence[Line], tick: Callable[[float], str]) -> str:
    ends = "; ".join(f"{line.label}: {tick(line.values[0])} to {tick(line.values[-1])}" for line in lines)
    return f"{caption}, {sessions[0]} to {sessions[-1]}. {ends}."


def _require_drawable(sessions: Sequence[date], lines: Sequence[Line], *, is_log: bool) -> None:
    if len(sessions) < 2 or not lines:  # noqa: PLR2004 - a line has two ends
        raise ValueError(f"A chart needs two sessions and a line, but has {len(sessions)} and {len(lines)}.")
    for earlier, later in pairwise(sessions):
        if later <= earlier:
            raise ValueError(f"The sessions of a chart must ascend, but {later} follows {earlier}.")
    for line in lines:
        if len(line.values) != len(sessions):
            raise ValueError(f"Line {line.label} has {len(line.values)} values for {len(sessions)} sessions.")
        for day, value in zip(sessions, line.values, strict=True):
            if not math.isfinite(value) or (is_log and value <= 0):
                needed = "positive" if is_log else "finite"
                raise ValueError(f"Line {line.label} is {value} at {day}; a {needed} number is needed to draw it.")
