"""RSS and Atom become articles: every field accounted for, versions told apart, broken feeds named."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bentleybot_assets.connectors.feeds import ConfigError, IncompleteError, TransientError
from bentleybot_assets.connectors.news import parse as module
from bentleybot_assets.connectors.news.fetch import FeedClient
from bentleybot_assets.connectors.news.rss import RssFeed, _instant, to_records
from bentleybot_assets.contracts.raw.news import Articles
from bentleybot_assets_tests.connectors.news.web import Web, page, serving, xml_fragments

FIXTURES = Path(os.environ.get("BENTLEYBOT_FIXTURES", Path(__file__).parents[4] / "shared" / "fixtures")) / "rss"
NOW = datetime(2022, 12, 28, 21, 30, tzinfo=UTC)
FETCHED = "2022-12-28T21:30:00Z"

OWN = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:x="http://x.example/ns">
<channel>
  <title>An invented wire</title><link>http://wire.example/</link><language>en-us</language>
  <item>
    <title>Orders &amp;amp; prices</title>
    <link>/2022/orders</link>
    <guid isPermaLink="false">wire:2</guid>
    <pubDate>Tue, 27 Dec 2022 09:15:00 -0500</pubDate>
    <description>&lt;b&gt;Steady&lt;/b&gt; orders &lt;script&gt;x()&lt;/script&gt;</description>
    <dc:creator>A. Sample</dc:creator>
    <category>retail</category><category domain="http://wire.example/t">prices</category>
    <source url="http://other.example/rss">Another wire</source>
    <x:rank>7</x:rank>
  </item>
  <item>
    <title>No more than a title</title>
    <pubDate>yesterday, about noon</pubDate>
  </item>
</channel></rss>"""


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def feed(web: Web, clock=lambda: NOW, start=date(1990, 1, 1), url="http://wire.example/rss") -> RssFeed:
    client = FeedClient(resolve=web.resolve, backend=web.backend)
    return RssFeed({"name": "wire", "url": url}, start, clock, client=client)


def serve(web: Web, content: bytes | str, **headers: str) -> None:
    body = content if isinstance(content, bytes) else content.encode()
    web.pages["/rss"] = page(body, **{"Content_Type": "application/xml", **headers})


def read(web: Web, content: bytes | str, mark: Any = None, **options) -> list[dict[str, Any]]:
    serve(web, content)
    return list(feed(web, **options).read(mark)[0])


def rss(*items: str) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0'><channel><title>w</title>{inside}</channel></rss>"


def test_every_field_of_an_item_is_kept_mapped_or_ignored(web):
    undated, dated = sorted(read(web, OWN), key=lambda record: record["published_at"] is not None)
    assert dated == {
        "feed": "wire",
        "article": "wire:2",
        "publisher": "Another wire",
        "url": "http://wire.example/2022/orders",
        "title": "Orders &amp; prices",
        "summary": "<b>Steady</b> orders <script>x()</script>",
        "author": "A. Sample",
        "language": "en-us",
        "tags": '["retail", "prices"]',
        "symbols": None,
        "published_at": "2022-12-27T14:15:00Z",
        "updated_at": None,
        "event_at": "2022-12-27T14:15:00Z",
        "available_at": "2022-12-27T14:15:00Z",
        "is_modelled": True,
        "fetched_at": FETCHED,
        "source": "rss/wire.example",
        "source_version": dated["source_version"],
        "extra": dated["extra"],
    }
    assert dated["source_version"].startswith("feedparser 6.")
    assert json.loads(dated["extra"]) == {
        "title_detail": {"type": "text/html"},
        "summary_detail": {"type": "text/html"},
        "tags": [
            {"term": "retail", "scheme": None, "label": None},
            {"term": "prices", "scheme": "http://wire.example/t", "label": None},
        ],
        "source": {"href": "http://other.example/rss", "title": "Another wire"},
        "x_rank": "7",
    }
    assert (undated["published_at"], undated["event_at"], undated["available_at"]) == (None, FETCHED, FETCHED)
    assert (undated["publisher"], undated["is_modelled"]) == ("An invented wire", False)
    assert json.loads(undated["extra"])["published"] == "yesterday, about noon"


def test_records_have_exactly_the_columns_of_their_contract(web):
    assert {tuple(sorted(record)) for record in read(web, OWN)} == {tuple(sorted(Articles.polars_schema()))}


# What an element or attribute of the recordings becomes, where it is not simply found again.
READ_AS = {
    "html": "text/html",
    "/relative/uri": "http://wire.example/relative/uri",
}
IGNORED_ATTRIBUTES = {
    "isPermaLink",  # whether the id is an address
    "mode",  # how text was escaped; it is delivered unescaped
    "{http://www.w3.org/XML/1998/namespace}base",  # mostly the feed's own address
}
IMPLIED = {("link@rel", "alternate"), ("link@type", "text/html")}
"""What a link is that says nothing else of itself; such a one is the column ``url``."""

DATES = {"pubDate", "published", "updated", "modified"}


@pytest.mark.parametrize(
    "name",
    [
        *("entry_title_crazy", "http_item_link_base_docuri", "item_description_crazy", "rss1.0withModules"),
        *("large_atom_feed_that_needs_css_sanitisation", "rss2.0simplechapter2items", "rss2.0withAtomNS"),
    ],
)
def test_every_element_of_a_recorded_feed_is_accounted_for(web, name):
    content = recorded(name)
    records = read(web, content)
    root = ET.fromstring(content)  # noqa: S314 - a recording
    items = [element for element in root.iter() if local(element.tag) in ("item", "entry")]
    assert len(records) == len(items)
    for item in items:
        texts = [found for found in said(item) if found not in IMPLIED]
        best = max(records, key=lambda record: sum(text in delivered(record) for _, text in texts))
        missing = [(where, text) for where, text in texts if text not in delivered(best)]
        assert missing == []


def recorded(name: str) -> bytes:
    if not FIXTURES.is_dir():
        pytest.skip("the recorded feeds are not there; set BENTLEYBOT_FIXTURES to the recordings' folder")
    return (FIXTURES / f"{name}.xml").read_bytes()


def local(tag: str) -> str:
    return tag.rpartition("}")[2]


def said(item: ET.Element) -> Iterator[tuple[str, str]]:
    """Texts and attributes of an item and what is in it, as they are to be found again."""
    for element in item.iter():
        text = (element.text or "").strip()
        if local(element.tag) in DATES:
            text = instant(text)
        if text:
            yield local(element.tag), READ_AS.get(text, text)
        for name, value in element.attrib.items():
            if name not in IGNORED_ATTRIBUTES:
                yield f"{local(element.tag)}@{name}", READ_AS.get(value, value)


def instant(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %z").strftime("%Y-%m-%dT%H:%M:%SZ")


def delivered(record: dict[str, Any]) -> set[str]:
    """Every text that a record delivers, those within JSON among them."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for item in value.values():
                yield from texts(item)
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)
        elif isinstance(value, str):
            yield value

    found = set(texts({name: value for name, value in record.items() if name not in ("extra", "tags")}))
    return found | set(texts(json.loads(record["extra"] or "{}"))) | set(texts(json.loads(record["tags"] or "[]")))


def test_a_recorded_atom_feed_has_its_golden_values(web):
    records = {
        record["article"]: record for record in read(web, recorded("large_atom_feed_that_needs_css_sanitisation"))
    }
    assert len(records) == 15
    first = records["tag:touchnokia.ru,2009://1.666"]
    assert first["title"] == "Невидимая броня для Вашего Nokia 5800"
    assert (first["published_at"], first["updated_at"]) == ("2009-09-09T14:19:45Z", "2009-04-08T14:25:12Z")
    assert first["available_at"] == "2009-09-09T14:19:45Z"
    assert (first["author"], first["language"]) == ("iPod", "ru")
    assert json.loads(first["tags"])[:3] == ["Новости", "5800", "nokia"]


def test_markup_of_a_recorded_feed_is_delivered_as_it_came(web):
    (record,) = read(web, recorded("item_description_crazy"))
    assert 'onmouseover="\nexecuteMe();' in record["summary"]
    assert record["article"].startswith("sha256:")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bozo_invalid-bytes-with-bom", r"no article and is not well-formed at line 10, column \d+, in <rss>"),
        ("rss_incomplete_cdata", r"not well-formed at line 5, column 1, outside of all elements: XML or text decl"),
    ],
)
def test_a_recorded_feed_that_is_broken_and_empty_is_refused_with_place_and_fix(web, name, message):
    with pytest.raises(ConfigError, match=rf"Feed wire .http://wire.example/rss.: .*{message}.*mend or remove `url`"):
        read(web, recorded(name))


def test_a_recorded_feed_of_odd_bytes_is_delivered_and_reported(web):
    serve(web, recorded("bozo_linenoise"))
    records, _ = feed(web).read(None)
    assert next(iter(records))["summary"]
    with pytest.raises(IncompleteError, match=r"Feed wire .* not in the encoding that it states .document declared as"):
        list(records)


def test_a_broken_feed_delivers_what_can_be_read_and_says_where_it_is_broken(web):
    one, two = (
        "<link>http://x.example/1</link><title>whole</title>",
        "<link>http://x.example/2</link><title>a & b</title>",
    )
    serve(web, rss(one, two), ETag='"v1"')
    records, _ = feed(web).read(None)
    delivered_first = []
    with pytest.raises(
        IncompleteError, match=r"Feed wire .*not well-formed at line 1, column \d+, in <title>"
    ) as caught:
        delivered_first.extend(records)
    assert [record["title"] for record in delivered_first] == ["whole", "a & b"]
    assert set(caught.value.mark["told"]) == {"http://x.example/1", "http://x.example/2"}
    assert caught.value.mark["validators"] == {}


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        ("<html><body><p>Not here</p></body></html>", "text/html", "neither RSS nor Atom, but text/html"),
        ("", "application/xml", "no article and is not well-formed"),
        ('{"items": []}', "application/json", "line 1, column 1, outside of all elements"),
        ("<!DOCTYPE r [<!ENTITY a 'b'>]><rss version='2.0'/>", "application/xml", "not read: it declares entities"),
        (rss("<title>&#xD800;</title>").replace("</rss>", ""), "application/xml", "not read: feedparser fails on it"),
    ],
)
def test_what_is_no_feed_is_refused_by_name_with_a_fix(web, content, content_type, message):
    serve(web, content, Content_Type=content_type)
    for attempt in (feed(web).check, lambda: feed(web).read(None)):
        with pytest.raises(ConfigError, match=rf"Feed wire .*{message}.*mend or remove `url`"):
            attempt()


def test_a_feed_without_items_is_a_feed(web):
    assert read(web, rss()) == []


def test_what_cannot_be_fetched_is_named_too(web):
    web.pages["/rss"] = page(status=503)
    with pytest.raises(TransientError, match=r"Feed wire .*status 503"):
        feed(web).check()
    web.addresses["wire.example"] = [["127.0.0.1"]]
    with pytest.raises(ConfigError, match=r"Feed wire .*`allowed_private_hosts`"):
        feed(web).check()


def test_an_address_that_cannot_be_taken_apart_is_named_too(web):
    broken = feed(web, url="http://[wire.example/rss?token=hush")
    with pytest.raises(ConfigError, match=r"Feed wire \(an address .*cannot be read.* Mend `url`") as caught:
        broken.read(None)
    assert "hush" not in str(caught.value)


def test_the_key_is_the_id_else_the_link_else_a_hash_of_the_text(web):
    keys = [
        record["article"]
        for record in read(
            web,
            rss(
                "<guid isPermaLink='false'>a</guid><link>http://x.example/1</link>",
                "<link>http://x.example/2</link>",
                "<title>t</title>",
                f"<guid isPermaLink='false'>{'x' * 300}</guid>",
            ),
        )
    ]
    assert keys[:2] == ["a", "http://x.example/2"]
    assert all(key.startswith("sha256:") and len(key) == 71 for key in keys[2:])


def atom(*entries: str) -> str:
    inside = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return (
        f"<feed xmlns='http://www.w3.org/2005/Atom' xml:base='http://wire.example/a/'><title>w</title>{inside}</feed>"
    )


@pytest.mark.parametrize(
    ("content", "key", "url"),
    [
        (rss("<guid isPermaLink='false'>12345</guid>"), "12345", None),
        (rss("<guid>12345</guid>"), "12345", "http://{host}/12345"),
        (rss("<guid isPermaLink='true'>http://pub.example//a/?p=1</guid>"), "http://pub.example//a/?p=1", "{key}"),
        (rss("<guid>12345</guid><link>http://pub.example/1</link>"), "12345", "http://pub.example/1"),
        (rss("<guid>https://[broken</guid>"), "https://[broken", None),
        (atom("<id>tag:pub.example,2022:1</id>"), "tag:pub.example,2022:1", None),
        (atom("<id>urn:uuid:1</id><link href='b'/>"), "urn:uuid:1", "http://wire.example/a/b"),
        (atom("<id>12345</id><link href='http://pub.example/1'/>"), "12345", "http://pub.example/1"),
        (atom("<id>http://pub.example/A/../1?</id>"), "http://pub.example/A/../1?", None),
    ],
)
def test_an_id_is_the_same_wherever_the_feed_has_moved_to(web, content, key, url):
    clock = Clock()
    serve(web, content)
    (record,), mark = feed(web, clock).read(None)
    assert (record["article"], record["url"]) == (key, url and url.format(host="wire.example", key=key))
    web.pages["/elsewhere/feed"] = page(content.encode(), Content_Type="application/xml")
    clock.advance(minutes=1)
    moved, after = feed(web, clock, url="http://moved.example/elsewhere/feed").read(mark)
    assert [found["article"] for found in moved] in ([], [key])
    assert after["told"].keys() == {key}


def test_items_that_share_an_id_are_told_apart_and_repeated_ones_are_not(web):
    shared = "<guid isPermaLink='false'>same</guid>"
    records = read(
        web,
        rss(
            f"{shared}<link>http://x.example/1</link><title>one</title>",
            f"{shared}<link>http://x.example/2</link><title>two</title>",
            f"{shared}<title>three</title>",
            f"{shared}<title>three</title>",
            "<guid isPermaLink='false'>own</guid><title>four</title>",
            "<guid isPermaLink='false'>own</guid><title>four</title>",
        ),
    )
    assert len({record["article"] for record in records}) == len(records) == 4
    assert [record["article"] for record in records if record["title"] in ("one", "two", "four")] == [
        "http://x.example/1",
        "http://x.example/2",
        "own",
    ]
    assert json.loads(records[0]["extra"])["id"] == "same"


def test_a_text_that_is_longer_than_its_column_is_kept_whole(web):
    (record,) = read(web, rss(f"<guid>a</guid><author>{'x y' * 100}</author>"))
    assert record["author"] is None
    assert json.loads(record["extra"])["author"] == "x y" * 100


@pytest.mark.parametrize(
    ("stated", "delivered_as"),
    [
        ("Wed, 28 Dec 2022 09:15:00 -0500", "2022-12-28T14:15:00Z"),
        ("Wed, 28 Dec 2022 09:15:00 EST", "2022-12-28T14:15:00Z"),
        ("2022-12-28T09:15:00+09:00", "2022-12-28T00:15:00Z"),
        ("2022-12-28T09:15:00.25-0330", "2022-12-28T12:45:00Z"),
        ("Wed, 28 Dec 22 09:15:00 GMT", "2022-12-28T09:15:00Z"),
        # To take these for Greenwich's would date an article up to a day before it was there.
        ("2022-12-28", None),
        ("2022-12", None),
        ("2022-12-28T09:15:00", None),
        ("2022-12-28T09:15:00 EST", None),
        ("Wed, 28 Dec 2022 09:15:00", None),
        ("Wed, 28 Dec 2022 09:15:00 BRT", None),
        ("Wed, 28 Dec 2022 9:15 PM EST", None),
        ("Wed, 28 Dec 2022 09:15:00 UTC-0500", None),
        ("Wed, 28 Dec 2022 24:00:00 GMT", None),
        ("1672218900", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("0001-01-01T00:00:00Z", None),
        ("31 February", None),
    ],
)
def test_dates_are_utc_and_broken_ones_are_kept_as_they_came(web, stated, delivered_as):
    (record,) = read(web, rss(f"<guid>a</guid><pubDate>{stated}</pubDate>"))
    assert record["published_at"] == delivered_as
    assert json.loads(record["extra"] or "{}").get("published") == (None if delivered_as else stated)


PARTS_OF_DATES = [
    "Fri,",
    "31",
    "Feb",
    "2024",
    "99999999999",
    "12:00:07",
    "GMT",
    "+9999",
    "-10:00",
    "9999-12-31T23:59:59",
]


@given(st.text() | st.lists(st.sampled_from(PARTS_OF_DATES), max_size=7).map(" ".join))
@example("9999-12-31T23:59:59-10:00")
@example("Fri, 31 Dec 9999 23:59:59 -1000")
def test_no_date_however_odd_is_a_crash(text):
    assert _instant(text) is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", _instant(text))


def test_articles_of_before_the_start_date_are_left_out(web):
    dated = [f"<guid>{day}</guid><pubDate>2022-12-{day}T00:00:00Z</pubDate>" for day in (26, 27, 28)]
    records = read(web, rss(*dated, "<guid>undated</guid>"), start=date(2022, 12, 27))
    assert {record["article"].rpartition("/")[2] for record in records} == {"27", "28", "undated"}


def test_history_is_known_since_it_says_so_and_later_articles_since_they_were_fetched(web):
    clock = Clock()
    old, late = (f"<guid>{name}</guid><pubDate>2022-12-01T00:00:00Z</pubDate>" for name in ("old", "late"))
    serve(web, rss(old))
    source = feed(web, clock)
    first, mark = source.read(None)
    assert [(r["available_at"], r["is_modelled"]) for r in first] == [("2022-12-01T00:00:00Z", True)]
    clock.advance(hours=1)
    serve(web, rss(late, old))
    second, _ = source.read(mark)
    assert [(r["article"][-4:], r["available_at"], r["is_modelled"]) for r in second] == [
        ("late", "2022-12-28T22:30:00Z", False)
    ]


def test_history_that_was_changed_is_known_since_the_change_and_a_future_date_since_it_was_fetched(web):
    entry = (
        "<entry xmlns='http://www.w3.org/2005/Atom'><id>{}</id><published>{}</published><updated>{}</updated></entry>"
    )
    entries = entry.format("a", "2022-12-01T00:00:00Z", "2022-12-05T00:00:00Z")
    entries += entry.format("b", "2022-12-01T00:00:00Z", "2023-01-05T00:00:00Z")
    changed, future = read(web, f"<feed xmlns='http://www.w3.org/2005/Atom'>{entries}</feed>")
    assert (changed["available_at"], changed["is_modelled"]) == ("2022-12-05T00:00:00Z", True)
    assert (future["available_at"], future["is_modelled"]) == (FETCHED, False)
    assert (future["published_at"], future["event_at"]) == ("2022-12-01T00:00:00Z", "2022-12-01T00:00:00Z")


def test_an_article_that_is_dated_ahead_is_true_when_it_was_fetched(web):
    (record,) = read(web, rss("<guid>a</guid><pubDate>Sun, 01 Jan 2023 00:00:00 GMT</pubDate>"))
    assert record["published_at"] == "2023-01-01T00:00:00Z"
    assert (record["event_at"], record["available_at"], record["is_modelled"]) == (FETCHED, FETCHED, False)


def test_an_unchanged_article_is_told_once_and_a_changed_one_again(web):
    clock = Clock()
    source = feed(web, clock)
    serve(web, rss("<guid>a</guid><title>one</title>", "<guid>b</guid><title>two</title>"))
    _, mark = source.read(None)
    clock.advance(minutes=1)
    nothing, mark = source.read(json.loads(json.dumps(mark)))
    assert list(nothing) == []
    clock.advance(minutes=1)
    serve(web, rss("<guid>b</guid><title>two, corrected</title>"))
    (changed,), mark = source.read(mark)
    assert (changed["title"], changed["fetched_at"]) == ("two, corrected", "2022-12-28T21:32:00Z")
    assert len(mark["told"]) == 1


@settings(max_examples=200)
@given(xml_fragments())
@example("<rss version='2.0'><channel><item><title>t</title><tags a='b'/><published_parsed>x</published_parsed></item>")
@example("<rss version='2.0'><channel><item><title>t</title><title_detail>x</title_detail><source>x</source></item>")
def test_whatever_is_in_an_item_it_becomes_a_record_or_is_refused(text):
    try:
        answer = module._parsed(text.encode(), {"content-type": "application/xml"})
    except (ValueError, OverflowError, LookupError):
        return  # ends the process that reads it
    if "refused" in answer:
        return
    for record in to_records(module.Parsed(**answer), "http://wire.example/rss"):
        assert record.keys() == Articles.polars_schema().keys()
        assert all(value is None or isinstance(value, str) for value in record.values())
        assert record["article"]
        assert isinstance(json.loads(record["tags"] or "[]"), list)


def test_an_element_with_a_name_of_feedparsers_own_is_kept_as_one(web):
    own = "<published_parsed>x</published_parsed><updated_parsed a='b'/><title_detail>y</title_detail>"
    (record,) = read(web, rss(f"<title>t</title>{own}"))
    assert json.loads(record["extra"]) == {"published_parsed": "x", "updated_parsed": {"a": "b"}, "title_detail": "y"}


def test_two_first_reads_agree(web):
    assert read(web, OWN) == read(web, OWN)


def test_a_feed_that_did_not_change_is_not_sent_again(web):
    clock = Clock()
    source = feed(web, clock)
    serve(web, OWN, ETag='"v1"', Last_Modified="Tue, 27 Dec 2022 14:20:00 GMT")
    _, mark = source.read(None)
    web.pages["/rss"] = page(status=304)
    clock.advance(minutes=1)
    nothing, after = source.read(mark)
    assert (list(nothing), after) == ([], {**mark, "fetched_at": "2022-12-28T21:31:00Z"})
    sent = web.requests[-1][1]
    assert (sent["If-None-Match"], sent["If-Modified-Since"]) == ('"v1"', "Tue, 27 Dec 2022 14:20:00 GMT")


def test_validators_of_one_address_are_not_sent_to_another(web):
    serve(web, OWN, ETag='"v1"')
    _, mark = feed(web).read(None)
    web.pages["/other"] = page(OWN.encode(), Content_Type="application/xml")
    list(feed(web, lambda: NOW + timedelta(hours=1), url="http://wire.example/other").read(mark)[0])
    assert "If-None-Match" not in web.requests[-1][1]


@pytest.mark.parametrize("read_at", ["2999-12-31T00:00:00Z", FETCHED])
def test_nothing_is_read_before_the_last_read(web, read_at):
    serve(web, OWN)
    mark = {"fetched_at": read_at}
    assert feed(web).read(mark) == ((), mark)
    assert web.requests == []


def test_neither_records_nor_mark_nor_messages_show_the_query_of_a_private_feed(web):
    web.pages["/rss?token=hush"] = page(OWN.encode(), Content_Type="application/xml")
    private = feed(web, url="http://wire.example/rss?token=hush")
    records, mark = private.read(None)
    assert "hush" not in json.dumps([list(records), mark])
    web.pages["/rss?token=hush"] = page(b"", status=404)
    with pytest.raises(ConfigError) as caught:
        private.check()
    assert "hush" not in str(caught.value)


def test_a_link_within_a_private_feed_does_not_take_its_token_along(web):
    item = "<item><title>t</title><link>#a</link></item>"
    content = f'<rss version="2.0"><channel><title>c</title>{item}</channel></rss>'
    web.pages["/rss?token=hush"] = page(content.encode(), Content_Type="application/xml")
    records, _ = feed(web, url="http://wire.example/rss?token=hush").read(None)
    (record,) = records
    assert record["url"] == "http://wire.example/rss#a"
    assert "hush" not in json.dumps(record)


def test_a_mark_that_another_kind_of_feed_left_is_no_obstacle(web):
    serve(web, OWN)
    records, _ = feed(web).read({"page": 3})
    assert [record["is_modelled"] for record in records] == [False, False]
