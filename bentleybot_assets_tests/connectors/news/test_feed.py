"""What is news since the last read, and what fits its column."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.news.feed import fitted, news_since, short_key
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts

TEXTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three"]))


def articles(titles: dict[str, str], fetched_at: str = "2022-12-28T00:00:00Z") -> list[dict]:
    nothing = dict.fromkeys(Articles.polars_schema())
    return [
        {**nothing, "article": key, "title": title, "fetched_at": fetched_at, "available_at": fetched_at}
        for key, title in titles.items()
    ]


@given(TEXTS, TEXTS)
def test_news_is_what_is_new_or_says_something_else(before, after):
    _, told = news_since({}, articles(before), Articles)
    news, told = news_since(told, articles(after, "2022-12-29T00:00:00Z"), Articles)
    assert {record["article"]: record["title"] for record in news} == dict(after.items() - before.items())
    assert told.keys() == after.keys()
    assert news_since(told, articles(after, "2022-12-30T00:00:00Z"), Articles)[0] == []


def test_how_a_record_was_delivered_is_not_what_it_says_but_extra_is():
    (record,) = articles({"a": "one"})
    _, told = news_since({}, [record], Articles)
    elsewhere = {
        **record,
        "source": "x",
        "source_version": "2",
        "is_modelled": True,
        "event_at": "2000-01-01T00:00:00Z",
    }
    assert news_since(told, [elsewhere], Articles)[0] == []
    assert news_since(told, [{**record, "extra": "{}"}], Articles)[0] != []


def test_posts_are_known_by_their_own_key():
    post = {**dict.fromkeys(SocialPosts.polars_schema()), "post": "p", "body": "b"}
    assert news_since({}, [post], SocialPosts)[1].keys() == {"p"}


def test_what_does_not_fit_is_kept_in_extra():
    (record,) = articles({"a": "one"})
    long = "x" * 256
    kept = fitted({**record, "author": long, "publisher": "y" * 255, "summary": long}, {"rank": "7"}, Articles)
    assert (kept["author"], kept["publisher"], kept["summary"]) == (None, "y" * 255, long)
    assert json.loads(kept["extra"]) == {"author": long, "rank": "7"}
    assert fitted(record, {}, Articles)["extra"] is None


def test_a_long_key_is_replaced_by_its_hash():
    assert short_key("k" * 255) == "k" * 255
    assert short_key("k" * 256).startswith("sha256:")
    assert short_key("k" * 256) != short_key("k" * 257)
