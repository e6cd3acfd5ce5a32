"""Institutions that are asked through an API: what is told of them, and how their tests account for fields."""

from __future__ import annotations

import json

import pytest

from bentleybot_assets_tests.connectors.portfolio.accounted import lost


@pytest.mark.parametrize(
    ("delivered", "kept"),
    [
        ("Acme Inc", "Acme Inc"),
        ("5.50", -5.5),
        (9, 9),
        ("9", 9.0),
        ("2024-02-10", "2024-02-10"),
        ("2024-02-10", "2024-02-10T00:00:00Z"),
        ("2024-02-10T15:00:00.123456789Z", "2024-02-10T15:00:00Z"),
        ("2024-02-10T15:00:00-05:00", "2024-02-10T20:00:00Z"),
    ],
)
def test_a_field_is_accounted_for_by_a_column_with_its_value(delivered, kept):
    assert lost({"field": delivered}, {"column": kept, "extra": None}, {"field": "column"}) == []


@pytest.mark.parametrize(
    ("delivered", "kept"),
    [
        ("Acme Inc", "Acme Inc. Class B"),
        ("Acme Inc. Class A", "Acme Inc"),
        ("12.5", "12"),
        ("5.50", 5.0),
        (1, 10),
        ("2024-02-10", "2024-02-10T05:00:00Z"),
        ("2024-02-10T15:00:00Z", "2024-02-10"),
        ("2024-02-10T15:00:00Z", "2024-02-10T15:00:01Z"),
        ("Acme", None),
        (False, None),
    ],
)
def test_a_field_is_lost_if_its_column_says_something_else(delivered, kept):
    assert lost({"field": delivered}, {"column": kept, "extra": None}, {"field": "column"}) == [f"field: {delivered!r}"]


def test_a_field_may_be_kept_in_extra_or_ignored_by_name():
    record = {"column": None, "extra": json.dumps({"a": {"b": [1]}})}
    assert lost({"a": {"b": [1]}, "logo": "x", "empty": ""}, record, {}, ("logo",)) == []
    assert lost({"a": {"b": [2]}}, record, {}) == ["a.b.0: 2"]
