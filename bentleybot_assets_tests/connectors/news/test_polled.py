"""What holds for each kind of feed that is read by a manifest, airbyte-cdk's own tests among it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets_tests.connectors.api import Answer, api
from bentleybot_assets_tests.connectors.news import test_newsapi as newsapi
from bentleybot_assets_tests.connectors.news import test_stocktwits as stocktwits
from bentleybot_assets_tests.connectors.news.polled_desk import Desk
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["TestNewsSourceOnManifests", "pytest_generate_tests"]


@dataclass(frozen=True)
class Kind:
    """A kind of feed: its stream, an entry of the settings, and a site that has some items."""

    stream: str
    entry: Mapping[str, Any]
    key: str
    site: Callable[..., newsapi.NewsApi | stocktwits.StockTwits]
    item: Callable[..., dict[str, Any]]


KINDS = {
    "newsapi": Kind("articles", newsapi.ENTRY, "article", newsapi.NewsApi, newsapi.article),
    "stocktwits": Kind("social_posts", stocktwits.ENTRY, "post", stocktwits.StockTwits, stocktwits.post),
}
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, waits: list[float]) -> Kind:
    return KINDS[request.param]


def five_of(kind: Kind) -> list[dict[str, Any]]:
    return [kind.item(number, at=NOON + timedelta(minutes=number)) for number in range(1, 6)]


def test_two_reads_agree(kind):
    with api(kind.site(*five_of(kind)).answer) as served:
        first, second = (Desk(kind.stream, {**kind.entry, "base_url": served.url}).sync() for _ in range(2))
    assert len(first) == 5
    assert first == second


@pytest.mark.parametrize("stop", range(6))
def test_going_on_from_any_state_loses_and_repeats_nothing(kind, stop):
    items = five_of(kind)
    with api(kind.site(*items[:stop]).answer) as served:
        desk = Desk(kind.stream, {**kind.entry, "base_url": served.url})
        before = desk.sync()
        served.answer = kind.site(*items).answer
        after = desk.sync()
    assert [len(before), len(after)] == [stop, 5 - stop]
    assert len({record[kind.key] for record in before + after}) == 5


def test_a_limited_rate_is_waited_out(kind, waits):
    refusals = [Answer({}, 429, {"Retry-After": "30"})]
    site = kind.site(*five_of(kind))
    with api(lambda asked: refusals.pop() if refusals else site.answer(asked)) as served:
        assert len(Desk(kind.stream, {**kind.entry, "base_url": served.url}).sync()) == 5
    assert waits == [31]  # the cdk adds a second


def test_what_is_dated_ahead_is_true_and_known_when_it_was_fetched(kind):
    with api(kind.site(kind.item(1, at=datetime(2024, 3, 9, tzinfo=UTC))).answer) as served:
        (record,) = Desk(kind.stream, {**kind.entry, "base_url": served.url}).sync()
    assert record["published_at"] == "2024-03-09T00:00:00Z"
    assert {record["event_at"], record["available_at"]} == {record["fetched_at"]} == {"2024-03-01T08:00:00Z"}


def test_an_unread_feed_keeps_its_mark(kind):
    with api(kind.site(*five_of(kind)).answer) as served:
        desk = Desk(kind.stream, {**kind.entry, "base_url": served.url})
        desk.sync()
        marks = desk.marks
        served.answer = lambda _: Answer({}, 502)
        assert desk.sync() == []
    assert desk.error is not None
    assert desk.marks == marks


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
