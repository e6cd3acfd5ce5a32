"""What several statements tell together does not depend on when, how often or in which order they arrive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.feeds import ConfigError, Mark
from bentleybot_assets.connectors.portfolio.csv_mapping import mapping_of
from bentleybot_assets.connectors.portfolio.csv_tables import Account, read
from bentleybot_assets.connectors.portfolio.files import in_order, read_statement
from bentleybot_assets.connectors.portfolio.ofx import read as read_ofx
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Statement, StatementError, news
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions
from bentleybot_assets_tests.connectors.portfolio.desk import PROVENANCE
from bentleybot_assets_tests.connectors.portfolio.ofx_files import bank, broker, ofx, transaction

MAPPING = mapping_of(
    {
        "columns": {"transacted_date": "Date", "amount": "Amount", "narrative": "Text", "status": "Status"},
        "values": {"status": {"P": "pending", "B": "posted"}},
        "constants": {"currency": "USD"},
    },
    "files[0]",
)
FIRST_DAY = date(2024, 2, 1)
NOW = datetime(2024, 3, 1, 8, tzinfo=UTC)
TRANSACTION = st.tuples(
    st.integers(0, 20),  # day on which it is made
    st.sampled_from([-5, -3, 100]),
    st.sampled_from(["COFFEE", "RENT", "PAY"]),
    st.integers(0, 4),  # days until it is posted; 4: it never is, and is no longer told
)


def day(number: int) -> date:
    return FIRST_DAY + timedelta(number)


def export(purchases: list[tuple[int, int, str, int]], first: int, last: int) -> Statement:
    """What a bank exports at the end of day ``last``, from day ``first`` on."""
    lines = ["Date,Amount,Text,Status"]
    for made, amount, text, until_posted in sorted(purchases):
        is_posted = made + until_posted <= last and until_posted < 4
        is_dropped = until_posted == 4 and made + 4 <= last
        if first <= made <= last and not is_dropped:
            lines.append(f"{day(made)},{amount},{text},{'B' if is_posted else 'P'}")
    return read_statement(
        f"export-{last:02d}-{first:02d}.csv",
        "\n".join(lines).encode(),
        lambda name, content: read(name, content, MAPPING, Account("CHK", None, "checking", None)),
    )


def told_after(arrivals: list[list[Statement]]) -> dict[str, dict[str, Any]]:
    """The newest version of each transaction when files arrive in these batches, and stay."""
    mark: Mark | None = None
    there: dict[str, Statement] = {}
    newest: dict[str, dict[str, Any]] = {}
    for number, batch in enumerate(arrivals):
        there |= {statement.version: statement for statement in batch}
        records, mark = read_news(in_order(there), mark, NOW + timedelta(days=number))
        keys = [record["transaction"] for record in records]
        assert len(keys) == len(set(keys))
        newest |= {
            record["transaction"]: {name: value for name, value in record.items() if name not in PROVENANCE}
            for record in records
        }
    return newest


def read_news(statements, mark=None, now=NOW, contract=Transactions, start=date(1990, 1, 1)):
    return news(contract, statements, mark, institution="Bank", source="test", start=start, fetched_at=now)


@st.composite
def exports_and_arrivals(draw):
    purchases = draw(st.lists(TRANSACTION, max_size=12))
    windows = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 24)), min_size=1, max_size=4, unique=True))
    exports = [export(purchases, min(window), max(window)) for window in windows]
    exports = [statement for statement in exports if statement.rows[Transactions]]
    arrivals = draw(st.lists(st.lists(st.sampled_from(exports)), max_size=5)) if exports else []
    return exports, arrivals


@given(exports_and_arrivals())
def test_neither_the_order_of_files_nor_repeated_imports_matter(drawn):
    exports, arrivals = drawn
    assert told_after([*arrivals, exports]) == told_after([exports])


@st.composite
def downloads_and_arrivals(draw):
    """OFX files, whose names say nothing of their order; later ones correct amounts of earlier ones."""
    downloads = []
    for name in draw(st.permutations(["a.ofx", "b.ofx", "c.ofx"])):
        made_at = 24 + len(downloads)
        purchases = draw(st.dictionaries(st.sampled_from("123456"), st.sampled_from(["-1", "-2", "-3"]), max_size=6))
        told = (transaction(f"F{number}", f"2024020{number}", amount) for number, amount in sorted(purchases.items()))
        content = ofx(bank(*told), made_at=f"202402{made_at}").encode()
        downloads.append(read_statement(name, content, lambda _, content: read_ofx(content)))
    return downloads, draw(st.lists(st.lists(st.sampled_from(downloads)), max_size=5))


@given(downloads_and_arrivals())
def test_neither_the_order_of_downloads_nor_repeated_imports_matter(drawn):
    downloads, arrivals = drawn
    assert told_after([*arrivals, downloads]) == told_after([downloads])


@given(exports_and_arrivals())
def test_what_was_told_is_not_told_again(drawn):
    exports, _ = drawn
    _, mark = read_news(in_order({statement.version: statement for statement in exports}))
    again, same = read_news(in_order({statement.version: statement for statement in exports}), mark, NOW + timedelta(1))
    assert again == []
    assert {**same, "fetched_at": mark["fetched_at"]} == mark


def test_a_pending_transaction_keeps_its_key_when_it_is_posted():
    purchases = [(0, 100, "PAY", 0), (9, -5, "COFFEE", 2)]
    first, mark = read_news([export(purchases, 0, 10)])
    second, _ = read_news([export(purchases, 0, 10), export(purchases, 0, 12)], mark, NOW + timedelta(1))
    assert [(told["status"], told["transacted_date"]) for told in first] == [
        ("posted", "2024-02-01"),
        ("pending", "2024-02-10"),
    ]
    assert [(told["status"], told["transaction"]) for told in second] == [("posted", first[1]["transaction"])]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_pending_transaction_that_is_no_longer_told_is_removed_also_when_its_file_is_gone(is_kept):
    purchases = [(0, 100, "PAY", 0), (9, -150, "HOTEL", 4), (14, -5, "COFFEE", 0)]
    early, late = export(purchases, 0, 10), export(purchases, 0, 15)
    first, mark = read_news([early])
    second, mark = read_news([early, late] if is_kept else [late], mark, NOW + timedelta(1))
    removed = next(told for told in second if told["status"] == "removed")
    pending = next(told for told in first if told["status"] == "pending")
    changed = {name for name in removed if removed[name] != pending[name]}
    assert changed <= {"status", "available_at", "is_modelled", "fetched_at", "source_version"}
    third, _ = read_news([late], mark, NOW + timedelta(2))
    assert third == []


def test_a_pending_transaction_outside_of_a_later_export_stays_pending():
    purchases = [(0, 100, "PAY", 0), (9, -150, "HOTEL", 4), (14, -5, "COFFEE", 0), (15, -5, "COFFEE", 0)]
    _, mark = read_news([export(purchases, 0, 10)])
    later, mark = read_news([export(purchases, 14, 16)], mark, NOW + timedelta(1))
    assert {told["status"] for told in later} == {"posted"}
    assert len(mark["pending"]) == 1


@pytest.mark.parametrize(("first", "last", "statuses"), [(9, 14, []), (8, 9, ["removed"]), (8, 8, [])])
def test_an_export_may_begin_within_its_first_day_but_has_its_last_one(first, last, statuses):
    hotel, others = (9, -150, "HOTEL", 4), [(number, -5, "COFFEE", 0) for number in range(20)]
    _, mark = read_news([export([hotel, *others], 0, 9)])
    later, _ = read_news([export(others, first, last)], mark, NOW + timedelta(1))
    assert [told["status"] for told in later if told["narrative"] == "HOTEL"] == statuses


def test_a_file_that_is_put_back_tells_nothing_new():
    early, late = (export([(number, -5, "COFFEE", 0)], number, number) for number in (0, 1))
    _, mark = read_news([early])
    _, mark = read_news([late], mark, NOW + timedelta(1))
    assert read_news([early, late], mark, NOW + timedelta(2))[0] == []


def test_a_posted_transaction_stays_when_its_file_is_gone():
    purchases = [(number, -5, "COFFEE", 0) for number in range(10)]
    first, mark = read_news([export(purchases, 0, 9)])
    second, _ = read_news([export(purchases[5:], 0, 9)], mark, NOW + timedelta(1))
    assert (len(first), second) == (10, [])


def test_history_follows_the_publication_rule_and_what_comes_later_was_seen():
    purchases = [(0, -5, "COFFEE", 0), (5, -3, "COFFEE", 0)]
    first, mark = read_news([export(purchases[:1], 0, 4)])
    assert [(told["available_at"], told["is_modelled"]) for told in first] == [("2024-02-02T00:00:00Z", True)]
    second, _ = read_news([export(purchases, 0, 5)], mark, NOW + timedelta(1))
    assert [(told["available_at"], told["is_modelled"]) for told in second] == [("2024-03-02T08:00:00Z", False)]
    today, _ = read_news([export([(29, -5, "COFFEE", 0)], 29, 29)])
    assert [(told["available_at"], told["is_modelled"]) for told in today] == [("2024-03-01T08:00:00Z", False)]


def day_s_balance(amount: float, text: str = "2024-03-01") -> Statement:
    """A file that tells a balance of a day, and of no instant."""
    mapping = {
        "columns": {"posted_date": "Date", "amount": "Amount", "balance": "Balance"},
        "constants": {"currency": "USD"},
        "row_order": "oldest_first",
    }
    return read_statement(
        "own.csv",
        f"Date,Amount,Balance\n{text},1,{amount}\n".encode(),
        lambda name, content: read(
            name, content, mapping_of(mapping, "files[0]"), Account("7", None, "checking", None)
        ),
    )


def test_a_balance_of_today_is_that_of_now_and_the_day_s_last_one_is_told_when_it_is_another():
    noon, evening, tomorrow = (NOW + timedelta(hours=hours) for hours in (0, 10, 24))
    told, mark = [], None
    for now, amount in (
        (noon, 5.0),
        (evening, 5.0),
        (evening + timedelta(hours=1), 7.0),
        (tomorrow, 7.0),
        (tomorrow, 9.0),
    ):
        records, mark = read_news([day_s_balance(amount)], mark, now, contract=Balances)
        told += [(record["event_at"], record["available_at"], record["current"]) for record in records]
    assert told == [
        ("2024-03-01T08:00:00Z", "2024-03-01T08:00:00Z", 5.0),
        ("2024-03-01T19:00:00Z", "2024-03-01T19:00:00Z", 7.0),
        ("2024-03-01T23:59:59Z", "2024-03-02T08:00:00Z", 9.0),
    ]


def test_of_balances_that_are_dated_ahead_the_last_is_told_once():
    statements = [day_s_balance(amount, text) for amount, text in ((5, "2024-03-01"), (6, "2024-03-02"))]
    records, mark = read_news(statements, contract=Balances)
    assert [(record["event_at"], record["current"]) for record in records] == [("2024-03-01T08:00:00Z", 6.0)]
    assert read_news(statements, mark, NOW + timedelta(hours=1), contract=Balances)[0] == []


def test_of_balances_that_are_dated_ahead_each_amount_is_told():
    ahead = "<LEDGERBAL><BALAMT>5<DTASOF>20240302</LEDGERBAL><AVAILBAL><BALAMT>4<DTASOF>20240303</AVAILBAL>"
    (told,), _ = read_news([read_ofx(ofx(bank(balances=ahead)).encode())], contract=Balances)
    assert (told["event_at"], told["current"], told["available"]) == ("2024-03-01T08:00:00Z", 5.0, 4.0)


def held(*positions: tuple[str, int], on: date = date(2024, 3, 1), file: str = "held.csv") -> Statement:
    """A file that tells what an account holds on a day."""
    mapping = {
        "stream": "positions",
        "columns": {"as_of": "Day", "security": "Name", "quantity": "Units"},
        "constants": {"currency": "USD"},
    }
    return read_statement(
        file,
        "\n".join(["Day,Name,Units", *(f"{on},{name},{units}" for name, units in positions)]).encode(),
        lambda name, content: read(
            name, content, mapping_of(mapping, "files[0]"), Account("7", None, "brokerage", None)
        ),
    )


def test_what_is_held_is_told_whole_whenever_something_of_it_changed():
    def positions(*statements: Statement, mark: Mark | None, hours: int) -> tuple[list[tuple[str, ...]], Mark]:
        records, mark = read_news(statements, mark, NOW + timedelta(hours=hours), contract=Positions)
        return [(record["event_at"][8:13], record["security"], record["quantity"]) for record in records], mark

    yesterday = held(("A", 9), on=date(2024, 2, 29), file="before.csv")
    told, mark = positions(yesterday, held(("A", 1), ("B", 2)), mark=None, hours=0)
    assert told == [("29T23", "A", 9.0), ("01T08", "A", 1.0), ("01T08", "B", 2.0)]
    told, mark = positions(yesterday, held(("A", 1), ("B", 2)), mark=mark, hours=1)
    assert told == []
    told, mark = positions(yesterday, held(("A", 1), ("B", 5)), mark=mark, hours=2)
    assert told == [("01T10", "A", 1.0), ("01T10", "B", 5.0)]
    told, mark = positions(yesterday, held(("A", 1)), mark=mark, hours=3)
    assert told == [("01T11", "A", 1.0)]
    told, mark = positions(held(("A", 1)), mark=mark, hours=4)
    assert told == []
    told, mark = positions(yesterday, held(("A", 1)), mark=mark, hours=5)
    assert told == []


DAY_AHEAD = st.dates(date(2024, 2, 27), date(2024, 3, 5))


@given(DAY_AHEAD, DAY_AHEAD, st.booleans())
def test_nothing_is_known_before_it_was_true(made, posted, is_pending):
    status = "P" if is_pending else "B"
    text = f"Made,Posted,Amount,Balance,Status\n{made},{posted},-5,1,{status}\n"
    mapping = {
        **MAPPING.model_dump(),
        "columns": {
            "transacted_date": "Made",
            "posted_date": "Posted",
            "amount": "Amount",
            "balance": "Balance",
            "status": "Status",
        },
        "row_order": "oldest_first",
        "timezone": "Asia/Tokyo",
    }
    of_csv = read("a.csv", text.encode(), mapping_of(mapping, "files[0]"), Account("7", None, "checking", None))
    of_ofx = read_ofx(
        ofx(
            bank(
                transaction(day=f"{posted:%Y%m%d}", more=f"<DTUSER>{made:%Y%m%d}"),
                balances=f"<LEDGERBAL><BALAMT>1<DTASOF>{posted:%Y%m%d}</LEDGERBAL>"
                f"<AVAILBAL><BALAMT>2<DTASOF>{made:%Y%m%d}</AVAILBAL>",
            ),
            broker().replace("<DTASOF>20240229160000[-5:EST]", f"<DTASOF>{posted:%Y%m%d}"),
        ).encode()
    )
    for statement in (of_csv, of_ofx):
        for contract in (Accounts, Balances, Positions, Transactions):
            records, _ = read_news([statement], contract=contract)
            assert all(record["event_at"] <= record["available_at"] <= record["fetched_at"] for record in records)
            keys = [tuple(record[name] for name in contract.rules().grain) for record in records]
            assert len(keys) == len(set(keys))


def test_what_was_posted_later_than_it_was_made_was_not_known_before():
    late = ofx(bank(transaction(day="20240215", more="<DTUSER>20240201")))
    (told,), _ = read_news([read_ofx(late.encode())])
    assert (told["event_at"], told["available_at"]) == ("2024-02-01T00:00:00Z", "2024-02-16T00:00:00Z")


def test_a_statement_of_another_day_is_another_balance_and_position_but_no_other_account():
    early, late = (
        read_ofx(ofx(broker(), made_at=made_at).replace("<DTASOF>20240229160000", f"<DTASOF>{as_of}").encode())
        for made_at, as_of in (("20240229120000", "20240229160000"), ("20240331120000", "20240331160000"))
    )
    for contract, first_count, second_count in (
        (Accounts, 1, 0),
        (Balances, 1, 1),
        (Positions, 3, 3),
        (Transactions, 10, 0),
    ):
        first, mark = read_news([early], contract=contract)
        second, _ = read_news([early, late], mark, NOW + timedelta(1), contract=contract)
        assert (contract, len(first), len(second)) == (contract, first_count, second_count)


def test_the_institution_s_own_time_orders_its_statements():
    old = read_ofx(ofx(bank(transaction(amount="-1")), made_at="20240201").encode())
    new = read_ofx(ofx(bank(transaction(amount="-2")), made_at="20240301").encode())
    assert in_order({"statement.ofx": new, "statement (1).ofx": old}) == [old, new]
    (told,), _ = read_news(in_order({"a": new, "b": old}))
    assert told["amount"] == -2.0


def test_nothing_before_the_start_is_read_but_the_account():
    statement = read_ofx(ofx(bank(transaction("1", "20240215"), transaction("2", "20240216"))).encode())
    told, _ = read_news([statement], start=date(2024, 2, 16))
    assert [record["transaction"] for record in told] == ["2"]
    assert len(read_news([statement], start=date(2025, 1, 1), contract=Accounts)[0]) == 1


def test_two_rows_of_one_key_that_contradict_each_other_are_refused():
    text = ofx(bank(transaction("1", amount="-1"), "\n", transaction("1", amount="-2")))
    with pytest.raises(
        StatementError, match=r"STMTTRN in line 1 and STMTTRN in line 2 tell different things.* CHK, 1\. Delete"
    ):
        read_statement("x.ofx", text.encode(), lambda _, content: read_ofx(content))


def test_two_equal_rows_of_one_key_are_one():
    statement = read_ofx(ofx(bank(transaction("1"), transaction("1"))).encode())
    assert len(read_news([statement])[0]) == 1


def test_a_number_that_is_given_again_in_another_statement_is_noticed():
    january = read_ofx(ofx(bank(transaction("1", "20240115", "-1")), made_at="20240201").encode())
    february = read_ofx(ofx(bank(transaction("1", "20240215", "-2")), made_at="20240301").encode())
    with pytest.raises(
        ConfigError, match=r"have one number, 1, but other days and amounts.*`transaction_key: content`"
    ):
        read_news([january, february])
    corrected = read_ofx(ofx(bank(transaction("1", "20240115", "-2")), made_at="20240301").encode())
    assert len(read_news([january, corrected])[0]) == 1


def test_equal_payments_of_two_securities_on_one_day_are_told_apart_in_any_export() -> None:
    def keys(*securities: str) -> list[str]:
        statement = ContentKeys()
        paid = ("A1", "2024-02-05", 9.2, "Cash dividend")
        return [statement.key(*paid, (security, "dividend", None, None)) for security in securities]

    apple, microsoft = keys("AAPL", "MSFT")
    assert keys("MSFT") == [microsoft]
    assert apple != microsoft
