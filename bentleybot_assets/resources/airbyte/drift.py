"""What a source says its stream has, against what the raw table declares: the catalog tells before anything is read.

Does not belong here: what single records have (``records``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.contracts.raw._base import RawContract


def faults_of(contract: type[RawContract], offered: Mapping[str, Any]) -> list[str]:
    """Columns of the contract that the stream does not have, or has as another type.

    Args:
        contract: of the raw table.
        offered: the stream's JSON schema in the source's catalog.
    """
    properties = offered.get("properties", {})
    faults = []
    for name, wanted in json_schema(contract)["properties"].items():
        if name not in properties:
            faults.append(f"it has no field {name}")
        elif _form(properties[name]) != _form(wanted):
            faults.append(f"its field {name} is {_told(properties[name])}, not {_told(wanted)}")
    return faults


def new_fields(contract: type[RawContract], offered: Mapping[str, Any]) -> set[str]:
    """Fields of the stream that the contract has no column for."""
    return offered.get("properties", {}).keys() - contract.polars_schema().keys()


def _form(declared: Mapping[str, Any]) -> tuple[frozenset[str], str | None]:
    """Type and format; whether null is allowed, each record shows. A whole number is a number."""
    types = declared.get("type", [])
    named = {types} if isinstance(types, str) else set(types)
    numbers = {"number" if name == "integer" else name for name in named}
    return frozenset(numbers - {"null"}), declared.get("format")


def _told(declared: Mapping[str, Any]) -> str:
    types, form = _form(declared)
    named = " or ".join(sorted(types)) or "of no type"
    return f"{named} ({form})" if form else named
