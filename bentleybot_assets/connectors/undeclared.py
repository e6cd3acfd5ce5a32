"""Fields that a source delivers beyond its columns: their names, and which of them it did not deliver before.

Does not belong here: their values (each record's ``extra``), who is told (``streams``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

MOST_FIELDS = 200
"""Fields of a part that are remembered; one with more has names for what are values."""

_LONGEST_NAME = 100


class Undeclared:
    """The undeclared fields of a part while it is read.

    Args:
        columns: of the contract. A text that is too long for its column is kept in ``extra`` under the column's name.
    """

    def __init__(self, columns: Collection[str]) -> None:
        self._columns = columns
        self._names: set[str] = set()

    def add(self, extra: str) -> None:
        """Note what one record's ``extra`` has; of what it nests, ``security.isin``."""
        fields = json.loads(extra).items()
        self._names.update(
            _paths((name, value) for name, value in fields if name not in self._columns or not isinstance(value, str))
        )

    def since(self, known: Iterable[str]) -> list[str]:
        """Those that are not ``known``, sorted. A long name is cut, and what is secret in it is hidden."""
        return sorted({filter_secrets(name)[:_LONGEST_NAME] for name in self._names}.difference(known))


def _paths(fields: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for name, value in fields:
        objects = [item for item in (value if isinstance(value, list) else [value]) if item and isinstance(item, dict)]
        if not objects:
            yield name
        for item in objects:
            yield from _paths((f"{name}.{inner}", content) for inner, content in item.items())
