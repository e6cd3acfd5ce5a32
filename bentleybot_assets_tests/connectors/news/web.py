"""A small internet on loopback: servers that tests start, names that they make up, addresses that are only said.

And what it is full of: text that is nearly a feed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore
from hypothesis import strategies as st

PUBLIC = "93.184.216.34"


@dataclass
class Web:
    """A server on loopback and what stands for the rest of the internet.

    Attributes:
        port: the server's.
        pages: path to what answers there, given the request.
        addresses: host to the lists of addresses that successive look-ups give; the last one stays. Hosts that are not
            here have the public address.
        requests: path and headers of each request.
        resolved: hosts that were looked up, in order.
        connected: addresses that a connection was opened to, in order. All of them are this server.
    """

    port: int
    pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    addresses: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        answers = self.addresses.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def backend(self) -> httpcore.NetworkBackend:
        return _Detour(self)


class _Detour(httpcore.SyncBackend):
    """Opens every connection to the server on loopback, whatever the address, and notes the address."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        self._web.connected.append(host)
        return super().connect_tcp("127.0.0.1", self._web.port, *arguments, **options)


@contextmanager
def serving(wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> Iterator[Web]:
    """A web whose server runs until the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.requests.append((self.path, dict(self.headers)))
            self.close_connection = True
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
                web.pages[self.path](self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = wrap(server.socket)
    web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(body: bytes = b"", status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with a body; an underscore in a header's name is a hyphen."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def endless(chunk: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with the same piece again and again, until the client leaves."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        while True:
            request.wfile.write(chunk)

    return answer


FRAGMENTS = (
    *("<rss version='2.0'><channel>", "<feed xmlns='http://www.w3.org/2005/Atom'>", "<item>", "</item>", "<entry>"),
    *("</entry>", "<title>", "</title>", "<link>", "<guid>", "</guid>", "<pubDate>", "</pubDate>", "<content>"),
    *("<author>", "</author>", "a@b.example", "<dc:date>", "<source url='x'>", "<category>", "<enclosure/>"),
    *("&lt;", "&#x41;", "&#xD800;", "&#0;", "&nbsp;", "&", "<![CDATA[", "]]>", "<!--", "-->", "<", ">", "'", '"'),
    *(
        "<?xml version='1.0'?>",
        "<!DOCTYPE x [",
        "]>",
        "<!ENTITY a 'b'>",
        "<a b='",
        "xml:base='//['",
        "\0",
        "\ufeff",
        "é",
    ),
    *("Fri, 25 Dec 2009 03:30:22 +0000", "2009-13-45", "99999-01-01T00:00:00Z", "0000-00-00", "23:59:60"),
    # Elements with the names that feedparser gives to what it finds itself.
    *(
        "<title_detail>x</title_detail>",
        "<summary_detail a='b'/>",
        "<tags a='b'/>",
        "<tags>x</tags>",
        "<authors>x</authors>",
    ),
    *(
        "<published_parsed>x</published_parsed>",
        "<updated_parsed a='b'/>",
        "<links a='b'/>",
        "<content_detail>x</content_detail>",
    ),
    *(
        "<source a='b'/>",
        "<source>x</source>",
        "<language a='b'/>",
        "<id a='b'/>",
        "<publisher a='b'/>",
        "<summary a='b'/>",
    ),
    *("<published a='b'/>", "<author a='b'/>", "<link a='b'/>", "<title a='b'/>", "<media:content url='x'/>"),
)


def xml_fragments() -> st.SearchStrategy[str]:
    """Feeds and what is none, out of pieces."""
    items = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
    return items | items.map(
        lambda text: f"<rss version='2.0'><channel><item><title>t</title>{text}</item></channel></rss>"
    )
