"""Feeds are read in a process of their own, which hostile ones can neither hold up nor turn to other files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given

from bentleybot_assets.connectors.news import parse as module
from bentleybot_assets.connectors.news.parse import Parsed, ParseError, parse
from bentleybot_assets_tests.connectors.news.web import xml_fragments

XML = {"content-type": "application/xml"}
URL = "http://feed.example/dir/rss"
HEAD, TAIL = b"<rss version='2.0'><channel>", b"</channel></rss>"


def parsed(content: bytes, **options) -> Parsed:
    return parse(content, XML, URL, **options)


def with_entities(declarations: str, before: str = "") -> str:
    return f'{before}<!DOCTYPE rss [\n{declarations}\n]><rss version="2.0"><channel><title>&a;</title></channel></rss>'


BOMBS = {
    "billion laughs": with_entities('<!ENTITY z "ha"><!ENTITY a "' + "&z;" * 10 + '">'),
    "one line": with_entities('<!ENTITY z "ha"><!ENTITY a "&z;&z;">').replace("\n", ""),
    "quadratic": with_entities(f'<!ENTITY a "{"a" * 5000}">').replace("&a;", "&a;" * 5000),
    "external": with_entities('<!ENTITY a SYSTEM "file:///etc/passwd">'),
    "external on the web": with_entities('<!ENTITY a SYSTEM "http://127.0.0.1/secret">'),
    "parameter": with_entities('<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd"> %a;'),
    "behind what is taken for the document type": with_entities(
        '<!ENTITY z "ha"><!ENTITY a "&z;&z;">', "<!DOCTYPE x <> "
    ).replace("\n", ""),
    "unused": with_entities('<!ENTITY b "ha">'),
    "behind a comment that looks like an element": with_entities('<!ENTITY a "ha">', before="<!-- <rss -->"),
    "behind a declaration out of place": with_entities(
        '<!ENTITY a "ha">', before='<!-- x -->\n<?xml version="1.0"?>\n'
    ),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_declared_entities_are_refused_in_every_encoding(bomb, encoding):
    # In this process, which is the same code without the start of another.
    answer = module._parsed(bomb.encode(encoding), {"content-type": f"application/xml; charset={encoding}"})
    assert answer == {"refused": "it declares entities, which can make little text endless"}


def test_entities_are_refused_in_an_encoding_that_hides_them():
    hidden = BOMBS["billion laughs"].encode("utf-7").replace(b"<", b"+ADw-")
    with pytest.raises(ParseError, match="declares entities"):
        parse(hidden, {"content-type": "application/xml; charset=utf-7"}, URL)


def test_a_feed_may_name_its_document_type():
    old = (
        b'<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" '
        b'"http://127.0.0.1/rss-0.91.dtd"><rss version="0.91"><channel><item><title>t</title></item></channel></rss>'
    )
    assert [entry["title"] for entry in parsed(old).entries] == ["t"]


def test_text_may_speak_of_entities():
    said = parsed(HEAD + b"<item><description><![CDATA[<!ENTITY a 'b'>]]></description></item>" + TAIL)
    assert said.entries[0]["summary"] == "<!ENTITY a 'b'>"


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"<item><author>" + b"a." * 150_000 + b"</author></item>" + TAIL,
        b"\n" * 300_000 + HEAD + TAIL,
    ],
    ids=["author", "prologue"],
)
def test_a_feed_that_takes_too_long_to_read_is_given_up(content):
    with pytest.raises(ParseError, match="more than 1 seconds of processor time"):
        parsed(content, cpu_seconds=1)


def test_a_feed_that_takes_too_much_memory_is_given_up():
    large = HEAD + b"<item><title>" + b"x" * 20_000_000 + b"</title></item>" + TAIL
    assert len(parsed(large).entries[0]["title"]) == 20_000_000
    with pytest.raises(ParseError, match=r"feedparser fails on it .MemoryError"):
        parsed(large, memory_bytes=100_000_000)


def test_what_feedparser_does_not_survive_is_said():
    with pytest.raises(ParseError, match=r"feedparser fails on it .*surrogates not allowed"):
        parsed(HEAD + b"<item><title>&#xD800;</title>")


@pytest.mark.parametrize("name", ["/etc/passwd", __file__])
def test_a_body_that_is_the_name_of_a_file_is_no_file(name):
    assert parsed(name.encode()).entries == []
    assert parsed(name.encode()).feed == {}


def test_the_place_where_a_feed_stops_being_xml_is_named():
    assert parsed(HEAD + b"\n<item>\n<title>a & b</title></item>" + TAIL).fault == (
        "not well-formed at line 3, column 11, in <title>: not well-formed (invalid token)"
    )
    unbound = HEAD + b"<item><title>t</title><media:content/></item>" + TAIL
    assert parsed(unbound).fault == "not well-formed at line 1, column 51, in <item>: unbound prefix"
    declared = b'<?xml version="1.0"?>\n' + HEAD + b"<item><title>cut"
    assert parsed(declared).fault == "not well-formed at line 2, column 45, in <title>: no element found"
    assert parsed(b"{}").fault.startswith("not well-formed at line 1, column 1, outside of all elements: ")


@pytest.mark.parametrize(
    ("encoding", "content_type", "declared"),
    [
        ("utf-8", "application/xml", ""),
        ("utf-8", "text/xml; charset=utf-8", '<?xml version="1.0" encoding="iso-8859-1"?>'),
        ("windows-1251", "application/xml", '<?xml version="1.0" encoding="windows-1251"?>'),
        ("windows-1251", "application/rss+xml; charset=windows-1251", ""),
        ("shift_jis", "application/xml", '<?xml version="1.0" encoding="shift_jis"?>'),
        ("utf-16", "application/xml", ""),
        ("utf-8", "text/html", ""),
        ("utf-8", "text/xml", '<?xml version="1.0" encoding="utf-8"?>'),
        ("windows-1251", "text/xml", '<?xml version="1.0" encoding="windows-1251"?>'),
        ("utf-16", "text/xml", ""),
    ],
)
def test_the_encoding_is_that_of_header_declaration_or_bytes(encoding, content_type, declared):
    title = "日本 Дума" if encoding != "windows-1251" else "Дума"
    text = f'{declared}<rss version="2.0"><channel><item><title>{title}</title></item></channel></rss>'
    found = parse(text.encode(encoding), {"content-type": content_type}, URL)
    assert ([entry["title"] for entry in found.entries], found.fault) == ([title], None)


def test_bytes_that_are_not_in_the_stated_encoding_are_read_and_reported():
    found = parsed(b'<?xml version="1.0" encoding="utf-8"?>' + HEAD + b"<item><title>caf\xe9</title></item>" + TAIL)
    assert found.entries[0]["title"] == "café"
    assert found.fault.startswith("not in the encoding that it states (document declared as utf-8, but parsed as ")


def test_markup_stays_and_links_outside_of_it_are_completed():
    link = b"<link>../a?b=1&amp;c=2</link>"
    summary = b"<description>&lt;script&gt;x()&lt;/script&gt;&lt;a href='b'&gt;</description>"
    (entry,) = parsed(HEAD + b"<item>" + link + summary + b"</item>" + TAIL).entries
    assert entry["link"] == "http://feed.example/a?b=1&c=2"
    assert entry["summary"] == "<script>x()</script><a href='b'>"


def test_modules_beside_the_parser_are_not_found_as_libraries():
    assert {path.stem for path in Path(module.__file__).parent.glob("*.py")} & set(sys.stdlib_module_names) == set()


@given(xml_fragments())
@example("<rss version='2.0'><channel><item><pubDate>99999-01-01T00:00:00Z</pubDate></item>")
def test_any_bytes_are_read_or_refused_and_nothing_else(text):
    # In this process, which is the same code and a hundred times faster than a process each.
    try:
        answer = module._parsed(text.encode(), dict(XML))
    except (ValueError, OverflowError, LookupError):
        return  # what feedparser raises ends its process, as test_what_feedparser_does_not_survive_is_said
    assert set(answer) in ({"refused"}, {"version", "feed", "entries", "fault"})
