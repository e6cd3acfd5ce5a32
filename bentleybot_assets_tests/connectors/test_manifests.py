"""Declarative manifests are read in this process, and what goes wrong is told in the sources' own terms."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator

import pytest
from airbyte_cdk.sources.declarative.parsers.custom_code_compiler import AirbyteCustomCodeNotPermittedError

from bentleybot_assets.connectors.feeds import ConfigError, TransientError
from bentleybot_assets.connectors.manifests import Manifest
from bentleybot_assets.connectors.patience import BusyError
from bentleybot_assets_tests.connectors.api import Answer, Api, Asked, api

THINGS = [{"id": str(number)} for number in range(5)]
KEY = "correct-horse-battery"
MANIFEST = Manifest("bentleybot_assets_tests.connectors", "things.yaml")


def page(asked: Asked) -> Answer:
    after, size = int(asked.query.get("after", -1)), int(asked.query["size"])
    return Answer({"things": THINGS[after + 1 : after + 1 + size]})


@pytest.fixture
def things() -> Iterator[Api]:
    with api(page) as served:
        yield served


def read(served: Api, **settings: object) -> list[dict[str, object]]:
    return MANIFEST.read("things", {"base_url": served.url, "key": KEY, **settings})


@pytest.mark.parametrize(("size", "pages"), [(1, 6), (2, 3), (5, 2), (100, 1)])
def test_pages_are_followed_to_the_last(things, size, pages):
    assert read(things, page_size=size) == THINGS
    assert len(things.asked) == pages


def test_a_setting_that_is_left_out_has_its_default(things):
    read(things)
    assert {asked.query["size"] for asked in things.asked} == {"2"}


def test_it_declares_its_settings():
    assert (set(MANIFEST.settings), MANIFEST.required) == ({"key", "base_url", "page_size"}, ("key",))


@pytest.mark.parametrize(
    "key",
    ["1e5", "0x1F", "1_000", "'quoted'", '"', "[1]", "None", "0123", "{{ 7 }}", "5e1234567890123456789012", "a\\b"],
)
def test_a_secret_arrives_as_it_is_written(things, key):
    read(things, key=key)
    assert {asked.headers["x-key"] for asked in things.asked} == {key}


def test_a_refused_key_is_an_error_of_the_configuration_and_is_not_tried_again(things, waits):
    things.answer = lambda _: Answer({"error": "no"}, status=401)
    with pytest.raises(ConfigError, match=r"^things: Things refuse `key`\.$"):
        read(things)
    assert (len(things.asked), waits) == (1, [])


def test_a_limited_rate_is_waited_out_as_long_as_the_api_says(things, waits):
    refusals = [Answer({}, 429, {"Retry-After": "7"}), Answer({}, 429, {"Retry-After": "2"})]
    things.answer = lambda asked: refusals.pop(0) if refusals else page(asked)
    assert read(things) == THINGS
    assert waits == [8, 3]  # the cdk adds a second


def test_a_limited_rate_is_not_waited_out_for_ever(things, waits):
    things.answer = lambda _: Answer({}, 429, {"Retry-After": "7"})
    with pytest.raises(BusyError, match=r"^things: Things limit the rate of requests\. Sync again later\.$"):
        read(things)
    assert (len(things.asked), waits) == (4, [8, 8, 8])


def test_a_wait_that_is_too_long_is_left_to_the_next_sync(things, waits):
    things.answer = lambda _: Answer({}, 429, {"Retry-After": "3600"})
    with pytest.raises(BusyError, match="things: The rate limit wait time is longer"):
        read(things)
    assert (len(things.asked), waits) == (1, [])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again_and_then_left(things, waits, status):
    things.answer = lambda _: Answer(b"<html>in trouble</html>", status)
    with pytest.raises(TransientError, match=r"things: Things are in trouble\. Sync again later") as raised:
        read(things)
    assert not isinstance(raised.value, BusyError)
    assert (len(things.asked), len(waits)) == (4, 3)


def test_a_server_that_recovers_is_read_without_loss(things, waits):
    troubles = [Answer(b"", 500)]
    things.answer = lambda asked: troubles.pop() if asked.query.get("after") == "1" and troubles else page(asked)
    assert read(things) == THINGS
    assert len(waits) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"things": [', b"[]", b"{}", b"null"])
def test_an_answer_that_is_broken_is_not_taken_for_an_empty_one(things, waits, body):
    things.answer = lambda _: Answer(body)
    with pytest.raises(TransientError, match="Things answer nonsense"):
        read(things)
    assert len(things.asked) == 4


def test_a_server_that_is_not_there_is_a_passing_trouble(waits):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(TransientError, match=r"^things: .*Sync again later"):
        MANIFEST.read("things", {"base_url": address, "key": KEY})
    assert len(waits) == 3


@pytest.mark.parametrize("status", [401, 429, 451, 500, 404, 200])
def test_no_secret_is_told_even_if_the_server_repeats_it(things, waits, caplog, capfd, status):
    caplog.set_level(logging.INFO)
    things.answer = lambda _: Answer({"why": f"wrong: {KEY}", "message": KEY}, status, {"X-Echo": KEY})
    with pytest.raises((ConfigError, TransientError)) as raised:
        read(things)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text + "".join(capfd.readouterr())
    assert "things" in told
    assert KEY not in told


def test_messages_of_another_source_are_not_printed_among_those_of_ours(things, waits, capfd):
    things.answer = lambda _: Answer({}, 429)
    with pytest.raises(TransientError):
        read(things)
    assert {json.loads(line)["type"] for line in capfd.readouterr().out.splitlines()} <= {"LOG"}


def test_code_of_a_manifest_is_not_run(things, monkeypatch):
    manifest = Manifest("bentleybot_assets_tests.connectors", "things.yaml")
    manifest._content["streams"][0]["retriever"]["record_selector"]["extractor"] = {
        "type": "CustomRecordExtractor",
        "class_name": "source_declarative_manifest.components.Anything",
    }
    with pytest.raises(AirbyteCustomCodeNotPermittedError):
        manifest.read("things", {"base_url": things.url, "key": KEY})
    assert things.asked == []


@pytest.mark.parametrize("size", [1, 2, 4])
def test_pages_that_come_again_end_the_read(things, size):
    things.answer = lambda _: Answer({"things": THINGS[:size]})
    with pytest.raises(ConfigError, match=r"the same comes again and again: what answers does not know of pages"):
        read(things, page_size=size)
    assert len(things.asked) == 3


def test_a_key_is_not_sent_to_where_a_redirect_leads(things, waits):
    with api(page) as elsewhere:
        things.answer = lambda asked: Answer({}, 307, {"Location": f"{elsewhere.url}{asked.path}"})
        with pytest.raises(TransientError) as refused:
            read(things)
    assert elsewhere.asked == []
    assert KEY not in str(refused.value)
