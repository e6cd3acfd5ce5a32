"""Objects of an answer are read field by field: what is wrong is named, what is not read is kept."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.payloads import Payload

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def it(**content: object) -> Payload:
    return Payload(content, "It")


@pytest.mark.parametrize(
    ("method", "value", "read"),
    [
        ("text", "a", "a"),
        ("text", 7, "7"),
        ("number", 1.5, 1.5),
        ("number", "-1.5", -1.5),
        ("number", 0, 0),
        ("flag", False, False),
        ("day", "2024-02-29", date(2024, 2, 29)),
        ("instant", "2024-02-29T23:30:00.123456789-05:00", datetime(2024, 3, 1, 4, 30, 0, 123456, UTC)),
    ],
)
def test_a_field_is_read_as_what_it_should_be(method, value, read):
    payload = it(field=value)
    assert getattr(payload, method)("field") == read
    assert payload.rest() == {}


@pytest.mark.parametrize(
    ("method", "value"),
    [
        *(("text", value) for value in (None, "", True, 1.5, ["a"], {})),
        *(("number", value) for value in (None, "", True, "1,5", "nan", "inf", float("inf"), [1])),
        *(("flag", value) for value in (None, 0, "true")),
        *(("day", value) for value in (None, 20240229, "29.02.2024", "2024-02-30")),
        *(("instant", value) for value in (None, 1709210000, "2024-02-29T23:30:00", "2024-02-29")),
        *(("inner", value) for value in (None, "a", [], 7)),
        *(("list", value) for value in (None, "a", {}, [1], [{}, None])),
    ],
)
def test_a_field_of_another_type_is_named_with_its_value(method, value):
    with pytest.raises(ConfigError, match=r"^It(: `field`|\.field).*This is not what the API documents"):
        getattr(it(field=value), method)("field")


@pytest.mark.parametrize("method", ["text", "number", "flag", "day", "instant", "inner", "list"])
def test_a_field_that_is_missing_is_an_error_unless_it_is_optional(method):
    with pytest.raises(ConfigError, match="field"):
        getattr(it(), method)("field")
    for payload in (it(), it(field=None)):
        read = getattr(payload, method)("field", optional=True)
        assert read is None or read == [] or read.rest() == {}


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ConfigError) as raised:
        it(field="x" * 1000).number("field")
    assert len(str(raised.value)) < 250


def test_what_was_not_read_is_the_rest_at_any_depth():
    payload = it(a=1, b=None, c={"d": "", "e": [None, {"f": {}}], "g": 2}, h=[{"i": 3, "j": 4}, {"i": 5}], k=0, m=False)
    payload.number("a")
    (first, second) = payload.list("h")
    assert (first.number("i"), second.number("i")) == (3, 5)
    assert payload.rest() == {"c": {"g": 2}, "h": [{"j": 4}], "k": 0, "m": False}
    payload.ignore("h", "c")
    payload.keep("a")
    assert payload.rest() == {"a": 1, "k": 0, "m": False}


@given(st.dictionaries(st.text(max_size=3), VALUES), st.data())
def test_a_field_is_either_read_or_left(content, data):
    payload = Payload(content, "It")
    ignored = data.draw(st.sets(st.sampled_from(sorted(content)))) if content else set()
    payload.ignore(*ignored)
    rest = payload.rest()
    assert rest.keys() <= content.keys() - ignored
    for name in content.keys() - ignored - rest.keys():
        assert Payload({"only": content[name]}, "It").rest() == {}
