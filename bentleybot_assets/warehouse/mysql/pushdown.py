"""What of a polars filter MySQL can do: comparisons of ``session``.

Belongs here: reading a predicate as polars hands it to a source. Whatever is not understood is left to polars, which
filters again: a predicate read wrongly in part costs time, never rows. Does not belong here: running a query.
"""

from __future__ import annotations

import json
import warnings
from datetime import date, timedelta
from typing import Any

import polars as pl

_OPERATORS = {"Eq": "=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_EPOCH = date(1970, 1, 1)


def session_condition(predicate: pl.Expr) -> str:
    """`` WHERE ...`` for the parts of a conjunction that compare ``session`` with a day; empty if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JSON is not a stable format: a test holds it to what is read here
        tree = json.loads(predicate.meta.serialize(format="json"))
    parts = _conditions(tree)
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _conditions(tree: Any) -> list[str]:
    match tree:
        case {"BinaryExpr": {"left": left, "op": "And", "right": right}}:
            return _conditions(left) + _conditions(right)
        case {"BinaryExpr": {"left": {"Column": "session"}, "op": op, "right": value}} if op in _OPERATORS:
            return [f"`session` {_OPERATORS[op]} {day}" for day in _days(value)]
        case {
            "Function": {
                "input": [{"Column": "session"}, low, high],
                "function": {"Boolean": {"IsBetween": {"closed": "Both"}}},
            }
        }:
            bounds = [*_days(low), *_days(high)]
            return ["`session` BETWEEN {} AND {}".format(*bounds)] if len(bounds) == 2 else []  # noqa: PLR2004
        case _:
            return []


def _days(value: Any) -> list[str]:
    """A literal day as SQL; nothing if it is none."""
    match value:
        case {"Literal": {"Scalar": {"Date": int(days)}}}:
            return [f"'{_EPOCH + timedelta(days=days)}'"]
        case _:
            return []
