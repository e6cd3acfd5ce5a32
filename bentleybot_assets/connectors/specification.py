"""Pieces of the sources' settings that are the same in each: where history begins, and an entry of one kind.

Does not belong here: a source's own settings, the settings of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from bentleybot_assets.contracts.sessions import FIRST_DAY

Schema = dict[str, Any]
"""JSON schema of a setting."""


def start_date_schema(description: str, order: int) -> Schema:
    """The setting ``start_date``.

    Args:
        description: what the date does.
        order: place among the source's settings.
    """
    return {
        "type": "string",
        "format": "date",
        "pattern": r"^\d{4}-\d{2}-\d{2}$",
        "title": "Start date",
        "description": description,
        "default": FIRST_DAY.isoformat(),
        "order": order,
    }


def start_date(config: Mapping[str, Any]) -> date:
    """The setting, or its default."""
    return date.fromisoformat(config.get("start_date", FIRST_DAY.isoformat()))


def entry_schema(kind: str, settings: Mapping[str, Mapping[str, Any]], required: Sequence[str], name: str) -> Schema:
    """An entry of a list of what is to be read: its name, its kind and the kind's own settings.

    Args:
        kind: the one that the schema is of.
        settings: JSON schema of each of the kind's settings.
        required: settings of the kind that must be given.
        name: description of the entry's name.
    """
    return {
        "type": "object",
        "title": kind,
        "required": ["name", "kind", *required],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "pattern": r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$",
                "title": "Name",
                "description": name,
                "order": 0,
            },
            "kind": {"type": "string", "const": kind, "title": "Kind", "order": 1},
            **{name: {**schema, "order": order} for order, (name, schema) in enumerate(settings.items(), start=2)},
        },
    }
