"""The news source speaks the Airbyte protocol, and passes the tests that Airbyte has for every source."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from airbyte_cdk.models import AirbyteStateBlob, FailureType, SyncMode
from airbyte_cdk.sources.utils.schema_helpers import check_config_against_spec_or_exit
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.news.fetch import FeedClient
from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.contracts.raw.news import Articles, SocialPosts
from bentleybot_assets_tests.connectors.market import protocol
from bentleybot_assets_tests.connectors.market.protocol import LOGGER, error_of, records_of, states_of
from bentleybot_assets_tests.connectors.news.web import Web, page, serving
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["pytest_generate_tests"]

SAMPLE = {"mode": "sample"}
STREAMS = ("articles", "social_posts")
CONTRACTS = {"articles": Articles, "social_posts": SocialPosts}
NOW = datetime(2022, 12, 28, 21, 30, tzinfo=UTC)

WIRE = b"""<rss version='2.0'><channel><title>Wire</title>
<item><guid isPermaLink='false'>a</guid><title>one</title><pubDate>Tue, 27 Dec 2022 14:15:00 GMT</pubDate></item>
<item><guid isPermaLink='false'>b</guid><title>two</title></item></channel></rss>"""
JOURNAL = b"""<feed xmlns='http://www.w3.org/2005/Atom'><title>Journal</title>
<entry><id>j:1</id><title>three</title><updated>2022-12-20T10:00:00Z</updated></entry></feed>"""


def read(config, state=None, *, source=None, streams=STREAMS, **options):
    return protocol.read(config, state, source=source or NewsSource(), streams=streams, **options)


class Desk:
    """A source whose feeds are on a web of loopback, and whose clock goes on a minute with every read."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.now = NOW
        web.pages |= {
            "/wire": page(WIRE, Content_Type="application/rss+xml"),
            "/journal": page(JOURNAL, Content_Type="application/atom+xml"),
        }
        self.source = NewsSource(
            lambda: self.now, lambda allowed: FeedClient(allowed, resolve=web.resolve, backend=web.backend)
        )

    def read(self, config: dict[str, Any], state=None, **options) -> list[Any]:
        self.now += timedelta(minutes=1)
        return read(config, state, source=self.source, **options)


def rss(name: str, path: str | None = None) -> dict[str, str]:
    return {"name": name, "kind": "rss", "url": f"http://news.example/{path or name}"}


TWO = {"mode": "feeds", "feeds": [rss("journal"), rss("wire")]}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving() as web:
        yield Desk(web)


class TestStandards(Standards):
    """The sample, and a feed on loopback."""

    connector = NewsSource
    scenarios: ClassVar = {
        "sample": (SAMPLE, True),
        "feeds": ({"mode": "feeds", "feeds": [rss("wire")]}, True),
        "not_there": ({"mode": "feeds", "feeds": [rss("nowhere")]}, False),
    }
    empty_streams: ClassVar = {"feeds": ["social_posts"]}

    @pytest.fixture(autouse=True)
    def on_loopback(self, monkeypatch, desk) -> None:
        desk.web.pages["/nowhere"] = page(status=404)
        monkeypatch.setattr(type(self), "connector", lambda: desk.source)


def run(tmp_path, *arguments: str, **files: Any) -> list[dict[str, Any]]:
    """Start the source as a program with JSON files as arguments; the messages it printed."""
    command = [sys.executable, "-m", "bentleybot_assets.connectors.news", *arguments]
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
        command += [f"--{name}", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_as_a_program_it_discovers_and_reads_the_sample(tmp_path):
    (catalog,) = [m["catalog"] for m in run(tmp_path, "discover", config=SAMPLE) if m["type"] == "CATALOG"]
    assert {s["name"]: s["source_defined_primary_key"] for s in catalog["streams"]} == {
        "articles": [["feed"], ["article"], ["fetched_at"]],
        "social_posts": [["feed"], ["post"], ["fetched_at"]],
    }
    configured = {
        "streams": [
            {"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append"}
            for stream in catalog["streams"]
        ]
    }
    messages = run(tmp_path, "read", config=SAMPLE, catalog=configured)
    assert sum(m["type"] == "RECORD" for m in messages) == 90


@pytest.mark.parametrize("stream", STREAMS)
def test_records_have_exactly_the_columns_of_their_contract(stream, desk):
    rows = records_of(read(SAMPLE), stream) + records_of(desk.read(TWO), stream)
    assert {frozenset(row) for row in rows} == {frozenset(CONTRACTS[stream].polars_schema())}


def test_two_reads_agree(desk):
    assert read(SAMPLE) != []
    for stream in STREAMS:
        assert records_of(read(SAMPLE), stream) == records_of(read(SAMPLE), stream)
    before = desk.now
    first = records_of(desk.read(TWO), "articles")
    desk.now = before
    assert records_of(desk.read(TWO), "articles") == first


@pytest.mark.parametrize("config", [SAMPLE, TWO], ids=["sample", "feeds"])
@pytest.mark.parametrize("stream", STREAMS)
def test_going_on_from_any_state_loses_and_repeats_nothing(config, stream, desk):
    def told(messages: list[Any]) -> list[tuple[Any, ...]]:
        key = CONTRACTS[stream].rules().grain[:2]
        return [tuple(record[name] for name in key) for record in records_of(messages, stream)]

    messages = desk.read(config, streams=(stream,))
    for position, message in enumerate(messages):
        if message.state is not None:
            rest = desk.read(config, [message.state], streams=(stream,))
            assert told(messages[:position]) + told(rest) == told(messages)


def test_a_state_of_the_far_future_yields_no_record_and_no_error(desk):
    for config in (SAMPLE, TWO):
        states = states_of(desk.read(config))
        for state in states:
            blob = json.loads(json.dumps(state.stream.stream_state.__dict__, default=vars))
            for mark in blob.get("marks", {}).values():
                mark |= {name: "2999-12-31T00:00:00Z" for name in ("published_at", "fetched_at") if name in mark}
            state.stream.stream_state = AirbyteStateBlob(blob)
        messages = desk.read(config, states)
        assert error_of(messages) is None
        assert [m for m in messages if m.record is not None] == []


def test_a_full_refresh_reads_everything_whatever_the_state():
    first = read(SAMPLE)
    again = read(SAMPLE, states_of(first), sync_mode=SyncMode.full_refresh)
    assert records_of(again, "articles") == records_of(first, "articles")


def test_sample_headlines_never_go_on_as_news(desk):
    error = error_of(desk.read(TWO, states_of(read(SAMPLE))))
    assert error.failure_type is FailureType.config_error
    assert "read in mode sample, the configuration says feeds" in error.message


def test_a_feed_that_cannot_be_read_is_named_and_never_fails_the_others(desk):
    desk.web.addresses["inside.example"] = [["10.0.0.1"]]
    inside = {"name": "inside", "kind": "rss", "url": "http://inside.example/rss?token=hush"}
    messages = desk.read({"mode": "feeds", "feeds": [inside, rss("wire"), rss("gone")]})
    assert {record["feed"] for record in records_of(messages, "articles")} == {"wire"}
    problems = vars(states_of(messages)[0].stream.stream_state)["problems"]
    assert re.search("10.0.0.1, which is not one of the public internet.*`allowed_private_hosts`", problems["inside"])
    assert "hush" not in str(messages)


def test_a_broken_feed_is_read_and_reported(desk):
    desk.web.pages["/wire"] = page(WIRE.replace(b"two", b"two & a half"), Content_Type="application/xml")
    messages = desk.read(TWO)
    assert [r["title"] for r in records_of(messages, "articles")] == ["three", "one", "two & a half"]
    state = vars(states_of(messages)[0].stream.stream_state)
    assert "not well-formed at line 3, column" in state["problems"]["wire"]
    assert error_of(messages) is None
    assert records_of(desk.read(TWO, states_of(messages)), "articles") == []


def test_a_feed_added_later_gets_all_that_it_shows(desk):
    before = desk.read({"mode": "feeds", "feeds": [rss("wire")]})
    after = desk.read(TWO, states_of(before))
    assert [record["feed"] for record in records_of(after, "articles")] == ["journal"]


def test_a_feed_on_a_server_of_your_own_is_read_when_it_is_allowed(desk):
    desk.web.addresses["own.example"] = [["192.168.1.7"]]
    own = {"name": "own", "kind": "rss", "url": "http://own.example:1234/wire"}
    config = {"mode": "feeds", "feeds": [own], "allowed_private_hosts": ["own.example"]}
    assert len(records_of(desk.read(config), "articles")) == 2
    assert error_of(desk.read({**config, "allowed_private_hosts": []})).failure_type is FailureType.config_error


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": "feeds"}, "needs feeds to read. List at least one in `feeds`"),
        ({**TWO, "mode": "sample"}, "Mode sample reads no `feeds`. Set `mode: feeds`"),
        (
            {"mode": "feeds", "feeds": [{**rss("f"), "kind": "gopher"}]},
            "Feed f: `kind` is 'gopher'. Set it to rss or newsapi or stocktwits",
        ),
        ({"mode": "rss"}, "`mode` is 'rss'. Set it to sample or feeds"),
        ({}, "`mode` is None. Set it to sample or feeds"),
        ({"mode": "feeds", "feeds": [rss("wire"), rss("wire", "journal")]}, "`feeds` has wire more than once"),
        ({**TWO, "allowed_private_hosts": ["own.example/rss"]}, "`allowed_private_hosts` has 'own.example/rss'"),
        ({"mode": "feeds", "feeds": [rss("gone"), rss("wire"), rss("lost")]}, "Feed gone .*404.* Feed lost .*404"),
        ({"mode": "feeds", "feeds": [{**rss("f"), "url": "file:///etc/passwd"}]}, "Feed f .*not an address of the web"),
    ],
)
def test_check_says_what_to_mend(desk, config, message):
    missing = page(status=404)
    desk.web.pages |= {"/gone": missing, "/lost": missing}
    status = desk.source.check(LOGGER, config)
    assert status.status.value == "FAILED"
    assert re.search(message, status.message)


def test_a_desk_whose_feeds_can_all_be_read_passes_its_check(desk):
    assert desk.source.check(LOGGER, TWO).status.value == "SUCCEEDED"
    assert NewsSource().check(LOGGER, SAMPLE).status.value == "SUCCEEDED"


@pytest.mark.parametrize(
    "feed",
    [
        {"name": "wire", "kind": "rss"},
        {"name": "", "kind": "rss", "url": "http://news.example/"},
        {"name": "wire", "kind": "gopher", "url": "http://news.example/"},
        {"name": "wire", "kind": "rss", "url": "file:///etc/passwd"},
        {"name": "wire", "kind": "rss", "url": "http://news.example/", "password": "x"},
    ],
)
def test_the_specification_refuses_what_is_no_feed(feed):
    specification = NewsSource().spec(LOGGER)
    check_config_against_spec_or_exit(TWO, specification)
    with pytest.raises(AirbyteTracedException, match="Config validation error"):
        check_config_against_spec_or_exit({"mode": "feeds", "feeds": [feed]}, specification)
