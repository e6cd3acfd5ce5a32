"""What a source declares is compared with the raw table before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.resources.airbyte.drift import faults_of, new_fields


def declared(**changes: Any) -> dict[str, Any]:
    """The contract's schema with ``changes``; None takes a field out."""
    schema = json_schema(DailyBars)
    properties = schema["properties"] | changes
    return schema | {"properties": {name: field for name, field in properties.items() if field is not None}}


def test_what_the_contract_declares_fits() -> None:
    assert faults_of(DailyBars, declared()) == []
    assert new_fields(DailyBars, declared()) == set()


@pytest.mark.parametrize(
    "field",
    [{"type": "number"}, {"type": ["number", "null"]}, {"type": ["null", "integer"]}],
    ids=str,
)
def test_whether_null_is_allowed_and_numbers_are_whole_does_not_matter(field: dict[str, Any]) -> None:
    assert faults_of(DailyBars, declared(volume=field)) == []


@pytest.mark.parametrize(
    ("name", "field", "said"),
    [
        ("close", None, "it has no field close"),
        ("close", {"type": ["null", "string"]}, "its field close is string, not number"),
        ("session", {"type": "string"}, "its field session is string, not string (date)"),
        ("event_at", {"type": "integer"}, "its field event_at is number, not string (date-time)"),
        ("is_modelled", {}, "its field is_modelled is of no type, not boolean"),
    ],
)
def test_a_field_that_is_gone_or_of_another_type_is_named(name: str, field: dict[str, Any] | None, said: str) -> None:
    assert faults_of(DailyBars, declared(**{name: field})) == [said]


def test_a_stream_without_a_schema_has_no_field() -> None:
    assert len(faults_of(DailyBars, {})) == len(DailyBars.polars_schema())


def test_fields_without_a_column_are_told() -> None:
    assert new_fields(DailyBars, declared(vwap={"type": "number"})) == {"vwap"}
