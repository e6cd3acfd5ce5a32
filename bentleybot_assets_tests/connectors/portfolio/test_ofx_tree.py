"""The bytes of an OFX file become its elements, whichever way it is written."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.portfolio import ofx_tree
from bentleybot_assets.connectors.portfolio.ofx_tree import Element, OfxError, parse
from bentleybot_assets_tests.connectors.portfolio.desk import recorded
from bentleybot_assets_tests.connectors.portfolio.ofx_files import HEADER

XML = '<?xml version="1.0" encoding="UTF-8"?>\n<?OFX OFXHEADER="200" VERSION="203" SECURITY="NONE"?>\n'

aggregates = st.sampled_from(["STMTTRN", "CURRENCY", "A1"])
values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1)
trees = st.recursive(
    st.tuples(st.sampled_from(["NAME", "MEMO", "INTU.BID"]), values),
    lambda children: st.tuples(aggregates, st.lists(children, min_size=1, max_size=4)),
    max_leaves=12,
)


def escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_xml(tree) -> str:
    tag, content = tree
    inner = escaped(content) if isinstance(content, str) else "\n".join(map(as_xml, content))
    return f"<{tag}>{inner}</{tag}>"


def as_sgml(tree) -> str:
    tag, content = tree
    return (
        f"<{tag}>{escaped(content)}\n"
        if isinstance(content, str)
        else f"<{tag}>{''.join(map(as_sgml, content))}</{tag}>"
    )


def told(element: Element):
    return (element.tag, [told(child) for child in element.children] if element.children else element.text)


def leaves(content: bytes) -> list[tuple[str, str]]:
    return [(path.removeprefix("OFX/"), leaf.text) for path, leaf in parse(content).walk()]


@given(st.lists(trees, min_size=1, max_size=4))
def test_elements_are_the_same_with_and_without_end_tags_of_values(children):
    tree = ("OFX", children)
    assert told(parse((XML + as_xml(tree)).encode())) == tree
    assert told(parse((HEADER.replace("USASCII", "UTF-8") + as_sgml(tree)).encode())) == tree


def test_an_empty_element_is_empty_with_and_without_its_end_tag():
    expected = [("STMTTRN/CHECKNUM", ""), ("STMTTRN/NAME", "Shop"), ("STMTTRN/MEMO", "")]
    for text in (
        "<OFX><STMTTRN><CHECKNUM></CHECKNUM><NAME>Shop</NAME><MEMO/></STMTTRN></OFX>",
        "<OFX><STMTTRN><CHECKNUM>\n<NAME>Shop\n<MEMO>\n</STMTTRN></OFX>",
    ):
        assert sorted(leaves(text.encode())) == sorted(expected)


def test_character_data_entities_comments_and_small_letters_are_understood():
    text = "<ofx><!-- <NAME>no --><name><![CDATA[ A & <B> ]]></name><Memo>C &amp; D &#8364;</Memo></ofx>"
    assert leaves(text.encode()) == [("NAME", "A & <B>"), ("MEMO", "C & D €")]


def test_an_element_knows_its_line():
    text = HEADER + "<OFX>\n<STMTTRN>\n<NAME>Shop\n\n<MEMO>x\n</STMTTRN>\n</OFX>"
    assert [leaf.line for _, leaf in parse(text.encode()).walk()] == [10, 12]


@pytest.mark.parametrize(
    ("header", "codec"),
    [
        ("ENCODING:USASCII\nCHARSET:1252\n", "cp1252"),
        ("ENCODING:USASCII\nCHARSET:ISO-8859-1\n", "iso-8859-1"),
        ("ENCODING:UTF-8\nCHARSET:NONE\n", "utf-8"),
        ("OFXHEADER:100 DATA:OFXSGML ENCODING:USASCII CHARSET:1252 COMPRESSION:NONE ", "cp1252"),
        ("ENCODING:UNICODE\nCHARSET:NONE\n", "utf-16"),
        ('<?xml version="1.0" encoding="iso-8859-15"?>\n', "iso-8859-15"),
        ('<?xml version="1.0"?>\n', "utf-8"),
        ("", "utf-8"),
        ("", "utf-8-sig"),
    ],
)
def test_the_text_is_decoded_as_the_header_declares(header, codec):
    assert leaves((header + "<OFX><NAME>Café é</NAME></OFX>").encode(codec)) == [("NAME", "Café é")]


def test_an_encoding_that_the_user_names_outweighs_the_header():
    content = (XML + "<OFX><NAME>Café</NAME></OFX>").encode("cp1252")
    with pytest.raises(OfxError, match=r"line 3: byte \d+ is not UTF-8.*`encoding`"):
        parse(content)
    assert told(parse(content, "cp1252")) == ("OFX", [("NAME", "Café")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no element OFX.*in the format OFX or QFX"),
        ("<html><body>Please log in</body></html>", "no element OFX"),
        ("<OFX>\n<STMTTRN><NAME>Shop", "line 2: the element NAME is never closed: the file is cut off"),
        ("<OFX>\n<STMTTRN><NAME>Shop</NAME>", "line 2: the element STMTTRN is never closed"),
        ("<OFX>\n</STMTTRN></OFX>", "line 2: </STMTTRN> ends what never began"),
        ("<OFX><NAME>a</NAME>\nleft over</OFX>", "text 'left over' in OFX belongs to no element"),
        ("<OFX><NAME>a</NAME></OFX>\n<MORE>b", "line 2: <MORE> follows the end of OFX. Keep one statement in a file"),
        ("<OFX><NAME>1 < 2</NAME></OFX>", "line 1: a `<` that begins no element. Write it as &lt;"),
        ("<OFX>\n<NAME>a\0b</NAME></OFX>", "line 2: it has a NUL character"),
        ("ENCODING:EBCDIC-X\nCHARSET:NONE\n<OFX></OFX>", "encoding EBCDIC-X is not known"),
    ],
)
def test_what_is_not_ofx_is_refused_with_its_line(text, message):
    with pytest.raises(OfxError, match=message):
        parse(text.encode())


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE OFX [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE OFX SYSTEM "file:///etc/passwd">',
        '<!doctype ofx [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]>',
        "<! ENTITY a 'b'>",
    ],
)
def test_declarations_that_could_blow_up_or_fetch_are_refused(declaration):
    with pytest.raises(OfxError, match=r"line 3: it declares <!\w+, which a statement never does"):
        parse(f"{XML}{declaration}\n<OFX><NAME>&b;</NAME></OFX>".encode())


def test_an_entity_that_is_not_declared_stays_text():
    assert leaves(b"<OFX><NAME>&xxe; &b;</NAME></OFX>") == [("NAME", "&xxe; &b;")]


def test_elements_nested_deeper_than_any_statement_are_refused():
    with pytest.raises(OfxError, match="<A> is nested too deeply"):
        parse(b"<OFX>" + b"<A>" * 1_000_000)


def test_more_elements_than_any_statement_has_are_refused(monkeypatch):
    monkeypatch.setattr(ofx_tree, "_MAX_ELEMENTS", 100)
    with pytest.raises(OfxError, match="more than 100 elements"):
        parse(b"<OFX>" + b"<A/>" * 100 + b"</OFX>")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise):
    for content in (noise, b"<OFX>" + noise, b"<OFX><NAME>" + noise + b"</NAME></OFX>", HEADER.encode() + noise):
        with contextlib.suppress(OfxError):
            parse(content)


@pytest.mark.parametrize(
    "name",
    [
        "anzcc.ofx",
        "bank_medium.ofx",
        "checking.ofx",
        "date_missing.ofx",
        "fidelity.ofx",
        "ofx-v102-empty-tags.ofx",
        "suncorp.ofx",
    ],
)
def test_each_tag_of_a_recorded_file_becomes_an_element(name):
    content = recorded(name).read_bytes()

    def count(element: Element) -> int:
        return 1 + sum(map(count, element.children))

    assert count(parse(content)) == len(re.findall(rb"<[A-Z]", content))
