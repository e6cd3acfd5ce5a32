"""CSV exports are read as their mapping declares, with no column lost and nothing guessed."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.portfolio.csv_mapping import mapping_of
from bentleybot_assets.connectors.portfolio.csv_tables import Account, read
from bentleybot_assets.connectors.portfolio.statements import Row, Statement, StatementError
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

BANK = """\
Account,Reference,Status,Date,Posted,Type,Payee,Description,Category,Amount,Currency,Balance
CHK,R1,POSTED,2024-02-01,2024-02-02,CARD,Cafe,COFFEE,Food,-3.50,USD,96.50
CHK,R2,POSTED,2024-02-02,2024-02-02,DIRECT DEPOSIT,Work,PAY,,1000.00,USD,1096.50
SAV,R3,POSTED,2024-02-02,2024-02-02,INTEREST,,INTEREST,,0.25,EUR,50.25
CHK,R4,PENDING,2024-02-03,,RAINBOW,Shop,SHOES,,-60.00,USD,
"""
BROKER_EU = """\
Depot;Referenz;Buchungstag;Handelstag;Vorgang;ISIN;Text;Stück;Kurs;Provision;Spesen;Soll;Haben;Währung
77;A1;05.02.2024;01.02.2024;Kauf;DE0007164600;Kauf SAP SE;1.250,5;10,25;9,90;1,10;12.828,63;;EUR
77;A2;06.02.2024;05.02.2024;Verkauf;DE0007164600;Verkauf SAP SE;250;11;9,90;;;2.740,10;EUR
77;A3;07.02.2024;07.02.2024;Überweisung;;Gutschrift Müller;;;;;;500,00;EUR
"""
BROKER_US = """\
"History for account ...123"
"From 02/01/2024"
"Date","Action","Symbol","Description","Quantity","Price","Fees & Comm","Amount",
"02/05/2024","Buy","KO","COCA COLA CO","1,000","$59.50","$4.95","-$59,504.95",
"02/06/2024","Sell","BRK/B","BERKSHIRE","10","$400.00","$0.10","$3,999.90",

"Transactions Total","","","","","","","-$55,505.05",
"Brokerage products: not insured","and so on"
"""
NOBODY = Account(None, None, "checking", None)
MINE = Account("42", "Mine", "brokerage", None)


def table(name: str, text: str, *, account: Account = NOBODY, file: str = "export.csv", **changes: Any) -> Statement:
    """What a file of a shipped style says."""
    mapping = mapping_of(name, "files[0]")
    mapping = mapping.model_validate({**mapping.model_dump(), **changes})
    return read(file, text.encode(mapping.encoding), mapping, account)


def own(text: str, *, account: Account = MINE, **settings: Any) -> Statement:
    """What a file says by a mapping of one's own."""
    plain = {
        "constants": {"currency": "USD"},
        "columns": {"posted_date": "Date", "amount": "Amount", "narrative": "Text"},
    }
    return read("own.csv", text.encode(), mapping_of({**plain, **settings}, "files[0]"), account)


def told(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.content.items() if value is not None}


def test_a_bank_s_transactions():
    first, _, _, pending = table("bank", BANK).rows[Transactions]
    assert told(first) == {
        "account": "CHK",
        "transaction": "R1",
        "status": "posted",
        "kind": "payment",
        "posted_date": "2024-02-02",
        "transacted_date": "2024-02-01",
        "amount": -3.5,
        "currency": "USD",
        "narrative": "COFFEE",
        "counterparty": "Cafe",
        "category": "Food",
    }
    assert (first.event_at, first.extra, first.place) == (datetime(2024, 2, 1, tzinfo=UTC), {"Type": "CARD"}, "line 2")
    assert (pending.content["status"], pending.content["posted_date"]) == ("pending", None)
    assert (pending.content["transacted_date"], pending.content["kind"]) == ("2024-02-03", "other")


def test_a_bank_s_accounts_are_those_of_its_rows():
    accounts = table("bank", BANK, account=Account(None, "Household", "savings", None)).rows[Accounts]
    assert [told(row) for row in accounts] == [
        {"account": "CHK", "name": "Household", "kind": "savings", "currency": "USD"},
        {"account": "SAV", "name": "Household", "kind": "savings", "currency": "EUR"},
    ]


@pytest.mark.parametrize(
    ("order", "first_of_day", "last"), [("oldest_first", 96.5, 1096.5), ("newest_first", 96.5, 96.5)]
)
def test_the_last_balance_of_a_day_is_its_balance(order, first_of_day, last):
    balances = {
        (row.content["account"], row.event_at): row.content["current"]
        for row in table("bank", BANK, row_order=order, timezone="America/New_York").rows[Balances]
    }
    end_of_day = datetime(2024, 2, 3, 4, 59, 59, tzinfo=UTC)
    assert balances == {("CHK", end_of_day): last, ("SAV", end_of_day): 50.25}
    assert first_of_day in (96.5, last)


LISTED = st.lists(
    st.tuples(
        st.integers(1, 4),  # day
        st.sampled_from(["CHK", "SAV"]),
        st.sampled_from(["-3", "5"]),
        st.sampled_from(["COFFEE", "PAY"]),
        st.sampled_from(["a", "b", "c"]),  # what tells equal ones apart, in a column that nobody mapped
        st.sampled_from(["EUR", "USD"]),
    ),
    min_size=1,
    max_size=12,
)


@given(LISTED)
def test_the_newest_first_or_the_oldest_first_tells_the_same(listed):
    text = [
        f"2024-02-0{told[0]},{','.join(told[1:])},{number}"
        for number, told in enumerate(sorted(listed, key=lambda told: told[0]))
    ]
    columns = {
        "posted_date": "Date",
        "account": "Account",
        "amount": "Amount",
        "narrative": "Text",
        "currency": "Currency",
        "balance": "Balance",
    }

    def rows(order: str, lines: list[str]) -> list[Any]:
        head = "Date,Account,Amount,Text,Note,Currency,Balance\n"
        statement = own(head + "\n".join(lines), columns=columns, row_order=order)
        return [(row.content, row.extra, row.event_at) for told in statement.rows.values() for row in told]

    assert rows("newest_first", text[::-1]) == rows("oldest_first", text)
    if len({told[0] for told in listed if told[1] == listed[0][1]}) > 1:
        # Its days tell the order of a file, whatever the mapping says.
        assert rows("oldest_first", text[::-1]) == rows("newest_first", text) == rows("oldest_first", text)


def test_pending_transactions_above_the_others_do_not_hide_their_order():
    head, *lines = BANK.splitlines()
    late = lines[1].replace("R2", "R5").replace("2024-02-02", "2024-02-05").replace("1096.50", "7.00")
    first, *others = table("bank", "\n".join([head, lines[3], *lines[:3], late])).rows[Transactions]
    assert first.content["transaction"] == "R4"
    assert [row.content["transaction"] for row in others] == ["R1", "R2", "R3", "R5"]


def test_an_account_with_amounts_in_two_currencies_has_a_balance_in_each_and_no_currency_of_its_own():
    text = "Date,Amount,Currency,Balance\n2024-02-01,5,EUR,5\n2024-02-01,7,USD,7\n2024-02-01,1,EUR,6\n"
    columns = {"posted_date": "Date", "amount": "Amount", "currency": "Currency", "balance": "Balance"}
    statement = own(text, columns=columns, row_order="oldest_first")
    assert [(row.content["currency"], row.content["current"]) for row in statement.rows[Balances]] == [
        ("EUR", 6.0),
        ("USD", 7.0),
    ]
    (account,) = statement.rows[Accounts]
    assert account.content["currency"] is None
    (named,) = own(
        text, columns=columns, row_order="oldest_first", account=Account("42", None, "brokerage", "USD")
    ).rows[Accounts]
    assert named.content["currency"] == "USD"


def test_a_european_broker_s_statement():
    bought, sold, paid = table("broker_eu", BROKER_EU).rows[Transactions]
    names = ("kind", "amount", "quantity", "price", "fees", "security", "posted_date", "transacted_date")
    assert tuple(bought.content[name] for name in names) == (
        *("buy", -12828.63, 1250.5, 10.25, 11.0, "DE0007164600", "2024-02-05", "2024-02-01"),
    )
    assert tuple(sold.content[name] for name in names[:5]) == ("sell", 2740.1, -250.0, 11.0, 9.9)
    assert (paid.content["kind"], paid.content["narrative"], paid.content["fees"]) == (
        "transfer",
        "Gutschrift Müller",
        None,
    )
    made_at, posted_at = datetime(2024, 1, 31, 23, tzinfo=UTC), datetime(2024, 2, 4, 23, tzinfo=UTC)
    assert (bought.event_at, bought.posted_at) == (made_at, posted_at)


def test_an_american_broker_s_history_has_a_title_and_a_disclaimer():
    bought, sold = table("broker_us", BROKER_US, account=MINE).rows[Transactions]
    names = ("kind", "amount", "quantity", "price", "fees", "security", "symbol", "currency", "account")
    assert tuple(bought.content[name] for name in names) == (
        *("buy", -59504.95, 1000.0, 59.5, 4.95, "KO", "KO", "USD", "42"),
    )
    assert tuple(sold.content[name] for name in names[:7]) == ("sell", 3999.9, -10.0, 400.0, 0.1, "BRK/B", None)
    assert bought.place == "line 4"


def broker_us(*lines: str) -> list[Row]:
    """Transactions of an American broker's history with these rows."""
    head = '"Title"\n"From"\n"Date","Action","Symbol","Description","Quantity","Price","Fees & Comm","Amount"\n'
    return list(table("broker_us", head + "\n".join(lines), account=MINE).rows[Transactions])


def test_a_row_of_an_american_broker_may_have_been_posted_as_of_an_earlier_day():
    split, interest = broker_us(
        '"07/15/2024 as of 07/12/2024","Stock Split","AVGO","BROADCOM INC","9","$170.067","",""',
        '"07/16/2024","Bank Interest","","BANK INT","","","","$0.80"',
    )
    assert (split.content["transacted_date"], split.content["posted_date"]) == ("2024-07-12", "2024-07-15")
    assert split.event_at == datetime(2024, 7, 12, 4, tzinfo=UTC)
    assert split.posted_at == datetime(2024, 7, 15, 4, tzinfo=UTC)
    assert (interest.content["transacted_date"], interest.content["posted_date"]) == (None, "2024-07-16")


@pytest.mark.parametrize("cell", ["07/15/2024 as of ", " as of 07/12/2024", "07/15/2024 as of 13/40/2024"])
def test_half_an_as_of_is_no_date(cell):
    with pytest.raises(StatementError, match=r"line 4: Date is '.*', which is no date like %m/%d/%Y"):
        broker_us(f'"{cell}","Bank Interest","","BANK INT","","","","$0.80"')


@pytest.mark.parametrize(
    ("action", "quantity", "kind", "units"),
    [
        ("Stock Split", "9", "split", 9.0),
        ("Reverse Split", "-9", "split", -9.0),
        ("Security Transfer", "100", "transfer", 100.0),
        ("Journaled Shares", "-100", "transfer", -100.0),
        ("Stock Merger", "50", "other", 50.0),
    ],
)
def test_units_that_move_alone_change_no_cash(action, quantity, kind, units):
    (moved,) = broker_us(f'"02/05/2024","{action}","KO","COCA COLA","{quantity}","","",""')
    assert (moved.content["kind"], moved.content["quantity"], moved.content["amount"]) == (kind, units, 0.0)


@pytest.mark.parametrize(
    ("action", "quantity"), [("Buy", "10"), ("Sell", "10"), ("Cash Dividend", ""), ("Stock Split", ""), ("Journal", "")]
)
def test_an_amount_that_is_due_and_missing_is_told(action, quantity):
    with pytest.raises(StatementError, match=r"line 4: Amount is empty. Write the amount, 0 if there is none"):
        broker_us(f'"02/05/2024","{action}","KO","COCA COLA","{quantity}","$10.00","",""')


def test_neither_debit_nor_credit_is_no_amount_of_zero():
    with pytest.raises(StatementError, match=r"line 2: Soll and Haben are empty. Write the amount, 0 if there is none"):
        table("broker_eu", BROKER_EU.replace("12.828,63", ""))


@pytest.mark.parametrize(
    ("action", "quantity", "amount", "kind", "units"),
    [
        ("Sell Short", "10", "$100.00", "sell", -10.0),
        ("Buy to Cover", "10", "-$100.00", "buy", 10.0),
        ("Buy to Open", "1", "-$100.00", "buy", 1.0),
        ("Sell to Open", "1", "$100.00", "sell", -1.0),
        ("Buy to Close", "1", "-$100.00", "buy", 1.0),
        ("Sell to Close", "1", "$100.00", "sell", -1.0),
        ("Reinvest Shares", "0.5", "-$20.00", "reinvestment", 0.5),
        ("Qual Div Reinvest", "", "$20.00", "dividend", None),
        ("Long Term Cap Gain", "", "$20.00", "dividend", None),
        ("NRA Tax Adj", "", "-$2.00", "tax", None),
        ("ADR Mgmt Fee", "", "-$2.00", "fee", None),
        ("Wire Sent", "", "-$20.00", "transfer", None),
    ],
)
def test_what_an_american_broker_calls_its_transactions(action, quantity, amount, kind, units):
    (made,) = broker_us(f'"02/05/2024","{action}","KO","COCA COLA","{quantity}","","","{amount}"')
    told_amount = float(amount.replace("$", ""))
    assert tuple(made.content[name] for name in ("kind", "quantity", "amount")) == (kind, units, told_amount)
    assert made.extra["Action"] == action


def test_an_american_broker_s_positions_are_dated_by_the_name_of_their_file():
    text = (
        '"Positions"\n"as of 02/05/2024"\n'
        '"Symbol","Description","Quantity","Price","Market Value","Cost Basis","Security Type"\n'
        '"KO","COCA COLA CO","1,000","$60.00","$60,000.00","$59,504.95","Equity"\n'
        '"Cash","Cash & Cash Investments","250.5","$1.00","$250.50","","Cash and Money Market"\n'
        '"Account Total","","","","$60,250.50","",""\n'
    )
    statement = table("broker_us_positions", text, account=MINE, file="positions-2024-02-05.csv")
    shares, cash = statement.rows[Positions]
    end_of_day = datetime(2024, 2, 6, 4, 59, 59, tzinfo=UTC)
    assert told(shares) == {
        "account": "42",
        "security": "KO",
        "sub_account": "other",
        "symbol": "KO",
        "name": "COCA COLA CO",
        "kind": "equity",
        "quantity": 1000.0,
        "price": 60.0,
        "value": 60000.0,
        "cost_basis": 59504.95,
        "currency": "USD",
    }
    assert (shares.event_at, cash.content["kind"], cash.content["symbol"]) == (end_of_day, "cash", None)
    (balance,) = statement.rows[Balances]
    assert (balance.event_at, balance.content["current"]) == (end_of_day, 250.5)
    with pytest.raises(
        StatementError, match=r"the name of the file is 'export.csv', which is no date like positions-%Y"
    ):
        table("broker_us_positions", text, account=MINE)


def test_a_column_that_nobody_mapped_is_kept_and_an_ignored_one_is_not():
    (row,) = own("Date,Amount,Text,New,Old,Blank\n2024-02-01,5,x,kept,dropped,\n", ignored=["Old"]).rows[Transactions]
    assert row.extra == {"New": "kept"}


@pytest.mark.parametrize("name", ["bank", "broker_eu", "broker_us"])
def test_each_cell_of_a_file_is_in_its_rows(name):
    text = {"bank": BANK, "broker_eu": BROKER_EU, "broker_us": BROKER_US}[name]
    mapping = mapping_of(name, "files[0]")
    statement = table(name, text, account=MINE)
    lines = csv.reader(io.StringIO(text), delimiter=mapping.delimiter)
    rows = {int(row.place.removeprefix("line ")): row for row in statement.rows[Transactions]}
    unaccounted = []
    for cells in lines:
        if lines.line_num not in rows:
            continue
        row = rows[lines.line_num]
        balances = [str(other.content["current"]) for other in statement.rows[Balances]]
        found = {str(value) for value in (*row.content.values(), *row.extra.values())}
        numbers = {abs(value) for value in row.content.values() if isinstance(value, float)}
        for cell in filter(None, cells):
            plain = re.sub(r"[$-]", "", cell)
            plain = plain.replace(".", "").replace(",", ".") if name == "broker_eu" else plain.replace(",", "")
            is_number = re.fullmatch(r"\d+(\.\d+)?", plain) and float(plain) in numbers
            is_day = re.sub(r"^(\d\d)[./](\d\d)[./](\d{4})$", r"\3\1\2\3\2\1", cell)
            days = {value.replace("-", "") for value in found}
            is_balance = any(cell.rstrip("0") == value for value in balances)
            if not (cell in found or is_number or is_balance or {is_day[:8], is_day[8:]} & days):
                unaccounted.append(cell)
    # Fees that are summed, an account's balance in the middle of a day, and words that the mapping gives a meaning.
    meaning = {word for values in mapping.values.values() for word in values}
    assert [cell for cell in unaccounted if cell not in meaning] == {
        "bank": ["96.50"],
        "broker_eu": ["9,90", "1,10"],
        "broker_us": [],
    }[name]


def test_quoted_cells_may_have_delimiters_quotes_and_line_ends():
    text = 'Date,Amount,Text\r\n2024-02-01,"1,000.00","He said ""hi"",\r\nthen left"\r\n2024-02-02,2,x\r\n'
    first, second = own(text, thousands=",").rows[Transactions]
    assert (first.content["amount"], first.content["narrative"]) == (1000.0, 'He said "hi",\r\nthen left')
    assert (first.place, second.place) == ("line 2", "line 4")


def test_a_line_separator_of_unicode_within_a_cell_ends_no_row():
    (row,) = own("Date,Amount,Text\n2024-02-01,1,a\u2028b\n").rows[Transactions]
    assert row.content["narrative"] == "a\u2028b"


def test_what_is_positive_may_mean_money_out():
    first, second = own("Date,Amount,Text\n2024-02-01,5,x\n2024-02-01,-2,y\n", positive_is="money_out").rows[
        Transactions
    ]
    assert (first.content["amount"], second.content["amount"]) == (-5.0, 2.0)


def test_an_amount_below_zero_may_stand_in_parentheses():
    (row,) = own(
        "Date,Amount,Text\n2024-02-01,($1 234.50),x\n", negative="parentheses", currency_signs=["$"], thousands=" "
    ).rows[Transactions]
    assert row.content["amount"] == -1234.5


@given(
    st.decimals(-(10**9), 10**9, places=2),
    st.sampled_from([(".", ","), (",", "."), (".", "'"), (",", " "), (".", "")]),
    st.booleans(),
)
def test_an_amount_comes_back_in_each_declared_style(amount, marks, in_parentheses):
    decimal, thousands = marks
    text = f"{abs(amount):,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    if amount < 0:
        text = f"({text})" if in_parentheses else f"-{text}"
    (row,) = own(
        f'Date;Amount;Text\n2024-02-01;"{text}";x\n',
        delimiter=";",
        decimal=decimal,
        thousands=thousands,
        negative="parentheses" if in_parentheses else "minus",
    ).rows[Transactions]
    assert row.content["amount"] == float(amount)


@pytest.mark.parametrize(
    "text", ["1.234,56", "1,23", "1,2345.00", "12,34,567", "$5", "(5)", "5-", "NaN", "1e5", "٣", "--5", ""]
)
def test_an_amount_in_another_style_is_refused_and_not_guessed(text):
    with pytest.raises(StatementError, match=r"line 2: Amount is .*(no number like 1,234\.56|empty)"):
        own(f'Date,Amount,Text\n2024-02-01,"{text}",x\n', thousands=",")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("bank", "", "it has no line with the names of the columns. Mend `skip_lines`"),
        (
            "bank",
            BANK.replace("Posted,", "Booked,", 1),
            "line 1: there is no column Posted; there are Account, Reference",
        ),
        ("bank", BANK.replace("Payee", "Type", 1), "line 1: two columns are named Type. Rename one"),
        (
            "bank",
            BANK.replace("2024-02-02,CARD", "02.02.2024,CARD", 1),
            "line 2: Posted is '02.02.2024', which is no date like %Y-%m-%d",
        ),
        (
            "bank",
            BANK.replace("2024-02-02,CARD", "0024-02-02,CARD", 1),
            "line 2: Posted is '0024-02-02', which is in the year 24",
        ),
        ("bank", BANK.replace("2024-02-02,CARD", ",CARD", 1), "line 2: Posted is empty. Write the date"),
        (
            "bank",
            BANK.replace("POSTED,2024-02-01", "CLEARED,2024-02-01"),
            "line 2: Status is 'CLEARED', of which the mapping does not say",
        ),
        (
            "bank",
            BANK.replace("-3.50,USD", "-3.50,Dollar"),
            "line 2: the currency is 'Dollar', which is none. Write an ISO 4217",
        ),
        ("bank", BANK.replace("-3.50,USD", "-3.50,"), "line 2: the currency is not told. Set `currency`"),
        ("bank", BANK.replace("CHK,R1", ",R1"), "line 2: the account is not told. Set `account`"),
        (
            "bank",
            BANK.replace("COFFEE,", "COFFEE,,"),
            "line 2: it has 13 cells for 12 columns. Mend the line; if the table ended",
        ),
        ("bank", BANK.replace("COFFEE", '"COFFEE'), "line 2: unexpected end of data. Mend the quotes"),
        ("bank", BANK.replace("Food", "F\0od"), "line 2: it has a NUL character"),
        (
            "broker_us",
            BROKER_US.replace('-$59,504.95",', '-$59,504.95","?"'),
            "line 4: a cell stands in a column without a name",
        ),
        (
            "broker_eu",
            BROKER_EU.replace(";12.828,63;;", ";12.828,63;1,00;"),
            "line 2: Soll and Haben: one of them must tell an amount",
        ),
        (
            "broker_eu",
            BROKER_EU.replace("12.828,63", "-12.828,63"),
            "line 2: Soll and Haben: one of them must tell an amount, without a sign",
        ),
    ],
)
def test_a_file_that_is_not_as_declared_is_refused_with_line_column_and_fix(name, text, said):
    with pytest.raises(StatementError, match=re.escape(said)):
        table(name, text, account=MINE if name == "broker_us" else NOBODY)


def test_a_file_in_another_encoding_is_refused_with_its_line():
    mapping = mapping_of("bank", "files[0]")
    with pytest.raises(StatementError, match=r"line 2: byte \d+ is not utf-8-sig. Mend `encoding` of the mapping"):
        read("export.csv", BANK.replace("COFFEE", "CAFÉ").encode("cp1252"), mapping, NOBODY)


def test_the_only_date_of_a_pending_transaction_is_that_on_which_it_was_made():
    columns = {"posted_date": "Date", "amount": "Amount", "status": "Status"}
    values = {"status": {"open": "pending", "done": "posted"}}
    pending, posted = own(
        "Date,Amount,Status\n2024-02-01,1,open\n2024-02-01,2,done\n", columns=columns, values=values
    ).rows[Transactions]
    assert (pending.content["posted_date"], pending.content["transacted_date"]) == (None, "2024-02-01")
    assert (posted.content["posted_date"], posted.content["transacted_date"]) == ("2024-02-01", None)


def test_several_faults_are_told_at_once_and_very_many_are_counted():
    with pytest.raises(StatementError, match=r"line 2:.* line 6:.* And 3 more\."):
        own("Date,Amount,Text\n" + "2024-02-01,x,y\n" * 8)


def test_transactions_without_a_number_are_told_apart_by_what_they_tell():
    head, coffee, tea = "Date,Amount,Text\n", "2024-02-01,-3,COFFEE\n", "2024-02-01,-2,TEA\n"

    def keys(*lines: str) -> list[str]:
        return [row.content["transaction"] for row in own(head + "".join(lines)).rows[Transactions]]

    first, second, other = keys(coffee, coffee, tea)
    assert len({first, second, other}) == 3
    assert keys(tea, coffee) == [other, first]
    assert keys("2024-02-01,-3.00,  coffee \n") == [first]
    assert keys("2024-02-02,-3,COFFEE\n") != [first]


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(noise):
    for text in (noise, f"Date,Amount,Text\n{noise}", f"Date,Amount,Text\n2024-02-01,1,{noise}\n"):
        try:
            statement = own(text)
        except StatementError:
            continue
        assert all(row.content["amount"] is not None for row in statement.rows[Transactions])
