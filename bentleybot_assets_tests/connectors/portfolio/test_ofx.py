"""OFX and QFX statements say what the institution says, with no element lost."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from bentleybot_assets.connectors.portfolio.ofx import read
from bentleybot_assets.connectors.portfolio.ofx_elements import IGNORED
from bentleybot_assets.connectors.portfolio.statements import Period, Row, Statement, StatementError
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions
from bentleybot_assets_tests.connectors.portfolio.desk import recorded
from bentleybot_assets_tests.connectors.portfolio.ofx_files import (
    HEADER,
    bank,
    broker,
    ofx,
    pending_list,
    transaction,
)

EVERYTHING = ofx(
    bank(
        transaction(more="<MEMO>a memo<CHECKNUM>12<SIC>5411<CURRENCY><CURRATE>1.1<CURSYM>EUR</CURRENCY>"),
        transaction(
            "F2", more="<PAYEE><NAME>Somebody<CITY>Town</PAYEE><ORIGCURRENCY><CURRATE>2<CURSYM>CAD</ORIGCURRENCY>"
        ),
        pending=pending_list(("20240228", "-3.00", "Cafe")),
        balances="<LEDGERBAL><BALAMT>100.00<DTASOF>20240229</LEDGERBAL><AVAILBAL><BALAMT>97.00<DTASOF>20240229</AVAILBAL>"
        "<BALLIST><BAL><NAME>Points<VALUE>5</BAL></BALLIST><MKTGINFO>Buy now",
    ),
    broker(),
)


def rows(statement: Statement) -> list[Row]:
    return [row for told in statement.rows.values() for row in told]


def by_number(statement: Statement) -> dict[str, Row]:
    return {row.content["transaction"]: row for row in statement.rows[Transactions]}


def columns(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row.content[name] for name in names)


def independent_leaves(text: str) -> Iterator[tuple[list[str], str]]:
    """Each value of a file with the elements around it, found by nothing but regular expressions."""
    text = re.sub(r"<!\[CDATA\[(.*?)\]\]>", lambda found: found[1].replace("<", "&lt;"), text, flags=re.DOTALL)
    around: list[str] = []
    for end, tag, value in re.findall(r"<(/?)([A-Z][A-Z0-9.]*)[^>]*>([^<]*)", text[text.index("<OFX>") :]):
        if end:
            if tag in around:
                del around[around.index(tag) :]
        elif value.strip():
            yield [*around, tag], value.strip().replace("&amp;", "&")
        else:
            around.append(tag)


def is_told(value: str, statement: Statement) -> bool:
    """Whether a value stands in a row: as it is, as a number, or as a day."""
    found = set()
    for row in rows(statement):
        found |= {text for text in row.content.values() if isinstance(text, str)}
        numbers = [number for number in row.content.values() if isinstance(number, float)]
        if re.fullmatch(r"[+-]?[\d.]+", value) and any(math.isclose(abs(float(value)), abs(n)) for n in numbers):
            return True
        found |= set(re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(row.extra, ensure_ascii=False)))
        if row.event_at is not None:
            found.add(f"{row.event_at:%Y%m%d}")
    day = value[:8]
    return value in found or (day.isdigit() and (day in found or f"{day[:4]}-{day[4:6]}-{day[6:]}" in found))


def is_ignored(path: list[str]) -> bool:
    return any(
        child in IGNORED.get(parent, ()) or (parent == "SECLIST" and "*" in IGNORED[parent])
        for parent, child in itertools.pairwise(path)
    )


MAPPED_TO_WORDS = {
    "DTSERVER": "the order of statements",
    "DTSTART": "the period of a statement",
    "DTEND": "the period of a statement",
    "COMMISSION": "part of fees",
    "FEES": "part of fees",
    "LOAD": "part of fees",
}


def unaccounted(text: str, statement: Statement) -> list[str]:
    return [
        f"{'/'.join(path)}: {value}"
        for path, value in independent_leaves(text)
        if not is_told(value, statement) and not is_ignored(path) and path[-1] not in MAPPED_TO_WORDS
    ]


@pytest.mark.parametrize("name", ["anzcc.ofx", "bank_medium.ofx", "checking.ofx", "fidelity.ofx", "suncorp.ofx"])
def test_each_value_of_a_recorded_file_is_in_its_rows_or_is_ignored_by_name(name):
    content = recorded(name).read_bytes()
    assert len(list(independent_leaves(content.decode("cp1252")))) > 20
    assert unaccounted(content.decode("cp1252"), read(content)) == []


def test_each_value_of_a_project_written_file_is_in_its_rows_or_is_ignored_by_name():
    assert unaccounted(EVERYTHING, read(EVERYTHING.encode())) == []


def test_the_account_of_values_notices_one_that_is_lost():
    told = read(EVERYTHING.encode())
    assert unaccounted(EVERYTHING.replace("<SIC>5411", "<SIC>99999"), told) == [
        "OFX/BANKMSGSRSV1/STMTTRNRS/STMTRS/BANKTRANLIST/STMTTRN/SIC: 99999"
    ]


@pytest.mark.parametrize(
    "place", sorted({found.start() for found in re.finditer(r"</(?!OFX|SECLIST|\w+INFO|SECID|STATUS)", EVERYTHING)})
)
def test_an_element_that_nobody_knows_is_kept_wherever_it_stands(place):
    text = f"{EVERYTHING[:place]}<X.UNKNOWN>kept as it is</X.UNKNOWN>{EVERYTHING[place:]}"
    assert any("kept as it is" in json.dumps(row.extra) for row in rows(read(text.encode())))


def test_a_recorded_credit_card():
    statement = read(recorded("anzcc.ofx").read_bytes())
    (account,), (balance,), (told,) = (statement.rows[stream] for stream in (Accounts, Balances, Transactions))
    assert columns(account, "account", "kind", "currency") == ("1234123412341234", "credit_card", "AUD")
    assert columns(balance, "current", "available", "currency") == (-123.45, 123.45, "AUD")
    assert balance.event_at == datetime(2017, 5, 10, 19, 28, 49, tzinfo=UTC)
    assert columns(told, "transaction", "amount", "posted_date", "narrative") == (
        *("201705080001", -5.5, "2017-05-08", "SOME MEMO"),
    )


def test_a_recorded_bank_whose_dates_have_offsets():
    statement = read(recorded("bank_medium.ofx").read_bytes())
    first = statement.rows[Transactions][0]
    assert first.event_at == datetime(2009, 4, 1, 17, 20, 17, tzinfo=UTC)
    assert columns(first, "posted_date", "kind", "amount") == ("2009-04-01", "payment", -6.6)
    assert columns(first, "counterparty", "narrative") == ("MCDONALD'S #112", "POS MERCHANDISE;MCDONALD'S #112")
    (balance,) = statement.rows[Balances]
    assert columns(balance, "current", "available") == (382.34, 682.34)


def test_a_recorded_broker():
    statement = read(recorded("fidelity.ofx").read_bytes())
    told = statement.rows[Transactions]
    kinds = [row.content["kind"] for row in told]
    assert {kind: kinds.count(kind) for kind in kinds} == {"buy": 8, "dividend": 4, "sell": 2, "other": 3}
    first = by_number(statement)["0123456789020201120120720"]
    assert columns(first, "amount", "quantity", "price", "fees", "symbol", "security") == (
        *(-2571.45, 100.0, 25.635, 7.95, "INTC", "458140100"),
    )
    # Bought at quantity times price, and the fees; of a sale, the broker held back three cents more.
    for row in told:
        amount, quantity, price, fees = columns(row, "amount", "quantity", "price", "fees")
        if quantity is not None:
            assert amount == pytest.approx(-quantity * price - fees, abs=0.035)
    held = {row.content["symbol"]: columns(row, "quantity", "price", "value") for row in statement.rows[Positions]}
    assert held.keys() == {"SDRL", "CLCT", "HI", "INTC", "RHT", "XIN"}
    # The file's own total: "Cash Market value".
    assert sum(value for _, _, value in held.values()) == pytest.approx(14919.80)
    (balance,) = statement.rows[Balances]
    assert balance.content["current"] == 18073.98
    networth = balance.extra["INVBAL"]["BALLIST"]["BAL"][0]
    assert (networth["NAME"], float(networth["VALUE"])) == ("Networth", pytest.approx(18073.98 + 14919.80, abs=0.02))


def test_recorded_character_data():
    (told,) = read(recorded("suncorp.ofx").read_bytes()).rows[Transactions]
    assert columns(told, "counterparty", "amount") == ("EFTPOS WDL HANDYWAY ALDI STORE", -16.85)


def test_recorded_dates_that_are_missing_empty_or_impossible_are_told_with_their_lines():
    with pytest.raises(StatementError) as refusal:
        read(recorded("date_missing.ofx").read_bytes())
    assert [line for line in (33, 42, 50) if f"line {line}: STMTTRN/DTPOSTED" in str(refusal.value)] == [33, 42, 50]
    assert "is '20120231', which is no date. Write it like 20221228" in str(refusal.value)


def test_recorded_empty_elements_are_told_by_name():
    with pytest.raises(StatementError) as refusal:
        read(recorded("ofx-v102-empty-tags.ofx").read_bytes())
    for said in (
        "SONRS/DTSERVER is '20180804093914:014', which is no date",
        "STMTRS/CURDEF is empty",
        "STMTTRN/FITID is empty",
    ):
        assert said in str(refusal.value)
    assert "And 1 more." in str(refusal.value)


def test_a_broker_s_transactions_change_cash_and_units_as_they_should():
    told = by_number(read(ofx(broker()).encode()))
    names = ("kind", "amount", "quantity", "price", "fees", "symbol")
    assert {number: columns(row, *names) for number, row in told.items()} == {
        "I1": ("buy", -210.0, 10.0, 20.5, 5.0, "ACME"),
        "I2": ("sell", 32.0, -3.0, 11.0, 1.0, None),
        "I3": ("dividend", 7.7, None, None, None, "ACME"),
        "I4": ("dividend", 1.1, None, None, None, "ACME"),
        "I5": ("reinvestment", 0.0, 0.5, 11.0, None, None),
        "I6": ("split", 0.25, 10.0, None, None, "ACME"),
        "I7": ("transfer", 0.0, -2.0, None, None, None),
        "I8": ("interest", -0.33, None, None, None, None),
        "I10": ("other", 0.0, -1.0, None, None, "ACME"),
        "I9": ("other", 500.0, None, None, None, None),
    }
    assert columns(told["I1"], "posted_date", "transacted_date", "narrative") == (
        "2024-02-15",
        "2024-02-15",
        "memo of I1",
    )
    assert told["I5"].extra["REINVEST"]["TOTAL"] == "-5.50"
    assert told["I2"].extra["TICKER"] == "NOT A TICKER"


@pytest.mark.parametrize(
    ("action", "held", "units"),
    [("IN", "LONG", 2.0), ("OUT", "LONG", -2.0), ("IN", "SHORT", -2.0), ("OUT", "SHORT", 2.0)],
)
def test_what_is_transferred_in_kind_is_received_or_given_and_owed_if_short(action, held, units):
    moved = (
        "<TRANSFER><INVTRAN><FITID>1<DTTRADE>20240215</INVTRAN><SECID><UNIQUEID>222<UNIQUEIDTYPE>CUSIP</SECID>"
        f"<SUBACCTSEC>CASH<UNITS>2<TFERACTION>{action}<POSTYPE>{held}</TRANSFER>"
    )
    (told,) = read(ofx(broker(moved)).encode()).rows[Transactions]
    assert columns(told, "kind", "quantity", "amount") == ("transfer", units, 0.0)


def test_what_moves_between_parts_of_an_account_leaves_its_units_as_they_are():
    moved = (
        "<JRNLSEC><INVTRAN><FITID>1<DTTRADE>20240215</INVTRAN><SECID><UNIQUEID>222<UNIQUEIDTYPE>CUSIP</SECID>"
        "<SUBACCTTO>MARGIN<SUBACCTFROM>CASH<UNITS>2</JRNLSEC>"
    )
    (told,) = read(ofx(broker(moved)).encode()).rows[Transactions]
    assert columns(told, "kind", "quantity", "amount") == ("transfer", 0.0, 0.0)
    assert told.extra["JRNLSEC"]["UNITS"] == "2"


def test_positions_are_told_by_sub_account_and_short_ones_are_negative():
    told = read(ofx(broker()).encode()).rows[Positions]
    assert [columns(row, "security", "sub_account", "kind", "quantity", "price", "value") for row in told] == [
        ("111", "cash", "equity", 20.0, 10.0, 200.0),
        ("111", "short", "equity", -5.0, 10.0, -50.0),
        ("222", "margin", "fund", 7.5, 11.0, 82.5),
    ]
    assert {row.event_at for row in told} == {datetime(2024, 2, 29, 21, tzinfo=UTC)}
    assert {row.content["cost_basis"] for row in told} == {None}


def test_balances_of_two_instants_are_two():
    both = "<LEDGERBAL><BALAMT>5<DTASOF>20240228</LEDGERBAL><AVAILBAL><BALAMT>4<DTASOF>20240229</AVAILBAL>"
    told = read(ofx(bank(balances=both)).encode()).rows[Balances]
    assert [(row.event_at.day, *columns(row, "current", "available")) for row in told] == [
        (28, 5.0, None),
        (29, None, 4.0),
    ]


@pytest.mark.parametrize(
    ("told", "kind"),
    [("CHECKING", "checking"), ("MONEYMRKT", "savings"), ("CREDITLINE", "loan"), ("SOMETHING", "other")],
)
def test_an_account_s_kind(told, kind):
    (account,) = read(ofx(bank(kind=told)).encode()).rows[Accounts]
    assert (account.content["kind"], account.extra["BANKACCTFROM"]["ACCTTYPE"]) == (kind, told)


def test_amounts_in_another_currency_are_told_in_it_and_converted_ones_are_not():
    told = by_number(read(EVERYTHING.encode()))
    assert (told["F1"].content["currency"], told["F2"].content["currency"]) == ("EUR", "USD")
    assert told["F2"].extra["ORIGCURRENCY"] == {"CURRATE": "2", "CURSYM": "CAD"}


def test_pending_transactions_have_no_posted_date_and_end_with_the_next_list():
    statement = read(ofx(bank(transaction(), pending=pending_list(("20240228", "-3.00", "Cafe")))).encode())
    _, pending = statement.rows[Transactions]
    assert columns(pending, "status", "posted_date", "transacted_date", "amount") == (
        "pending",
        None,
        "2024-02-28",
        -3.0,
    )
    assert Period("CHK", date.min, date.max) in statement.periods


def test_a_correction_removes_what_it_corrects():
    replaced = transaction("F9", more="<CORRECTFITID>F1<CORRECTACTION>REPLACE", amount="-13.00")
    deleted = transaction("F8", more="<CORRECTFITID>F2<CORRECTACTION>DELETE")
    told = by_number(read(ofx(bank(transaction("F1"), transaction("F2"), replaced, deleted)).encode()))
    assert {number: row.content["status"] for number, row in told.items()} == {
        "F1": "removed",
        "F2": "removed",
        "F9": "posted",
    }


def test_an_error_of_the_institution_is_told():
    text = ofx(bank()).replace(
        "<CODE>0<SEVERITY>INFO</STATUS><STMTRS>", "<CODE>2003<SEVERITY>ERROR<MESSAGE>Closed</STATUS><STMTRS>"
    )
    with pytest.raises(StatementError, match=r"STMTTRNRS/STATUS reports error 2003 \(Closed\)"):
        read(text.encode())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (ofx(), "there is no statement of an account in it"),
        (ofx(bank(transaction(amount="12.x"))), "STMTTRN/TRNAMT is '12.x', which is no amount"),
        (ofx(bank()).replace("<CURDEF>USD", "<CURDEF>Dollar"), "STMTRS/CURDEF is 'Dollar', which is no currency"),
        (ofx(bank()).replace("<ACCTID>CHK", "<ACCTID>"), "BANKACCTFROM/ACCTID is empty"),
        (ofx(bank(transaction(), transaction())).replace("</STMTTRN>", "", 1), "STMTTRN/DTPOSTED is missing"),
        (ofx(bank(balances="<LEDGERBAL><BALAMT>1</LEDGERBAL>")), "LEDGERBAL/DTASOF is missing"),
        (
            ofx(broker()).replace("<UNIQUEID>111<UNIQUEIDTYPE>CUSIP</SECID><HELD", "<UNIQUEID></SECID><HELD"),
            "SECID/UNIQUEID is empty",
        ),
        (HEADER + "<OFX></OFX>", "OFX/SIGNONMSGSRSV1 is missing"),
    ],
)
def test_a_file_that_is_broken_is_refused_with_element_line_and_fix(broken, said):
    with pytest.raises(StatementError, match=re.escape(said)) as refusal:
        read(broken.encode())
    assert re.search(r"(Download|Write|Ask) ", str(refusal.value))


def test_numbers_can_be_left_aside():
    same = ofx(bank(transaction("1"), transaction("1", day="20240216"), transaction("2")))
    told = read(same.encode(), is_keyed_by_content=True).rows[Transactions]
    assert len({row.content["transaction"] for row in told}) == 3
    assert [row.extra["FITID"] for row in told] == ["1", "1", "2"]
    other = read(ofx(bank(transaction("77"))).encode(), is_keyed_by_content=True).rows[Transactions]
    assert other[0].content["transaction"] == told[0].content["transaction"]
