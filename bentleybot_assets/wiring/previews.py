"""What an asset shows of itself in the UI: small tables and sparklines as metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import dagster as dg
import polars as pl

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 48


def sparkline(values: Iterable[float | None]) -> str:
    """A line of block characters, oldest first; at most 48, each the mean of its stretch. Nulls are left out."""
    series = pl.Series(values, dtype=pl.Float64).drop_nulls()
    if series.is_empty():
        return "no data"
    stretch = pl.int_range(series.len(), eager=True) * min(_WIDTH, series.len()) // series.len()
    means = pl.DataFrame({"stretch": stretch, "value": series}).group_by("stretch", maintain_order=True).mean()["value"]
    low, high = cast("float", means.min()), cast("float", means.max())
    if low == high:
        return _BARS[0] * means.len()
    levels = (means - low) / (high - low) * (len(_BARS) - 1)
    return "".join(_BARS[round(level)] for level in levels)


def line(values: Iterable[float | None], what: str) -> dg.MarkdownMetadataValue:
    """A sparkline with its first and last value."""
    known = [value for value in values if value is not None]
    ends = f"{known[0]:,.4g} → {known[-1]:,.4g}" if known else ""
    return dg.MetadataValue.md(f"`{sparkline(known)}` {ends}  \n{what}")


def table(frame: pl.DataFrame, rows: int = 8) -> dg.MarkdownMetadataValue:
    """The first rows of a frame as a markdown table."""
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=rows,
        tbl_cols=24,
        tbl_width_chars=-1,
        fmt_str_lengths=60,
        float_precision=4,
    ):
        return dg.MetadataValue.md(str(frame.head(rows)))
