"""The test for looking ahead: what was computed for a session must not depend on any later one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

import polars as pl


def changed_by_the_future(
    compute: Callable[[pl.DataFrame], pl.DataFrame], history: pl.DataFrame, cuts: Iterable[date]
) -> dict[str, str]:
    """Columns of ``compute(history)`` that differ, up to a cut, if the history ends at that cut.

    Args:
        compute: from a table with the column ``session`` to another one.
        history: its input.
        cuts: sessions at which to end the history.

    Returns:
        Column to a description of the first difference; equal means equal to the last bit. Rows that are there in
        one case only are reported under the column ``session``.
    """
    everything = compute(history)
    changed: dict[str, str] = {}
    for cut in cuts:
        then = compute(history.filter(pl.col("session") <= cut))
        now = everything.filter(pl.col("session") <= cut)
        if then.height != now.height:
            changed.setdefault("session", f"{then.height} rows if the history ends at {cut}, {now.height} otherwise")
            continue
        for name in everything.columns:
            row = then[name].ne_missing(now[name]).arg_max()
            if row is not None and not then[name].equals(now[name], null_equal=True):
                changed.setdefault(
                    name, f"{then[name][row]} if the history ends at {cut}, {now[name][row]} otherwise: {now.row(row)}"
                )
    return changed
