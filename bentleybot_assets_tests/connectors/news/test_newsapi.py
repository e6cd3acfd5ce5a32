"""A search at NewsAPI becomes articles, read through its manifest from a loopback NewsAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.contracts.raw.news import Articles
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.records import normalise
from bentleybot_assets_tests.connectors.api import Answer, Api, Asked, api
from bentleybot_assets_tests.connectors.market.protocol import LOGGER
from bentleybot_assets_tests.connectors.news.polled_desk import Desk

KEY = "newsapi-says-hush"
ENTRY = {"name": "Search", "kind": "newsapi", "api_key": KEY, "query": '"A fund" OR FND'}
NOON = datetime(2024, 2, 28, 12, tzinfo=UTC)


def article(number: int = 0, *, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    """An article in the shape that NewsAPI documents."""
    return {
        "source": {"id": "the-paper", "name": "The Paper"},
        "author": "A. Writer",
        "title": f"Title {number}",
        "description": "What it is about",
        "url": f"https://paper.example/{number}",
        "urlToImage": "https://paper.example/image.png",
        "publishedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "content": "The beginning of the text… [+900 chars]",
        **more,
    }


class NewsApi:
    """A NewsAPI whose plan gives the first page of any search alone."""

    def __init__(self, *articles: dict[str, Any]) -> None:
        self.articles = list(articles)

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("x-api-key") != KEY:
            return Answer({"status": "error", "code": "apiKeyInvalid", "message": "Your API key is invalid."}, 401)
        if "page" in asked.query:
            return Answer({"status": "error", "code": "maximumResultsReached", "message": "Only 100."}, 426)
        first, last = asked.query["from"], asked.query.get("to", "9999")
        found = [told for told in self.articles if first <= told["publishedAt"] <= last]
        found.sort(key=lambda told: told["publishedAt"], reverse=True)
        size = int(asked.query["pageSize"])
        return Answer({"status": "ok", "totalResults": len(found), "articles": found[:size]})


@pytest.fixture
def site() -> NewsApi:
    return NewsApi(article())


@pytest.fixture
def newsapi(site: NewsApi, waits: list[float]) -> Iterator[Api]:
    with api(site.answer) as served:
        yield served


@pytest.fixture
def desk(newsapi: Api) -> Desk:
    return Desk("articles", {**ENTRY, "base_url": newsapi.url})


def test_an_article_has_its_columns_and_the_rest_is_kept(desk):
    (record,) = desk.sync()
    extra = json.loads(record.pop("extra"))
    assert extra == {"source": {"id": "the-paper"}, "content": "The beginning of the text… [+900 chars]"}
    assert record == {
        "feed": "Search",
        "article": "https://paper.example/0",
        "url": "https://paper.example/0",
        "publisher": "The Paper",
        "title": "Title 0",
        "summary": "What it is about",
        "author": "A. Writer",
        "language": None,
        "tags": None,
        "symbols": None,
        "updated_at": None,
        "published_at": "2024-02-28T12:00:00Z",
        "event_at": "2024-02-28T12:00:00Z",
        "available_at": "2024-02-28T12:00:00Z",
        "is_modelled": True,
        "fetched_at": "2024-03-01T08:00:00Z",
        "source": "newsapi/everything",
        "source_version": "v2",
    }


def test_the_search_is_what_the_settings_say(newsapi, desk):
    desk.config["feeds"][0] |= {"language": "de", "history_days": 5, "query": "1e5"}
    assert [record["language"] for record in desk.sync()] == ["de"]
    (asked,) = newsapi.asked
    assert asked.path == "/v2/everything"
    assert asked.query == {
        "q": "1e5",
        "language": "de",
        "from": "2024-02-25T08:00:00Z",
        "sortBy": "publishedAt",
        "pageSize": "100",
    }
    assert KEY not in str(asked.query)


def test_what_is_delivered_fits_the_raw_table(site, desk):
    site.articles += [article(1, author=None, description="", title=None, source={"id": None, "name": None})]
    site.articles += [article(2, author="x" * 400, url="https://paper.example/" + "y" * 400)]
    records = desk.sync()
    assert {tuple(record) for record in records} == {tuple(Articles.polars_schema())}
    frame, undeclared = normalise(Articles, records)
    outcome = audit(Articles, frame)
    assert (len(records), undeclared, outcome.faults, outcome.quarantined_rows) == (3, set(), (), 0)


def test_all_articles_are_read_although_the_plan_gives_one_page(newsapi, site, desk):
    # Three a minute, so that pages end in the middle of a minute's articles.
    site.articles = [article(number, at=NOON + timedelta(minutes=number // 3)) for number in range(350)]
    records = desk.sync()
    assert {record["title"] for record in records} == {f"Title {number}" for number in range(350)}
    assert len(records) == 350
    assert [record["event_at"] for record in records] == sorted(record["event_at"] for record in records)
    assert all("page" not in asked.query for asked in newsapi.asked)


def test_more_articles_of_one_second_than_a_page_holds_are_an_error(site, desk):
    site.articles = [article(number) for number in range(101)]
    desk.sync()
    assert desk.error.failure_type is FailureType.config_error
    assert "more than 100 articles of one second" in desk.error.message


def test_an_article_is_told_once_and_again_if_it_changed(newsapi, site, desk):
    assert len(desk.sync()) == 1
    assert desk.sync() == []
    site.articles[0]["title"] = "Corrected"
    site.articles.append(article(1, at=NOON - timedelta(hours=3)))
    news = desk.sync()
    assert {record["title"] for record in news} == {"Corrected", "Title 1"}
    assert {(record["available_at"], record["is_modelled"]) for record in news} == {("2024-03-03T08:00:00Z", False)}
    first, *later = [asked.query["from"] for asked in newsapi.asked]
    assert (first, later) == ("2024-02-02T08:00:00Z", ["2024-02-27T08:00:00Z", "2024-02-28T08:00:00Z"])


def test_nothing_from_before_the_start_date_is_asked_for(newsapi, desk):
    desk.config["start_date"] = "2024-02-29"
    assert desk.sync() == []
    assert newsapi.asked[0].query["from"] == "2024-02-29T00:00:00Z"


def test_an_article_that_was_taken_down_is_left_out(site, desk):
    site.articles += [article(at=NOON, url="https://removed.com", title="[Removed]")]
    assert [record["title"] for record in desk.sync()] == ["Title 0"]


@pytest.mark.parametrize(
    "refusal",
    [
        (401, "apiKeyInvalid", "config_error", "refuses the key (so it is). Set `api_key`"),
        (426, "maximumResultsReached", "config_error", "Narrow `query`, lower `history_days`"),
        (
            426,
            "parameterInvalid",
            "config_error",
            "The NewsAPI plan does not give this (so it is). Lower `history_days`",
        ),
        (400, "parameterInvalid", "config_error", "Mend `query`"),
        (429, "apiKeyExhausted", "transient_error", "used up (so it is)"),
        (429, "rateLimited", "transient_error", "limits the rate"),
        (500, "unexpectedError", "transient_error", "in trouble"),
        (200, "odd", "transient_error", "no list `articles`"),
    ],
)
def test_a_refusal_says_what_it_is_and_what_to_do(newsapi, desk, refusal):
    status, code, failure, said = refusal
    newsapi.answer = lambda _: Answer({"status": "error", "code": code, "message": "so it is"}, status)
    desk.sync()
    assert desk.error.failure_type.value == failure
    assert desk.error.message.startswith("Feed Search: everything: ")
    assert said in desk.error.message


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b"null", b'{"articles": null}', b'{"articles": "x"}'])
def test_a_broken_answer_is_not_taken_for_no_articles(newsapi, desk, waits, body):
    newsapi.answer = lambda _: Answer(body)
    desk.sync()
    assert desk.error.failure_type is FailureType.transient_error
    assert len(waits) == 3


@pytest.mark.parametrize(
    "retyped",
    [
        ("url", None, "text"),
        ("title", ["a"], "text"),
        ("publishedAt", "yesterday", "time with an offset"),
        ("source", "paper", "object"),
    ],
    ids=lambda retyped: retyped[0],
)
def test_a_field_of_another_type_is_named_with_its_value(newsapi, desk, retyped):
    name, value, kind = retyped
    newsapi.answer = lambda _: Answer({"status": "ok", "totalResults": 1, "articles": [article(**{name: value})]})
    desk.sync()
    assert desk.error.failure_type is FailureType.config_error
    assert f"NewsAPI articles[0]{'.' if kind == 'object' else ': `'}{name}" in desk.error.message
    assert f"{value!r}, not a{'n' if kind == 'object' else ''} {kind}" in desk.error.message


def test_a_state_from_the_future_yields_no_record_and_no_crash(newsapi, desk, caplog):
    desk.sync()
    desk.marks["Search"]["fetched_at"] = "2999-01-01T00:00:00Z"
    desk.marks["Search"]["told"] = {}
    assert (desk.sync(), desk.error) == ([], None)
    assert "Feed Search was read at 2999-01-01T00:00:00Z" in caplog.text


def test_no_secret_appears_in_any_message(newsapi, caplog, capfd):
    newsapi.answer = lambda asked: Answer({"code": "x", "message": json.dumps(dict(asked.headers))}, 401)
    desk = Desk("articles", {**ENTRY, "base_url": newsapi.url})
    desk.sync()
    status = NewsSource().check(LOGGER, desk.config)
    said = f"{desk.messages} {status.message} {desk.error} {caplog.text} {capfd.readouterr()}"
    assert "refuses the key" in said
    assert KEY not in said
