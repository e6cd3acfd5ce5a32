"""A wrong configuration is told by what is wrong with it, never by what it holds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bentleybot_assets.connectors.configuration import problem_of
from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.connectors.portfolio.source import PortfolioSource

SECRET = "hunter2-hunter2"  # noqa: S105 - a made-up one
PLAID = {"name": "Bank", "kind": "plaid", "client_id": SECRET, "secret": SECRET, "access_token": SECRET}
PLAID |= {"products": ["transactions"]}


def portfolio(*entries: dict[str, Any]) -> str | None:
    specification = PortfolioSource().spec(None).connectionSpecification
    return problem_of({"mode": "institutions", "institutions": list(entries)}, specification)


def test_a_configuration_that_fits_has_no_problem() -> None:
    assert portfolio(PLAID) is None
    assert problem_of({"mode": "sample"}, NewsSource().spec(None).connectionSpecification) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {**PLAID, "enviroment": "sandbox"},
            r"at institutions\[0\] has enviroment, which it does not know; it knows .*",
        ),
        ({name: PLAID[name] for name in PLAID if name != "secret"}, r"at institutions\[0\] lacks secret\."),
        ({**PLAID, "kind": "plaide"}, r"at institutions\[0\] must have a `kind`: alpaca, csv, ofx, plaid\."),
        ({**PLAID, "environment": "play"}, r"at institutions\[0\]\.environment must be one of .*sandbox.*"),
        ({**PLAID, "secret": 7}, r"at institutions\[0\]\.secret must be of type string\."),
        ({**PLAID, "name": "%"}, r"at institutions\[0\]\.name breaks the rule pattern: .*"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named_with_its_place_and_what_would_be_right(entry: dict[str, Any], said: str) -> None:
    problem = portfolio(entry)
    assert problem is not None
    assert SECRET not in problem
    assert problem.startswith("its configuration at institutions[0]")
    assert re.search(said, problem), problem
