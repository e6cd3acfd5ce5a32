"""A wrong configuration is told by what is wrong with it, never by what it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.configuration import problem_of, with_secrets

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


def test_the_readmes_connections_fit_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(
        r"```yaml\n(connections:.*?)```", (Path(__file__).parents[3] / "README.md").read_text(), re.DOTALL
    )
    for name in re.findall(r"\{env: (\w+)\}", example):
        monkeypatch.setenv(name, SECRET)
    connections = yaml.safe_load(example)["connections"]
    for name, source in {"portfolio": PortfolioSource(), "news": NewsSource()}.items():
        config = with_secrets(name, connections[name]["config"])
        assert problem_of(config, source.spec(None).connectionSpecification) is None
        assert config["mode"] != "sample"
    assert SECRET in str(config)


def test_a_variable_that_is_not_set_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"mode": "feeds", "feeds": [{"kind": "newsapi", "api_key": {"env": "NEWS_API_KEY"}}]}
    monkeypatch.setenv("NEWS_API_KEY", "")
    with pytest.raises(
        SyncError, match=r"^news: its configuration at feeds\[0\]\.api_key refers to NEWS_API_KEY, which"
    ):
        with_secrets("news", config)
    monkeypatch.setenv("NEWS_API_KEY", SECRET)
    assert with_secrets("news", config)["feeds"] == [{"kind": "newsapi", "api_key": SECRET}]
