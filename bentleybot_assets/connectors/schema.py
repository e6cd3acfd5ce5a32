"""From a raw table's contract to the JSON schema of its Airbyte stream, so that both state the same columns.

Does not belong here: any column, any source.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from bentleybot_assets.contracts._base import Contract

_JSON_TYPES: dict[Any, dict[str, str]] = {
    pl.String: {"type": "string"},
    pl.Float64: {"type": "number"},
    pl.Boolean: {"type": "boolean"},
    pl.Date: {"type": "string", "format": "date"},
    pl.Datetime: {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
}


def json_schema(contract: type[Contract]) -> dict[str, Any]:
    """The JSON schema of one record: nullable columns are also of type ``null``, the others required.

    Raises:
        KeyError: the contract uses a type that has no JSON form here.
    """
    properties = {}
    for name, declared in contract.to_schema().columns.items():
        schema: dict[str, Any] = dict(_JSON_TYPES[declared.dtype.type.base_type()])
        if declared.nullable:
            schema["type"] = ["null", schema["type"]]
        unit = (declared.metadata or {}).get("unit")
        schema["description"] = f"{declared.description} ({unit})" if unit else declared.description
        properties[name] = schema
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "description": contract.description(),
        "properties": properties,
        # The protocol's JSON leaves nulls out.
        "required": [name for name, schema in properties.items() if "null" not in schema["type"]],
        # A closed schema would make the removal of a column break existing connections.
        "additionalProperties": True,
    }
