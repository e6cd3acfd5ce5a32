"""Whether every field that an API delivered is in a record: in a column, in ``extra``, or ignored on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of everything in a JSON value that says something; positions in lists are part of a path."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for position, value in enumerate(content):
            yield from leaves(value, f"{path}.{position}")
    elif content not in (None, ""):
        yield path, content


def lost(
    delivered: Mapping[str, Any], record: Mapping[str, Any], columns: Mapping[str, str], ignored: tuple[str, ...] = ()
) -> list[str]:
    """Fields that the record does not have.

    Args:
        delivered: the object.
        record: what was made of it.
        columns: path to the column that has the field's value, as the same number, text, or number with another sign.
        ignored: last parts of paths that are left out on purpose.
    """
    extra = dict(leaves(json.loads(record["extra"] or "{}")))
    return [
        f"{path}: {value!r}"
        for path, value in leaves(delivered)
        if not (
            path.split(".")[-1] in ignored
            or extra.get(path) == value
            or (path in columns and _is_same(record[columns[path]], value))
        )
    ]


def _is_same(kept: Any, value: Any) -> bool:
    if isinstance(kept, float):
        return abs(kept) == abs(float(value))
    return str(kept).startswith(str(value).split(".")[0])
