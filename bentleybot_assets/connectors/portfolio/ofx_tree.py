"""From the bytes of an OFX file to its elements: OFX 1 (SGML) and OFX 2 (XML) differ in header and end tags alone.

Belongs here: header, encoding, tags. Does not belong here: what an element means (``ofx``).

Our own, because neither well-kept library can account for every element. ofxparse keeps those that it has a field for
and drops the others, turns a local day into another one in UTC, and its errors name no place. ofxtools skips private
elements, refuses what real banks send (a bank's id of ten digits, a file without a header), knows no lines, and its
licence, the GPL, would become that of this package.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_ELEMENTS = 2_000_000
"""A statement of a hundred thousand transactions has half of this."""

_MAX_DEPTH = 32
"""OFX nests nine deep."""

_HEADER_BYTES = 2048
"""The header's fields and leading blank lines are far shorter."""

_CHARSETS = {"1252": "cp1252", "8859-1": "iso-8859-1", "ISO-8859-1": "iso-8859-1", "NONE": "ascii"}
_ENCODINGS = {"UTF-8": "utf-8", "UTF8": "utf-8", "UNICODE": "utf-16"}
_FIELD = re.compile(rb"\b(ENCODING|CHARSET)\s*:\s*([\w.-]+)")
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_TOKEN = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)\]\]>"
    r"|<!--.*?-->"
    r"|<\?.*?\?>"
    r"|<(?P<end>/?)(?P<tag>[A-Za-z][A-Za-z0-9._-]*)\s*(?P<empty>/?)>"
    r"|(?P<text>[^<]+)"
    r"|(?P<stray><)",
    re.DOTALL,
)
_START = re.compile(r"<OFX\s*>", re.IGNORECASE)
_DECLARATION = re.compile(r"<!\s*(DOCTYPE|ENTITY|ELEMENT|ATTLIST)", re.IGNORECASE)


class OfxError(ValueError):
    """The file is not OFX; the message names line and element, and says what to do."""


@dataclass(slots=True)
class Element:
    """One element of a file.

    Attributes:
        tag: its name, in capitals.
        line: where it starts.
        text: its value, without surrounding blanks; empty for an aggregate and for an empty element.
        children: the elements of an aggregate.
    """

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def walk(self, path: str = "") -> Iterator[tuple[str, Element]]:
        """Each element that has no children, with its path from here."""
        here = f"{path}/{self.tag}" if path else self.tag
        if not self.children:
            yield here, self
        for child in self.children:
            yield from child.walk(here)


def parse(content: bytes, encoding: str | None = None) -> Element:
    """The ``OFX`` element of a file.

    Args:
        content: the file.
        encoding: of the text, instead of the one that the header declares.

    Raises:
        OfxError: the content cannot be decoded, is not OFX or is cut off.
    """
    text = _decoded(content, encoding)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise OfxError(f"line {line}: it has a NUL character, which no text has. Download the statement again.")
    if found := _DECLARATION.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise OfxError(
            f"line {line}: it declares <!{found[1].upper()}, which a statement never does and which can blow up its "
            "reader. Download it again from the institution."
        )
    start = _START.search(text)
    if start is None:
        raise OfxError("there is no element OFX. Download the statement again, in the format OFX or QFX.")
    return _tree(text, start.start())


def _decoded(content: bytes, encoding: str | None) -> str:
    declared = encoding or _declared_encoding(content)
    try:
        return content.decode(declared).removeprefix("\ufeff")
    except LookupError:
        raise OfxError(
            f"its encoding {declared} is not known. Name the right one in the entry's `encoding`, such as cp1252."
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise OfxError(
            f"line {line}: byte {error.start} is not {declared}, the encoding of the file. "
            "Name the right one in the entry's `encoding`, such as cp1252."
        ) from None


def _declared_encoding(content: bytes) -> str:
    """As the header declares it. Without a header, and in OFX 2 without a declaration, it is UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if content.startswith(codecs.BOM_UTF8):
        return "utf-8"
    header = content[:_HEADER_BYTES].partition(b"<OFX")[0]
    if found := _XML_ENCODING.search(header):
        declared: str = found[1].decode("ascii")
        # Banks declare ASCII and send the Latin of their customers' names.
        return "cp1252" if declared.upper() == "US-ASCII" else declared
    fields: dict[str, str] = {
        name.decode("ascii"): value.decode("ascii", "replace") for name, value in _FIELD.findall(header)
    }
    encoding, charset = fields.get("ENCODING", "UTF-8").upper(), fields.get("CHARSET", "1252").upper()
    if encoding != "USASCII":
        return _ENCODINGS.get(encoding, encoding)
    return _CHARSETS.get(charset, charset)


class _Tree:
    """The elements of a file while it is read. An end tag that SGML leaves out is understood."""

    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, tag: str, line: int, *, is_empty: bool) -> None:
        """An element begins."""
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise OfxError(f"it has more than {_MAX_ELEMENTS:,} elements. Download a shorter period.")
        element = Element(tag, line)
        if self._root is None:
            self._root = element
        elif not self._open:
            raise OfxError(f"line {line}: <{tag}> follows the end of OFX. Keep one statement in a file.")
        else:
            if self._open[-1].text:
                # A value without its end tag.
                self._open.pop()
            self._open[-1].children.append(element)
        if not is_empty:
            self._open.append(element)
        if len(self._open) > _MAX_DEPTH:
            raise OfxError(f"line {line}: <{tag}> is nested too deeply. Download the statement again.")

    def text(self, text: str, line: int) -> None:
        """A value, or the blanks between elements."""
        value = text.strip()
        if not value:
            return
        if not self._open or self._open[-1].children:
            where = f"in {self._open[-1].tag}" if self._open else "outside of OFX"
            raise OfxError(f"line {line}: the text {value[:40]!r} {where} belongs to no element. Download it again.")
        self._open[-1].text += value

    def end(self, tag: str, line: int) -> None:
        """The newest element with this name ends, and those in it whose end tags SGML leaves out."""
        if all(element.tag != tag for element in self._open):
            raise OfxError(f"line {line}: </{tag}> ends what never began. Download the statement again.")
        while (element := self._open.pop()).tag != tag:
            # A value, or an empty element. What seemed to be in it stands beside it.
            siblings, element.children = element.children, []
            self._open[-1].children.extend(siblings)

    def close(self) -> Element:
        """The file ends."""
        if self._root is None or self._open:
            left = self._open[-1] if self._open else Element("OFX", 1)
            raise OfxError(
                f"line {left.line}: the element {left.tag} is never closed: the file is cut off. Download it again."
            )
        return self._root


def _tree(text: str, start: int) -> Element:
    """The elements from ``start`` on."""
    tree = _Tree()
    line, counted = text.count("\n", 0, start) + 1, start
    for token in _TOKEN.finditer(text, start):
        line, counted = line + text.count("\n", counted, token.start()), token.start()
        if token["tag"] and token["end"]:
            tree.end(token["tag"].upper(), line)
        elif token["tag"]:
            tree.start(token["tag"].upper(), line, is_empty=bool(token["empty"]))
        elif token["stray"]:
            raise OfxError(f"line {line}: a `<` that begins no element. Write it as &lt;.")
        else:
            tree.text(token["cdata"] or html.unescape(token["text"] or ""), line)
    return tree.close()
