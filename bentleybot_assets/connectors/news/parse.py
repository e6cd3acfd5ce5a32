"""Reads a feed's bytes with feedparser, in a process of its own whose time and memory are limited.

A feed is written by strangers, and feedparser takes minutes over some 200 kB that are made for it (an author's name of
many letters, a prologue of line feeds) or raises what it does not document. So it gets a process, which the system ends
when it takes too long; nothing of ours has to foresee what the next such feed looks like.

Belongs here: from bytes to feedparser's own fields. Does not belong here: what they mean (``rss``). As the process
is started with this file, it imports nothing of ours.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import subprocess
import sys
import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CPU_SECONDS = 20
"""For reading a feed; feedparser takes one or two for a megabyte that is not made to harm."""

_WALL_SECONDS = 300
"""The same on a machine with no time to spare."""

MEMORY_BYTES = 1_500_000_000
"""For the same, of address space: four times what feedparser took for the worst feed of 5 MB that was tried."""


@dataclass(frozen=True)
class Parsed:
    """A feed as feedparser understands it; structs of time are lists of nine numbers, UTC.

    Attributes:
        version: kind of feed, empty if it is none.
        feed: what it says of itself.
        entries: its items.
        fault: what is wrong with it as a document, after "it is", and where; None if nothing.
    """

    version: str
    feed: Mapping[str, Any]
    entries: list[dict[str, Any]]
    fault: str | None


class ParseError(Exception):
    """The bytes are not read: they declare entities, take too long, or feedparser fails on them."""


def parse(
    content: bytes,
    headers: Mapping[str, str],
    url: str,
    *,
    cpu_seconds: int = CPU_SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> Parsed:
    """Read a feed. Markup is neither cleaned nor completed; links outside of it are made absolute.

    Ids are as they stand, and so is a link that is no more than an item's id.

    Args:
        content: the body.
        headers: of the answer, names in lower case: they may state encoding and language.
        url: what relative links are relative to.
        cpu_seconds: how long that may take.
        memory_bytes: how much that may take.

    Raises:
        ParseError: it cannot be read; the message says why.
    """
    stated = {name: headers[name] for name in ("content-type", "content-language") if name in headers}
    order = json.dumps(
        {
            "headers": {**stated, "content-location": url},
            "cpu_seconds": cpu_seconds,
            "memory_bytes": memory_bytes,
        }
    )
    try:
        done = subprocess.run(  # noqa: S603 - this very file; what strangers wrote goes to its input
            # -P: the folder of this file has modules of other names' sakes, which must not be found as libraries.
            [sys.executable, "-P", __file__],
            input=order.encode() + b"\n" + content,
            capture_output=True,
            env={},  # whatever strangers' bytes bring about, no secret of ours is there
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ParseError(f"reading it takes more than {_WALL_SECONDS} seconds") from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ParseError(f"reading it takes more than {cpu_seconds} seconds of processor time")
    if done.returncode:
        *_, reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise ParseError(f"feedparser fails on it ({reason[:200]})")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise ParseError(answer["refused"])
    return Parsed(**answer)


_DECLARATION_BYTES = 200
"""Within which an XML declaration is."""

_ENTITIES = "it declares entities, which can make little text endless"


class _EntityDeclaredError(Exception):
    pass


def _main() -> None:
    order = json.loads(sys.stdin.buffer.readline())
    resource.setrlimit(resource.RLIMIT_CPU, (order["cpu_seconds"], order["cpu_seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (order["memory_bytes"], order["memory_bytes"]))
    answer = json.dumps(_parsed(sys.stdin.buffer.read(), order["headers"]), ensure_ascii=False)
    # Half a pair of surrogates, which is no character and could not be stored, fails here.
    sys.stdout.buffer.write(answer.encode())


def _parsed(content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    import feedparser
    from feedparser.api import LooseFeedParser, StrictFeedParser
    from feedparser.encodings import convert_to_utf8
    from feedparser.sanitizer import replace_doctype

    # An id that is completed like a link is another one as soon as the feed moves.
    for parser in (StrictFeedParser, LooseFeedParser):
        parser.can_be_relative_uri = parser.can_be_relative_uri - {"id"}
    # The steps that feedparser itself takes first, so that what is looked at here is what it will read.
    written = convert_to_utf8(headers, content, {})
    _, rewritten, entities = replace_doctype(written)
    try:
        # Both, whatever is wrong with the first: rewriting can bring a declaration to light.
        faults = [_fault(written, lines_added=0 if _is_declared(content) else 1), _fault(rewritten)]
    except _EntityDeclaredError:
        return {"refused": _ENTITIES}
    if entities:
        return {"refused": _ENTITIES}
    # Bytes as such would be taken for the name of a file if there is one.
    found = feedparser.parse(
        io.BytesIO(content), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
    )
    trouble = found.get("bozo_exception")
    if isinstance(trouble, feedparser.CharacterEncodingOverride):
        # That a header contradicts the document is feedparser's to settle. If nothing fits, it guesses.
        if not _is_stated(found.encoding.lower(), content):
            faults.append(f"not in the encoding that it states ({trouble})")
    elif found.bozo and not isinstance(trouble, feedparser.NonXMLContentType):
        faults.append(f"not well-formed ({trouble})")
    return {
        "version": found.get("version", ""),
        "feed": _plain(found.feed),
        "entries": _plain(found.entries),
        "fault": next(filter(None, faults), None),
    }


def _is_stated(encoding: str, content: bytes) -> bool:
    """Whether an encoding is Unicode's, which its bytes prove, or is in the XML declaration."""
    return encoding.startswith("utf") or encoding.encode() in content[:_DECLARATION_BYTES].lower()


def _is_declared(content: bytes) -> bool:
    """Whether it begins with an XML declaration, in whatever encoding; feedparser puts one into a line above if not."""
    return content.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n").startswith(b"<?xml")


def _fault(xml_text: bytes, lines_added: int = 0) -> str | None:
    """Where the text stops being XML: line, column and innermost open element; None if it does not.

    Raises:
        _EntityDeclaredError: it declares an entity.
    """
    open_elements: list[str] = []

    def refuse(*_: Any) -> None:
        raise _EntityDeclaredError

    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, _: open_elements.append(name.rpartition(" ")[2])
    parser.EndElementHandler = lambda _: open_elements.pop()
    try:
        parser.Parse(xml_text, True)  # noqa: FBT003 - expat's signature
    except xml.parsers.expat.ExpatError as error:
        where = f"in <{open_elements[-1]}>" if open_elements else "outside of all elements"
        line, column = error.lineno - lines_added, error.offset + 1
        return f"not well-formed at line {line}, column {column}, {where}: {_EXPAT[error.code]}"
    return None


_EXPAT = xml.parsers.expat.errors.messages


def _plain(value: Any) -> Any:
    """As JSON has it. FeedParserDict answers for keys that it does not have, so its own items are asked for."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in dict.items(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


if __name__ == "__main__":
    _main()
