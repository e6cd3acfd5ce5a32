"""Dates and amounts of OFX."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.portfolio.ofx_elements import Reader
from bentleybot_assets.connectors.portfolio.ofx_tree import Element


def reader(tag: str, text: str) -> tuple[Reader, list[str]]:
    problems: list[str] = []
    return Reader(Element("STMTTRN", 3, children=[Element(tag, 4, text)]), problems), problems


@pytest.mark.parametrize(
    ("text", "at", "day"),
    [
        ("20221228", "2022-12-28T00:00:00", "2022-12-28"),
        ("202212280930", "2022-12-28T09:30:00", "2022-12-28"),
        ("20221228093015.123", "2022-12-28T09:30:15", "2022-12-28"),
        ("20090401122017.000[-5:EST]", "2009-04-01T17:20:17", "2009-04-01"),
        ("20120908233034.000[-4:EDT]", "2012-09-09T03:30:34", "2012-09-08"),
        ("20221228000000[+10:AEST]", "2022-12-27T14:00:00", "2022-12-28"),
        ("20221228000000[10]", "2022-12-27T14:00:00", "2022-12-28"),
        ("20221228120000[+5.30:IST]", "2022-12-28T06:30:00", "2022-12-28"),
        ("20221228120000[-3.5:NST]", "2022-12-28T15:30:00", "2022-12-28"),
        ("20221228120000 [0:GMT]", "2022-12-28T12:00:00", "2022-12-28"),
        ("20240229", "2024-02-29T00:00:00", "2024-02-29"),
    ],
)
def test_a_date_is_an_instant_in_utc_and_the_day_as_it_is_written(text, at, day):
    source, problems = reader("DTPOSTED", text)
    moment = source.moment("DTPOSTED")
    assert (moment.at, moment.day) == (datetime.fromisoformat(at).replace(tzinfo=UTC), date.fromisoformat(day))
    assert problems == []


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1)),  # noqa: DTZ001 - a local time
    st.integers(-12, 14),
)
def test_an_offset_of_whole_hours_is_honoured(local, hours):
    source, problems = reader("DTPOSTED", f"{local:%Y%m%d%H%M%S}[{hours}:X]")
    expected = local.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    assert source.moment("DTPOSTED").at == expected
    assert problems == []


@pytest.mark.parametrize(
    "text",
    [
        *("20120231", "20230229", "20221301", "20221228250000", "2022-12-28", "28122022", "0", "today", "2022122"),
        *("20180804093914:014", "20221228120000[EST]", "20221228120000[-5.10:X]", "20221228120000[99:X]", "18991231"),
        "٢٠٢٢١٢٢٨",
    ],
)
def test_what_is_no_date_is_told_with_line_element_value_and_fix(text):
    source, problems = reader("DTPOSTED", text)
    assert source.moment("DTPOSTED") is None
    (problem,) = problems
    assert problem.startswith(f"line 4: STMTTRN/DTPOSTED is {text!r}, which is no date. Write it like 20221228")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("-12.50", -12.5), ("+00000000000100.00000", 100.0), ("12,50", 12.5), (".5", 0.5), ("-0", 0.0), ("7", 7.0)],
)
def test_an_amount_may_have_a_comma_or_a_point(text, amount):
    source, problems = reader("TRNAMT", text)
    assert source.number("TRNAMT") == amount
    assert problems == []


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-inf", "1,234.56", "1.234,56", "$5", "five", "1 000", "--1", "1e999999999"]
)
def test_what_is_no_amount_is_told(text):
    source, problems = reader("TRNAMT", text)
    assert source.number("TRNAMT") is None
    assert problems == [f"line 4: STMTTRN/TRNAMT is {text!r}, which is no amount. Write it like -1234.56."]


def test_a_value_that_must_be_there_is_told_missing_or_empty():
    source, problems = reader("FITID", "")
    source.text("FITID", required=True)
    source.text("TRNAMT", required=True)
    assert [problem.partition(".")[0] for problem in problems] == [
        "line 4: STMTTRN/FITID is empty",
        "line 3: STMTTRN/TRNAMT is missing",
    ]


def test_what_was_not_taken_is_kept_by_name_and_what_is_empty_tells_nothing():
    children = [
        Element("NAME", 1, "taken"),
        Element("BAL", 1, children=[Element("VALUE", 1, "1")]),
        Element("BAL", 1, children=[Element("VALUE", 1, "2")]),
        Element("BAL", 1, children=[Element("VALUE", 1, "")]),
        Element("CHECKNUM", 1, ""),
        Element("X.NEW", 1, "x"),
    ]
    source = Reader(Element("STMTTRN", 1, children=children), [])
    source.text("NAME")
    assert source.rest() == {"BAL": [{"VALUE": "1"}, {"VALUE": "2"}], "X.NEW": "x"}
