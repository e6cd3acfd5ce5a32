"""Fetches a feed's bytes from an address that somebody else may have chosen, without being turned against the desk.

Belongs here: which addresses are asked, and how much and for how long is listened. Does not belong here: what the
bytes mean.

A host is resolved once per request, every address it has must be public, and the connection goes to an address that was
looked at: a name that answers differently the second time is not asked a second time. httpcore's network backend is the
place where a name becomes a connection, so all this holds for whatever httpcore does above it (TLS for the URL's host
name among it), and it brings no cookies, credentials, proxies of the environment or redirects of its own.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import httpcore

from bentleybot_assets.connectors.feeds import ConfigError, TransientError
from bentleybot_assets.connectors.news.addresses import is_public, normal_host

MAX_BYTES = 5_000_000
"""Of a feed, decompressed: news feeds have some 10 to 500 kB."""

MAX_SECONDS = 30.0
"""For a feed, redirects included, however slowly it drips. Resolving names has the system's own limit."""

_MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}
_USUAL_PORTS = frozenset({80, 443, 8080, 8443})
_SAFE_IN_TARGET = "/?%:@!$&'()*+,;=~-._[]"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")

Resolve = Callable[[str, int], Sequence[str]]
"""A host's addresses, by its name and the port that is meant."""


@dataclass(frozen=True)
class Answer:
    """What a feed answered.

    Attributes:
        content: the decompressed body; None if it is unchanged since the validators that were sent.
        url: where it came from in the end; relative links are relative to it.
        headers: the answer's, names in lower case.
    """

    content: bytes | None
    url: str
    headers: Mapping[str, str]


class FeedClient:
    """Fetches feeds. It keeps nothing from one request to the next.

    Args:
        allowed_private_hosts: hosts that may have addresses other than public ones, on any port. They are reached by
            feeds whose own address names one of them, never by redirects of others.
        max_bytes: of a decompressed body.
        max_seconds: of a fetch.
        resolve: finds the addresses of a host.
        backend: opens connections to addresses.
        ssl_context: verifies servers; None for httpcore's own.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        allowed_private_hosts: Iterable[str] = (),
        *,
        max_bytes: int = MAX_BYTES,
        max_seconds: float = MAX_SECONDS,
        resolve: Resolve | None = None,
        backend: httpcore.NetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = frozenset(map(_allowed_host, allowed_private_hosts))
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._resolve = resolve or _resolve
        self._backend = backend or httpcore.SyncBackend()
        self._ssl_context = ssl_context
        self._clock = clock

    def get(self, url: str, validators: Mapping[str, str] | None = None) -> Answer:
        """Fetch what is at ``url``.

        Args:
            url: the feed's address.
            validators: headers of a conditional request, if it was fetched before.

        Raises:
            ConfigError: it must not be fetched, or is not there; the message says which, and the fix.
            TransientError: it cannot be fetched now.
        """
        deadline = _Deadline(self._clock, self._max_seconds)
        target = _split(url)
        may_be_private = target.hostname in self._allowed
        for _ in range(_MAX_REDIRECTS + 1):
            private_hosts = self._allowed if may_be_private else frozenset()
            answer = self._ask(target, validators or {}, private_hosts, deadline)
            if isinstance(answer, Answer):
                return answer
            target = _redirected(target, answer)
        raise ConfigError(
            f"It redirects more than {_MAX_REDIRECTS} times, at last to {shown(target.geturl())}. "
            "Set `url` to where it ends in a browser."
        )

    def _ask(
        self, target: SplitResult, validators: Mapping[str, str], private_hosts: frozenset[str], deadline: _Deadline
    ) -> Answer | str:
        """One request: the answer, or where it redirects to."""
        host, port = str(target.hostname), target.port or _PORTS[target.scheme]
        if port not in _USUAL_PORTS and host not in private_hosts:
            raise ConfigError(
                f"{shown(target.geturl())} asks for port {port}; feeds are fetched from "
                f"{', '.join(map(str, sorted(_USUAL_PORTS)))} alone. {_ALLOW.format(host=host)}"
            )
        guarded = _GuardedBackend(self._backend, self._resolve, deadline, may_be_private=host in private_hosts)
        headers: dict[str | bytes, str | bytes] = {
            "Host": target.netloc,
            "User-Agent": "bentleybot-news",
            "Accept": "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1",
            "Accept-Encoding": "gzip",
        }
        headers.update(validators)
        try:
            with (
                httpcore.ConnectionPool(network_backend=guarded, ssl_context=self._ssl_context) as pool,
                pool.stream("GET", target._replace(fragment="").geturl(), headers=headers) as response,
            ):
                return self._read(target, response, is_conditional=bool(validators))
        except httpcore.TimeoutException as error:
            raise TransientError(
                f"{shown(target.geturl())} does not answer in full within {self._max_seconds:g} seconds. "
                "Sync again later."
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise TransientError(f"{shown(target.geturl())} cannot be read: {error}. Sync again later.") from error

    def _read(self, target: SplitResult, response: httpcore.Response, *, is_conditional: bool) -> Answer | str:
        """The answer, or where it redirects to."""
        where, url = shown(target.geturl()), target.geturl()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in _REDIRECTS and "location" in headers:
            return headers["location"]
        if response.status == HTTPStatus.NOT_MODIFIED and is_conditional:
            return Answer(None, url, headers)
        if response.status != HTTPStatus.OK:
            raise _refusal(where, response.status, headers)
        if int(headers.get("content-length", 0)) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        for chunk in _decompressed(self._limited(response.iter_stream()), headers, self._max_bytes):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        return Answer(bytes(body), url, headers)

    def _limited(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """What comes over the wire, which may be endless without amounting to anything once decompressed."""
        received = 0
        for chunk in chunks:
            received += len(chunk)
            if received > self._max_bytes:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> ConfigError:
        return ConfigError(
            f"It has more than {self._max_bytes:,} bytes, which no news feed needs. "
            "Look at `url`, and use a shorter feed of the publisher."
        )


def shown(url: str) -> str:
    """An address as messages show it: without the query, in which private feeds carry their secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


_ALLOW = "If it is a server of your own, list {host} in `allowed_private_hosts`."


class _Deadline:
    """The end of a fetch."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left; raises httpcore's timeout if there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to public addresses alone, and only until the deadline."""

    def __init__(
        self, backend: httpcore.NetworkBackend, resolve: Resolve, deadline: _Deadline, *, may_be_private: bool
    ) -> None:
        self._backend = backend
        self._resolve = resolve
        self._deadline = deadline
        self._may_be_private = may_be_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature; the deadline holds for all
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first of the host's addresses that accepts one. All of them are looked at first."""
        addresses = self._resolve(host, port)
        private = [address for address in addresses if not is_public(address)]
        if private and not self._may_be_private:
            raise ConfigError(
                f"The host {host} has the address {private[0]}, which is not one of the public internet. "
                f"{_ALLOW.format(host=host)}"
            )
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            seconds = min(_CONNECT_SECONDS, self._deadline.remaining())
            try:
                stream = self._backend.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends with the deadline, however often httpcore starts another one."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - httpcore's signature
        return self._stream.read(max_bytes, self._deadline.remaining())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - httpcore's signature
        self._stream.write(buffer, self._deadline.remaining())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.remaining())
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransientError(
            f"The host {host} cannot be resolved ({error.strerror}). If it is misspelt, mend `url`; "
            "otherwise sync again later."
        ) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _split(url: str) -> SplitResult:
    """The parts of an address that may be asked, its host and path in the one form that is sent.

    Raises:
        ConfigError: it is none.
    """
    if _UNPRINTABLE.search(url):
        raise ConfigError("The address has a space, a control character or a backslash in it. Mend `url`.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"The address cannot be read: {error}. Mend `url`.") from error
    where = shown(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(f"{where} is not an address of the web. Set `url` to one with http:// or https://.")
    if "@" in parts.netloc:
        raise ConfigError(f"{where} comes with a user or password, which are never sent. Take them out of `url`.")
    try:
        host = normal_host(parts.hostname)
    except ValueError as error:
        raise ConfigError(f"{where} has a host that is not asked: {error}. Mend `url`.") from error
    netloc = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[parts.scheme]):
        netloc = f"{netloc}:{port}"
    return parts._replace(
        netloc=netloc,
        path=quote(parts.path, safe=_SAFE_IN_TARGET) or "/",
        query=quote(parts.query, safe=_SAFE_IN_TARGET),
    )


def _redirected(target: SplitResult, location: str) -> SplitResult:
    """Where a redirect leads, looked at as closely as the address that it comes from."""
    came_from = shown(target.geturl())
    try:
        # Headers are bytes; what is not ASCII in them is UTF-8 where servers send it at all.
        after = _split(urljoin(target.geturl(), location.encode("latin-1").decode("utf-8", "replace")))
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{came_from} redirects to where it must not: {error}") from error
    if target.scheme == "https" and after.scheme == "http":
        raise ConfigError(
            f"{came_from} redirects to {shown(after.geturl())}, which is not encrypted. "
            "If you trust that, set `url` to it."
        )
    return after


def _refusal(where: str, status: int, headers: Mapping[str, str]) -> ConfigError | TransientError:
    """What an answer other than a feed means."""
    if status in _FOR_NOW or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait = f" It asks to wait: {headers['retry-after'][:40]}." if "retry-after" in headers else ""
        return TransientError(f"{where} answers with status {status}.{wait} Sync again later.")
    return ConfigError(
        f"{where} answers with status {status}. If the publisher has moved or ended the feed, mend or remove it."
    )


def _decompressed(chunks: Iterable[bytes], headers: Mapping[str, str], limit: int) -> Iterator[bytes]:
    """The body's bytes; never more than ``limit`` at a time, whatever they were packed to."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in ("gzip", "x-gzip"):
        raise ConfigError(f"It comes packed as {encoding[:40]!r}, which was not asked for. Look at `url`.")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            packed = chunk
            while packed:
                yield unpacker.decompress(packed, limit + 1)
                packed = unpacker.unconsumed_tail
                if unpacker.eof:
                    packed = unpacker.unused_data
                    if packed:
                        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    except zlib.error as error:
        raise TransientError(f"It is packed wrongly: {error}. Sync again later.") from error
    if not unpacker.eof:
        raise TransientError("It is packed and ends too early. Sync again later.")


def _allowed_host(host: str) -> str:
    try:
        return normal_host(host.strip("[]"))
    except ValueError as error:
        raise ConfigError(f"`allowed_private_hosts` has {host!r}: {error}. List hosts without port or path.") from error
