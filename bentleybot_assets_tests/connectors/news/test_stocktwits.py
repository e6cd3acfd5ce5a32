"""StockTwits' streams of symbols become posts, read through the manifest from a loopback StockTwits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from bentleybot_assets.contracts.raw.news import SocialPosts
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.records import normalise
from bentleybot_assets_tests.connectors.api import Answer, Api, Asked, api
from bentleybot_assets_tests.connectors.news.polled_desk import Desk

ENTRY = {"name": "Crowd", "kind": "stocktwits", "symbols": ["FND"], "history_days": 3}
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def post(number: int = 1, *symbols: str, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    """A message in the shape that StockTwits documents."""
    return {
        "id": number,
        "body": f"$FND says {number} &amp; up",
        "created_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "user": {"id": 7, "username": "somebody", "avatar_url": "http://a.example/a.png", "followers": 3},
        "source": {"id": 1, "title": "StockTwits Web"},
        "symbols": [{"id": 9, "symbol": symbol, "title": "A fund"} for symbol in symbols or ("FND",)],
        "likes": {"total": 2, "user_ids": [11, 12]},
        "entities": {"sentiment": {"basic": "Bullish"}},
        **more,
    }


class StockTwits:
    """StockTwits with a few posts; pages of 30, newest first."""

    def __init__(self, *posts: dict[str, Any]) -> None:
        self.posts = list(posts)
        self.known = {"FND", "OTHER"}

    def answer(self, asked: Asked) -> Answer:
        symbol = asked.path.rpartition("/")[2].removesuffix(".json")
        if symbol not in self.known:
            return Answer({"response": {"status": 404}, "errors": [{"message": "Symbol not found"}]}, 404)
        since, newest = int(asked.query.get("since", 0)), int(asked.query.get("max", 10**12))
        found = sorted(
            (
                told
                for told in self.posts
                if since < told["id"] <= newest and symbol in [of["symbol"] for of in told["symbols"]]
            ),
            key=lambda told: -told["id"],
        )
        page = found[: int(asked.query["limit"])]
        ids = [told["id"] for told in page]
        cursor = {
            "more": len(found) > len(page),
            "since": max(ids) if ids else None,
            "max": min(ids) if ids else None,
        }
        return Answer({"response": {"status": 200}, "symbol": {"symbol": symbol}, "cursor": cursor, "messages": page})


@pytest.fixture
def site() -> StockTwits:
    return StockTwits(post())


@pytest.fixture
def stocktwits(site: StockTwits, waits: list[float]) -> Iterator[Api]:
    with api(site.answer) as served:
        yield served


@pytest.fixture
def desk(stocktwits: Api) -> Desk:
    return Desk("social_posts", {**ENTRY, "base_url": stocktwits.url})


def test_a_post_has_its_columns_and_the_rest_is_kept(desk):
    (record,) = desk.sync()
    assert json.loads(record.pop("extra")) == {
        "user": {"id": 7, "followers": 3},
        "source": {"id": 1, "title": "StockTwits Web"},
        "symbols": [{"id": 9, "title": "A fund"}],
    }
    assert record == {
        "feed": "Crowd",
        "post": "1",
        "author": "somebody",
        "body": "$FND says 1 &amp; up",
        "url": None,
        "symbols": '["FND"]',
        "stance": "bullish",
        "likes": 2.0,
        "published_at": "2024-02-29T12:00:00Z",
        "event_at": "2024-02-29T12:00:00Z",
        "available_at": "2024-02-29T12:00:00Z",
        "is_modelled": True,
        "fetched_at": "2024-03-01T08:00:00Z",
        "source": "stocktwits/symbol",
        "source_version": "2",
    }


@pytest.mark.parametrize(
    ("entities", "stance", "kept"),
    [
        ({"sentiment": {"basic": "Bearish"}}, "bearish", None),
        ({"sentiment": None}, None, None),
        ({}, None, None),
        (None, None, None),
        ({"sentiment": {"basic": "Sideways"}}, None, {"sentiment": {"basic": "Sideways"}}),
    ],
)
def test_a_stance_is_what_the_author_says_or_none(site, desk, entities, stance, kept):
    site.posts = [post(entities=entities)]
    (record,) = desk.sync()
    assert (record["stance"], json.loads(record["extra"]).get("entities")) == (stance, kept)


def test_what_is_delivered_fits_the_raw_table(site, desk):
    site.posts = [post(1), post(2, "FND", "OTHER", likes=None, user=None), post(3, body="")]
    records = desk.sync()
    assert {tuple(record) for record in records} == {tuple(SocialPosts.polars_schema())}
    frame, undeclared = normalise(SocialPosts, records)
    outcome = audit(SocialPosts, frame)
    assert (len(records), undeclared, outcome.faults, outcome.quarantined_rows) == (3, set(), (), 0)


def test_all_pages_of_the_history_are_read_and_no_more(stocktwits, site, desk):
    site.posts = [post(1000 - number, at=NOON - timedelta(hours=number)) for number in range(200)]
    records = desk.sync()
    hours = [(NOON - datetime.fromisoformat(record["event_at"])) / timedelta(hours=1) for record in records]
    # Three days before eight o'clock of the next day are 52 hours before that noon.
    assert hours == list(range(52, -1, -1))
    assert len(stocktwits.asked) == 2


def test_later_syncs_ask_for_what_is_newer_than_what_was_read(stocktwits, site, desk):
    assert [record["post"] for record in desk.sync()] == ["1"]
    assert desk.sync() == []
    site.posts += [post(number, at=NOON + timedelta(days=2)) for number in range(2, 72)]
    news = desk.sync()
    assert {record["post"] for record in news} == {str(number) for number in range(2, 72)}
    assert {record["is_modelled"] for record in news} == {False}
    assert [asked.query.get("since") for asked in stocktwits.asked][:3] == [None, "1", "1"]


def test_after_a_long_pause_all_that_was_missed_is_read(site, desk):
    desk.sync()
    desk.now += timedelta(days=30)
    site.posts += [post(number, at=NOON + timedelta(days=number)) for number in range(2, 20)]
    assert [record["post"] for record in desk.sync()] == [str(number) for number in range(2, 20)]


def test_a_post_about_two_symbols_is_one_post_and_a_new_symbol_has_its_history_read(stocktwits, site, desk):
    site.posts = [post(1), post(2, "FND", "OTHER"), post(3, "OTHER")]
    assert {record["post"] for record in desk.sync()} == {"1", "2"}
    desk.config["feeds"][0]["symbols"] = ["FND", "OTHER"]
    both = {record["post"]: record["is_modelled"] for record in desk.sync()}
    assert both == {"2": True, "3": True}
    fresh = Desk("social_posts", *desk.config["feeds"])
    assert [record["post"] for record in fresh.sync()] == ["1", "2", "3"]


def test_nothing_from_before_the_start_date_is_told(site, desk):
    desk.config["start_date"] = "2024-02-29"
    site.posts = [post(1, at=NOON - timedelta(days=1)), post(2)]
    assert [record["post"] for record in desk.sync()] == ["2"]


def test_a_symbol_that_is_not_there_is_named(desk):
    desk.config["feeds"][0]["symbols"] = ["TYPO"]
    desk.sync()
    assert desk.error.failure_type is FailureType.config_error
    assert "StockTwits has no symbol TYPO. Mend or remove it in `symbols`" in desk.error.message


def broken(site: StockTwits, symbol: str, answer: Answer) -> Any:
    """Answers as the site does, but for one symbol."""
    return lambda asked: answer if asked.path.endswith(f"/{symbol}.json") else site.answer(asked)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({}, 404), "StockTwits has no symbol BAD"),
        (Answer({}, 502), "StockTwits is in trouble"),
        (Answer({"messages": [post(9), post(8) | {"created_at": None}], "cursor": {}}), "StockTwits messages of BAD: "),
    ],
    ids=["unknown", "in_trouble", "retyped"],
)
def test_a_symbol_that_cannot_be_read_costs_the_others_nothing_and_is_read_later(stocktwits, site, desk, answer, said):
    site.posts = [post(1), post(2, "OTHER")]
    stocktwits.answer = broken(site, "BAD", answer)
    desk.config["feeds"][0]["symbols"] = ["FND", "BAD", "OTHER"]
    assert [record["post"] for record in desk.sync()] == ["1", "2"]
    assert desk.error is None
    assert said in desk.problems["Crowd"]
    assert desk.marks["Crowd"]["fetched_at"] == "2024-03-01T08:00:00Z"

    assert (desk.sync(), desk.error) == ([], None)
    assert said in desk.problems["Crowd"]

    site.known.add("BAD")
    site.posts += [post(3, "BAD"), post(4)]
    stocktwits.answer = site.answer
    assert [record["post"] for record in desk.sync()] == ["3", "4"]
    assert desk.problems == {}


def test_every_symbol_that_cannot_be_read_is_named(stocktwits, site, desk):
    desk.config["feeds"][0]["symbols"] = ["BAD", "FND", "WORSE"]
    assert len(desk.sync()) == 1
    assert desk.problems["Crowd"].startswith("Feed Crowd: messages: StockTwits has no symbol BAD. Mend")
    assert "no symbol WORSE" in desk.problems["Crowd"]


def test_a_feed_none_of_whose_symbols_can_be_read_is_not_read(stocktwits, desk):
    desk.config["feeds"][0]["symbols"] = ["BAD", "WORSE"]
    assert desk.sync() == []
    assert "no symbol BAD" in desk.error.message
    assert "no symbol WORSE" in desk.error.message


def test_a_feed_that_was_read_before_is_not_read_if_none_of_its_symbols_is_now(stocktwits, desk):
    desk.sync()
    stocktwits.answer = lambda _: Answer({}, 502)
    assert desk.sync() == []
    assert "in trouble" in desk.error.message


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}], ids=["no_date", "in_an_hour"])
def test_a_site_that_limits_the_rate_is_asked_nothing_more_and_what_it_told_is_kept(stocktwits, site, desk, headers):
    site.posts = [post(1), post(2, "OTHER")]
    stocktwits.answer = broken(site, "BUSY", Answer({}, 429, headers))
    desk.config["feeds"][0]["symbols"] = ["FND", "BUSY", "OTHER"]
    assert [record["post"] for record in desk.sync()] == ["1"]
    assert not any(asked.path.endswith("/OTHER.json") for asked in stocktwits.asked)
    assert "StockTwits is asked nothing more in this read" in desk.problems["Crowd"]
    assert "BUSY and what comes after it in `symbols` is left to the next sync" in desk.problems["Crowd"]
    stocktwits.answer = site.answer
    assert [record["post"] for record in desk.sync()] == ["2"]


def test_a_site_that_fails_for_one_symbol_after_the_other_is_left_alone(stocktwits, desk):
    stocktwits.answer = lambda _: Answer({}, 502)
    desk.config["feeds"][0]["symbols"] = ["A", "B", "C", "D", "E"]
    desk.sync()
    assert desk.error.failure_type is FailureType.transient_error
    assert {asked.path[-6] for asked in stocktwits.asked} == {"A", "B", "C"}


def test_what_comes_after_a_read_that_found_nothing_is_seen_as_it_comes(site, desk):
    site.posts = []
    assert desk.sync() == []
    site.posts = [post(5, at=NOON + timedelta(days=1))]
    assert [(record["post"], record["is_modelled"]) for record in desk.sync()] == [("5", False)]


@pytest.mark.parametrize(
    "refusal",
    [
        (Answer({"errors": [{"message": "Unauthorized"}]}, 403), "config_error", "refuses this machine (Unauthorized)"),
        (Answer(b"<html>", 403), "config_error", "no reason given"),
        (Answer({}, 429), "transient_error", "limits the rate"),
        (Answer({}, 502), "transient_error", "in trouble"),
        (Answer(b"{"), "transient_error", "answer is broken"),
        (Answer({"messages": []}), "transient_error", "no `cursor`"),
        (Answer({"messages": None, "cursor": {}}), "transient_error", "no list `messages`"),
        (Answer([]), "transient_error", "answer is broken"),
    ],
)
def test_a_refusal_says_what_it_is(stocktwits, desk, refusal):
    answer, failure, said = refusal
    stocktwits.answer = lambda _: answer
    desk.sync()
    assert desk.error.failure_type.value == failure
    assert said in desk.error.message


def test_a_server_that_gives_the_same_page_for_ever_is_left(stocktwits, desk):
    page = {"messages": [post()], "cursor": {"more": True, "max": 1, "since": 1}}
    stocktwits.answer = lambda _: Answer(page)
    desk.sync()
    assert "the same comes again and again" in desk.error.message


@pytest.mark.parametrize(
    "retyped",
    [
        ("id", "first", "`id` is 'first', not a number"),
        ("created_at", "2024-02-29T25:00:00Z", "`created_at` is '2024-02-29T25:00:00Z', not a time with an offset"),
        ("body", 1.5, "`body` is 1.5, not a text"),
        ("symbols", "FND", "`symbols` is 'FND', not a list"),
        ("likes", 3, "likes is 3, not an object"),
    ],
    ids=lambda retyped: retyped[0],
)
def test_a_field_of_another_type_is_named_with_its_value(stocktwits, desk, retyped):
    name, value, said = retyped
    stocktwits.answer = lambda _: Answer({"messages": [post(**{name: value})], "cursor": {"more": False}})
    if name == "id":
        stocktwits.answer = lambda _: Answer({"messages": [post() | {"id": value}], "cursor": {"more": False}})
    desk.sync()
    assert desk.error.failure_type is FailureType.config_error
    assert f"StockTwits messages of FND{'.' if name == 'likes' else ': '}{said}" in desk.error.message


@pytest.mark.parametrize("future", [{"fetched_at": "2999-01-01T00:00:00Z"}, {"newest": {"FND": 2**52}}])
def test_a_state_from_the_future_yields_no_record_and_no_crash(site, desk, future):
    desk.sync()
    desk.marks["Crowd"] |= future
    site.posts.append(post(2))
    assert (desk.sync(), desk.error) == ([], None)
