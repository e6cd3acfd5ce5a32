"""Feeds are fetched from the public internet alone, once resolved, and only so much and so long."""

from __future__ import annotations

import gzip
import re
import ssl
from collections.abc import Iterator

import httpcore
import pytest
import trustme

from bentleybot_assets.connectors.feeds import ConfigError, TransientError
from bentleybot_assets.connectors.news.fetch import FeedClient
from bentleybot_assets_tests.connectors.news.web import PUBLIC, Web, endless, page, serving

FEED = b"<rss version='2.0'><channel><title>t</title></channel></rss>"
URL = "http://feed.example/rss"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.pages["/rss"] = page(FEED, Content_Type="application/rss+xml")
        web.pages["/secret"] = page(b"what only this machine may read")
        yield web


def client(web: Web, *allowed: str, **limits) -> FeedClient:
    return FeedClient(allowed, resolve=web.resolve, backend=web.backend, **limits)


def test_a_public_feed_is_fetched_from_the_address_that_was_looked_at(web):
    answer = client(web).get(URL)
    assert (answer.content, answer.url) == (FEED, URL)
    assert answer.headers["content-type"] == "application/rss+xml"
    assert (web.resolved, web.connected) == (["feed.example"], [PUBLIC])


def test_a_request_says_who_asks_and_nothing_more(web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client(web).get("http://Feed.example:8080/rss")
    ((path, headers),) = web.requests
    assert path == "/rss"
    assert headers["Host"] == "feed.example:8080"
    assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}


def test_a_path_outside_ascii_is_sent_encoded(web):
    web.pages["/n%C3%A4chste%20seite?q=%E2%82%AC&r=1"] = page(FEED)
    assert client(web).get("http://feed.example/nächste%20seite?q=€&r=1").content == FEED


def test_the_second_answer_of_a_name_that_rebinds_is_never_asked_for(web):
    web.addresses["feed.example"] = [[PUBLIC], ["127.0.0.1"]]
    client(web).get(URL)
    assert (web.resolved, web.connected) == (["feed.example"], [PUBLIC])


@pytest.mark.parametrize(
    "private",
    [
        *("127.0.0.1", "10.0.0.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_a_name_with_any_address_that_is_not_public_is_refused_before_a_connection(web, private):
    web.addresses["feed.example"] = [[PUBLIC, private]]
    with pytest.raises(ConfigError, match=rf"{re.escape(private)}, which is not .*`allowed_private_hosts`"):
        client(web).get(URL)
    assert web.connected == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "169.254.169.254", "localhost"]
)
def test_a_private_host_in_the_address_itself_is_refused(host):
    with pytest.raises(ConfigError, match="not one of the public internet"):
        FeedClient().get(f"http://{host}/secret")


@pytest.mark.parametrize(
    "url",
    [
        *("http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://0/"),
        *("file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://feed.example/", "data:text/xml,<rss/>"),
        *(
            "//feed.example/rss",
            "feed.example/rss",
            "/etc/passwd",
            "",
            "http:///rss",
            "http://[::1",
            "http://[fe80::1%1]/",
        ),
        *("http://feed.example\\@127.0.0.1/", "http://feed.example /", "http://feed.example/\r\nX: y", "http://a\tb/"),
        *("http://user:word@feed.example/", "http://feed.example@127.0.0.1/", "http://@feed.example/"),
        *(
            "http://feed.example:0x50/",
            "http://feed.example:99999/",
            "http://feed.example:22/",
            "http://feed.example:6379/",
        ),
        *("http://feed.exa%6dple/", "http://-feed.example/", "https://feed.example:25/"),
    ],
)
def test_what_is_no_plain_address_of_the_web_is_refused_before_anything_is_asked(web, url):
    with pytest.raises(ConfigError, match=r"`url`|alone"):
        client(web).get(url)
    assert (web.resolved, web.connected) == ([], [])


@pytest.mark.parametrize(
    "location",
    [
        *("http://internal.example/secret", "http://127.0.0.1/secret", "http://[::ffff:7f00:1]/secret", "//127.0.0.1/"),
        *(
            "http://2130706433/secret",
            "file:///etc/passwd",
            "gopher://internal.example/",
            "http://u:p@feed.example/rss",
        ),
        *("http://feed.example:6379/", "http://feed.example\\@127.0.0.1/"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_inward_or_to_another_scheme_is_refused(web, location, status):
    web.addresses |= {
        "internal.example": [["10.0.0.7"]],
        "127.0.0.1": [["127.0.0.1"]],
        "::ffff:7f00:1": [["::ffff:7f00:1"]],
    }
    web.pages["/moved"] = page(status=status, Location=location)
    with pytest.raises(ConfigError):
        client(web).get("http://feed.example/moved")
    assert [path for path, _ in web.requests] == ["/moved"]


def test_redirects_are_followed_and_each_hop_is_looked_at_anew(web):
    web.pages["/a"] = page(status=301, Location="/b")
    web.pages["/b"] = page(status=302, Location="http://other.example/rss")
    answer = client(web).get("http://feed.example/a")
    assert (answer.content, answer.url) == (FEED, "http://other.example/rss")
    assert web.resolved == ["feed.example", "feed.example", "other.example"]
    web.addresses["feed.example"] = [[PUBLIC], ["127.0.0.1"]]
    with pytest.raises(ConfigError, match=r"127.0.0.1, which is not"):
        client(web).get("http://feed.example/a")


def test_a_circle_of_redirects_ends(web):
    web.pages["/rss"] = page(status=302, Location="/rss?again=1")
    web.pages["/rss?again=1"] = page(status=302, Location="/rss")
    with pytest.raises(
        ConfigError, match=r"redirects more than 5 times, at last to http://feed.example/rss. Set `url`"
    ):
        client(web).get(URL)
    assert len(web.requests) == 6


def test_a_private_host_is_fetched_from_when_it_is_allowed_by_name():
    with serving() as web:
        web.pages["/rss"] = page(FEED)
        own = f"http://127.0.0.1:{web.port}/rss"
        with pytest.raises(ConfigError, match=r"port .* list 127.0.0.1 in `allowed_private_hosts`"):
            FeedClient().get(own)
        assert FeedClient(["127.0.0.1"]).get(own).content == FEED
        with pytest.raises(ConfigError, match="not one of the public internet"):
            FeedClient(["own.example"]).get("http://127.0.0.1/rss")


def test_a_stranger_cannot_redirect_to_a_private_host_that_is_allowed(web):
    web.addresses["own.example"] = [["10.0.0.7"]]
    web.pages["/moved"] = page(status=302, Location="http://own.example/rss")
    assert client(web, "own.example").get("http://own.example/moved").content == FEED
    with pytest.raises(ConfigError, match=r"10.0.0.7, which is not"):
        client(web, "own.example").get("http://feed.example/moved")


@pytest.mark.parametrize("host", ["http://own.example", "own.example:8080", "own.example/rss", "127.1", ""])
def test_an_allowed_host_that_is_none_is_named(host):
    with pytest.raises(ConfigError, match=rf"`allowed_private_hosts` has '{re.escape(host)}'"):
        FeedClient([host])


@pytest.mark.parametrize(
    "answer",
    [
        page(b"x" * 1001),
        page(b"x" * 10, Content_Length="1000000000"),
        page(gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip"),
        page(gzip.compress(b"x" * 600) + gzip.compress(b"x" * 600), Content_Encoding="gzip"),
        endless(b"x" * 100),
        endless(gzip.compress(b""), Content_Encoding="gzip"),
    ],
    ids=["too_long", "says_too_long", "gzip_bomb", "gzip_of_two_parts", "endless", "endless_nothing"],
)
def test_a_body_that_is_too_large_or_never_ends_is_refused(web, answer):
    web.pages["/rss"] = answer
    with pytest.raises(ConfigError, match=r"more than 1,000 bytes.*shorter feed"):
        client(web, max_bytes=1000).get(URL)


def test_a_bomb_is_never_unpacked_beyond_the_limit(web, monkeypatch):
    import zlib

    pieces = []
    original = zlib.decompressobj

    class Watched:
        def __init__(self, *arguments):
            self._inner = original(*arguments)

        def decompress(self, *arguments):
            pieces.append(len(piece := self._inner.decompress(*arguments)))
            return piece

        def __getattr__(self, name):
            return getattr(self._inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    web.pages["/rss"] = page(gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip")
    with pytest.raises(ConfigError, match="more than 20,000 bytes"):
        client(web, max_bytes=20_000).get(URL)
    assert pieces == [20_001]


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_a_packed_body_within_the_limit_is_unpacked(web, size):
    web.pages["/rss"] = page(gzip.compress(b"x" * size), Content_Encoding="gzip")
    assert client(web, max_bytes=1000).get(URL).content == b"x" * size


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (page(gzip.compress(FEED)[:-4], Content_Encoding="gzip"), TransientError, "ends too early"),
        (page(b"not packed", Content_Encoding="gzip"), TransientError, "packed wrongly"),
        (page(b"?", Content_Encoding="br"), ConfigError, "packed as 'br', which was not asked for"),
        (page(b"?", Content_Encoding="gzip, gzip"), ConfigError, "packed as 'gzip, gzip'"),
        (page(FEED, Content_Length=str(len(FEED) + 1)), TransientError, "cannot be read.*Sync again later"),
        (page(status=404), ConfigError, "status 404.*moved or ended"),
        (page(status=410), ConfigError, "status 410"),
        (page(status=204), ConfigError, "status 204"),
        (page(status=304), ConfigError, "status 304"),
        (page(status=429, Retry_After="120"), TransientError, "status 429. It asks to wait: 120. Sync again later"),
        (page(status=503), TransientError, "status 503. Sync again later"),
        (page(status=408), TransientError, "status 408. Sync again later"),
        (page(status=425), TransientError, "status 425. Sync again later"),
    ],
    ids=[
        *("cut", "not packed", "packed otherwise", "packed twice", "shorter than stated", "404", "410", "204", "304"),
        *("429", "503", "408", "425"),
    ],
)
def test_an_answer_that_is_no_feed_says_what_to_do(web, answer, error, message):
    web.pages["/rss"] = answer
    with pytest.raises(error, match=message):
        client(web).get(URL)


class Ticking:
    """A clock that is a second later whenever it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.mark.parametrize("part", ["body", "head"])
def test_a_feed_that_drips_is_given_up_when_its_time_is_over(web, part):
    def drip(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if part == "body":
            request.wfile.write(b"\r\n")
        while True:
            request.wfile.write(b"a")
            request.wfile.flush()

    web.pages["/rss"] = drip
    with pytest.raises(TransientError, match="does not answer in full within 12 seconds"):
        client(web, max_seconds=12, clock=Ticking()).get(URL)


def test_a_feed_that_says_nothing_is_waited_for_no_longer_than_its_time():
    waited = []

    class Silent(httpcore.NetworkStream):
        def read(self, max_bytes, timeout=None):
            waited.append(timeout)
            raise httpcore.ReadTimeout

        def write(self, buffer, timeout=None):
            pass

        def close(self):
            pass

    class Backend(httpcore.NetworkBackend):
        def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
            waited.append(timeout)
            return Silent()

    quiet = FeedClient(resolve=lambda host, port: [PUBLIC], backend=Backend(), max_seconds=4, clock=lambda: 0.0)
    with pytest.raises(TransientError, match="within 4 seconds"):
        quiet.get(URL)
    assert waited == [4, 4]


def test_redirects_share_the_time_of_a_fetch(web):
    web.pages["/rss"] = page(status=302, Location="/rss")
    with pytest.raises(TransientError, match="within 9 seconds"):
        client(web, max_seconds=9, clock=Ticking()).get(URL)


def test_another_address_is_tried_when_one_does_not_answer(web):
    class Half(httpcore.SyncBackend):
        def connect_tcp(self, host, port, *arguments, **options):
            if host == PUBLIC:
                raise httpcore.ConnectError("no route")
            return web.backend.connect_tcp(host, port, *arguments, **options)

    web.addresses["feed.example"] = [[PUBLIC, "8.8.8.8"]]
    assert FeedClient(resolve=web.resolve, backend=Half()).get(URL).content == FEED
    web.addresses["feed.example"] = [[PUBLIC]]
    with pytest.raises(TransientError, match="no route"):
        FeedClient(resolve=web.resolve, backend=Half()).get(URL)
    web.addresses["feed.example"] = [[]]
    with pytest.raises(TransientError, match=r"feed.example has no address"):
        FeedClient(resolve=web.resolve, backend=Half()).get(URL)


def test_a_name_that_does_not_exist_is_named(monkeypatch):
    import socket

    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TransientError, match=r"The host feed.example cannot be resolved .*mend `url`"):
        FeedClient().get(URL)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_the_certificate_is_asked_for_the_name_in_the_address(authority):
    server, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("feed.example").configure_cert(server)
    authority.configure_trust(ours)
    asked = []
    server.sni_callback = lambda _, name, __: asked.append(name)
    with serving(lambda plain: server.wrap_socket(plain, server_side=True)) as web:
        web.pages |= {"/rss": page(FEED), "/plain": page(status=302, Location="http://feed.example/rss")}
        trusting = client(web, ssl_context=ours)
        assert trusting.get("https://feed.example/rss").content == FEED
        assert (asked, web.connected) == (["feed.example"], [PUBLIC])
        with pytest.raises(TransientError, match=r"other.example.*CERTIFICATE_VERIFY_FAILED"):
            trusting.get("https://other.example/rss")
        with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
            client(web).get("https://feed.example/rss")
        with pytest.raises(ConfigError, match=r"not encrypted. If you trust that, set `url`"):
            trusting.get("https://feed.example/plain")


def test_a_conditional_request_is_answered_by_nothing_when_nothing_changed(web):
    web.pages["/rss"] = page(status=304, ETag='"a"')
    answer = client(web).get(URL, {"If-None-Match": '"a"'})
    assert answer.content is None
    assert web.requests[0][1]["If-None-Match"] == '"a"'


def test_no_message_shows_the_query_in_which_private_feeds_carry_their_secret(web):
    web.pages["/rss?token=hush"] = page(status=404)
    web.pages["/moved?token=hush"] = page(status=302, Location="http://127.0.0.1/?token=hush")
    web.addresses["127.0.0.1"] = [["127.0.0.1"]]
    for path in ("rss", "moved"):
        with pytest.raises(ConfigError) as caught:
            client(web).get(f"http://feed.example/{path}?token=hush")
        assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        client(web).get("http://name:hush@feed.example/rss")
    assert "hush" not in str(caught.value)
