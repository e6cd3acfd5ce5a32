"""The invented sample says that it is invented, and looks like what feeds deliver."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from bentleybot_assets.connectors.market.sample import SAMPLE_LAST_SESSION
from bentleybot_assets.connectors.market.sample import SampleFeed as MarketSample
from bentleybot_assets.connectors.news.sample import LABEL, sample_feeds
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts
from bentleybot_assets.contracts.sessions import is_session

START = date(1990, 1, 1)
NEW_YORK = ZoneInfo("America/New_York")


def records(contract) -> list[dict]:
    return [r for feed in sample_feeds(START) if feed.contract is contract for r in feed.read(None)[0]]


def said_at(record: dict, name: str) -> datetime:
    return datetime.fromisoformat(record[name]).astimezone(NEW_YORK)


def test_there_are_sixty_articles_of_two_feeds_and_thirty_posts():
    assert len(records(Articles)) == 60
    assert {r["feed"] for r in records(Articles)} == {"sample_wire", "sample_journal"}
    assert len(records(SocialPosts)) == 30


def test_whoever_sees_a_record_reads_that_it_is_invented():
    assert "invented" in LABEL
    assert {r["source"] for r in records(Articles) + records(SocialPosts)} == {LABEL}
    assert {r["publisher"] for r in records(Articles)} == {LABEL}
    # A name that never leads anywhere (RFC 2606).
    assert all(".sample.example/" in r["url"] for r in records(Articles) + records(SocialPosts))


@pytest.mark.parametrize("contract", [Articles, SocialPosts])
def test_sample_records_have_the_columns_of_their_contract_and_one_key_each(contract):
    rows = records(contract)
    assert {frozenset(row) for row in rows} == {frozenset(contract.polars_schema())}
    keys = [tuple(row[name] for name in contract.rules().grain) for row in rows]
    assert len(set(keys)) == len(rows)


@pytest.mark.parametrize("contract", [Articles, SocialPosts])
def test_it_was_published_on_sessions_of_the_last_weeks_in_waking_hours(contract):
    for record in records(contract):
        published = said_at(record, "published_at")
        assert is_session(published.date()), record
        assert date(2022, 11, 14) <= published.date() <= SAMPLE_LAST_SESSION
        if record.get("language", "en") == "en":
            assert time(7) <= published.time() <= time(18), record


def test_it_is_known_when_it_is_published_or_corrected_and_fetched_when_the_sample_ends():
    rows = records(Articles) + records(SocialPosts)
    assert {r["fetched_at"] for r in rows} == {"2022-12-28T21:15:00Z"}
    assert all(r["event_at"] == r["published_at"] <= r["available_at"] < r["fetched_at"] for r in rows)
    corrected = [r for r in records(Articles) if r["updated_at"]]
    assert len(corrected) == 2
    assert all(r["available_at"] == r["updated_at"] > r["published_at"] for r in corrected)
    assert all(r["available_at"] == r["published_at"] for r in rows if not r.get("updated_at"))
    assert all(r["is_modelled"] for r in rows)


def test_its_symbols_are_those_of_the_market_sample():
    attached = {s for r in records(Articles) + records(SocialPosts) for s in json.loads(r["symbols"] or "[]")}
    assert len(attached) >= 20
    assert attached <= set(MarketSample([], START).symbols)


def test_it_has_what_real_feeds_have():
    articles = records(Articles)
    assert {r["language"] for r in articles} == {"en", "de", "fr", "es", "ja", "ru"}
    summaries = [r["summary"] for r in articles]
    assert len(set(summaries)) < len(summaries), "the same story twice"
    without_symbols = [r["title"] for r in articles if r["symbols"] is None]
    assert any("Merck KGaA" in title for title in without_symbols)
    assert any("best buy" in title for title in without_symbols)


@pytest.mark.parametrize("feed", sample_feeds(START), ids=lambda feed: feed.name)
def test_reading_goes_on_after_the_mark(feed):
    everything, mark = feed.read(None)
    published = [r["published_at"] for r in everything]
    assert published == sorted(published)
    assert mark == {"published_at": published[-1]}
    assert feed.read(mark) == ([], mark)
    rest, after = feed.read({"published_at": published[-4]})
    assert (rest, after) == (everything[-3:], mark)
    future = {"published_at": "2999-12-31T00:00:00Z"}
    assert feed.read(future) == ([], future)


def test_reading_starts_at_the_start_date():
    wire, *_ = sample_feeds(date(2022, 12, 27))
    assert [r["published_at"][:10] for r in wire.read(None)[0]] == ["2022-12-27", "2022-12-28"]
