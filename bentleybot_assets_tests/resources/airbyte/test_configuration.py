"""Secrets of a configuration come from the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bentleybot_assets.connectors.configuration import problem_of
from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.resources.airbyte.configuration import with_secrets

SECRET = "hunter2-hunter2"  # noqa: S105 - a made-up one


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
