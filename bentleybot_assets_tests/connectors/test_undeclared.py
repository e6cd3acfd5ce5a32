"""Fields beyond the columns are told by their names: without values, and never more than can be looked through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bentleybot_assets.connectors.undeclared import Undeclared


def names(*extras: dict[str, Any], known: tuple[str, ...] = ()) -> list[str]:
    undeclared = Undeclared({"title", "url"})
    for extra in extras:
        undeclared.add(json.dumps(extra))
    return undeclared.since(known)


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"vwap": 10.5, "trades": 7}, ["trades", "vwap"]),
        ({"security": {"isin": "US1912161007", "of": {"exchange": "XNYS"}}}, ["security.isin", "security.of.exchange"]),
        (
            {"parties": [{"name": "Shop"}, {"name": "Bank", "website": "b.example"}]},
            ["parties.name", "parties.website"],
        ),
        ({"tags": ["a", "b"], "none": [], "empty": {}}, ["empty", "none", "tags"]),
    ],
)
def test_fields_are_named_by_their_path(extra: dict[str, Any], found: list[str]) -> None:
    assert names(extra) == found


def test_the_fields_of_all_records_are_told_together() -> None:
    assert names({"vwap": 1}, {"vwap": 2, "trades": 3}) == ["trades", "vwap"]


def test_what_is_known_is_not_told() -> None:
    assert names({"vwap": 1, "trades": 3}, known=("vwap",)) == ["trades"]


def test_a_text_that_was_too_long_for_its_column_is_no_field_of_the_source() -> None:
    assert names({"title": "a very long one", "rank": 1, "url": {"title": "x"}}) == ["rank", "url.title"]


def test_a_name_that_is_a_novel_is_cut() -> None:
    (name,) = names({"x" * 5_000: 1})
    assert len(name) == 100
