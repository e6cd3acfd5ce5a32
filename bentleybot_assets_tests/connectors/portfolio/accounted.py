"""Whether every field that an API delivered is in a record: in a column, in ``extra``, or ignored on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bentleybot_assets.connectors.feeds import iso


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
        columns: path to the column that has the field's value: the same text, a number whatever its sign, or the same
            instant or day in UTC.
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
    if isinstance(kept, int | float):
        return abs(kept) == abs(float(value))
    return kept is not None and kept in (value, _as_instant(value))


def _as_instant(value: Any) -> str | None:
    """A text that tells an instant or a day, as records tell instants: in UTC, to the second."""
    try:
        told = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return iso(told if told.tzinfo else told.replace(tzinfo=UTC))
