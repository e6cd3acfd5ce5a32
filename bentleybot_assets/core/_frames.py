"""Preconditions that functions of ``core`` share."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def require_sorted(frame: pl.DataFrame, by: Sequence[str], what: str) -> None:
    """Refuse a frame whose rows are not in strictly ascending order of ``by``.

    Indicators walk rows in time order; reversed or duplicated rows would silently give numbers from the future.

    Raises:
        ValueError: names ``what`` and the first row out of order.
    """
    keys = frame.select(by)
    previous = keys.shift(1)
    in_order = pl.lit(value=False)
    tied = pl.lit(value=True)
    for name in by:
        in_order = in_order | (tied & (pl.col(name) > pl.col(f"previous_{name}")))
        tied = tied & (pl.col(name) == pl.col(f"previous_{name}"))
    pairs = keys.hstack(previous.rename(lambda name: f"previous_{name}"))[1:]
    offending = pairs.filter(~in_order)
    if not offending.is_empty():
        first = offending.row(0, named=True)
        here = ", ".join(str(first[name]) for name in by)
        before = ", ".join(str(first[f"previous_{name}"]) for name in by)
        raise ValueError(
            f"{what} must be sorted by {', '.join(by)} without duplicates, but ({here}) follows ({before}). "
            f"Sort it with frame.sort({list(by)})."
        )
