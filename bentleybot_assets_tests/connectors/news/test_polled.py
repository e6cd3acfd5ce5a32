"""The news source passes airbyte-cdk's own tests with feeds that are read by a manifest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets_tests.connectors.api import api
from bentleybot_assets_tests.connectors.news import test_newsapi as newsapi
from bentleybot_assets_tests.connectors.news import test_stocktwits as stocktwits
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["TestNewsSourceOnManifests", "pytest_generate_tests"]


class TestNewsSourceOnManifests(Standards):
    connector = NewsSource
    scenarios: ClassVar = {
        "allowed": ({"mode": "feeds", "feeds": [{**newsapi.ENTRY}, {**stocktwits.ENTRY}]}, True),
        "refused": ({"mode": "feeds", "feeds": [{**newsapi.ENTRY, "api_key": "another"}, {**stocktwits.ENTRY}]}, False),
        "unknown": ({"mode": "feeds", "feeds": [{**newsapi.ENTRY}, {**stocktwits.ENTRY, "symbols": ["TYPO"]}]}, False),
    }

    @pytest.fixture(autouse=True, scope="class")
    def served(self):
        lately = datetime.now(UTC) - timedelta(days=2)
        articles, posts = newsapi.NewsApi(newsapi.article(at=lately)), stocktwits.StockTwits(stocktwits.post(at=lately))
        with api(articles.answer) as of_articles, api(posts.answer) as of_posts:
            for config, _ in self.scenarios.values():
                for feed, served in zip(config["feeds"], (of_articles, of_posts), strict=True):
                    feed["base_url"] = served.url
            yield
