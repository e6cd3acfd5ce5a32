"""Files and folders of an institution: which are read, and what happens to one that cannot be."""

from __future__ import annotations

import re

import pytest

from bentleybot_assets.connectors.portfolio import files
from bentleybot_assets.contracts.raw.portfolio import Balances
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.records import normalise
from bentleybot_assets_tests.connectors.portfolio.desk import STREAMS, Desk, recorded
from bentleybot_assets_tests.connectors.portfolio.ofx_files import bank, ofx, pending_list, transaction


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "statements"
    path.mkdir()
    return path


def entry(path, name="Bank"):
    return {"name": name, "kind": "ofx", "path": str(path)}


def write(folder, name, *numbers, **statement):
    text = ofx(bank(*(transaction(number, amount=f"-{len(number)}.00") for number in numbers), **statement))
    (folder / name).write_text(text)


def numbers(records):
    return [record["transaction"] for record in records["transactions"]]


def test_a_folder_is_read_a_file_and_a_pattern_of_names(folder):
    write(folder, "a.ofx", "A")
    write(folder, "b.QFX", "B")
    (folder / "notes.txt").write_text("not a statement")
    (folder / "archive.ofx").mkdir()
    assert sorted(numbers(Desk(entry(folder)).sync())) == ["A", "B"]
    assert numbers(Desk(entry(folder / "a.ofx")).sync()) == ["A"]
    assert numbers(Desk(entry(folder / "b*")).sync()) == ["B"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere/at/all", "There is no folder .*nowhere/at. Mend `path`"),
        ("statements", r"There is no file \*.ofx or \*.qfx in .*statements. Put a statement there, or mend `path`"),
        ("statements/*.xml", r"There is no file \*.xml in .*statements"),
        ("statements/a.ofx", r"There is no file a.ofx in .*statements"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(folder, path, said):
    desk = Desk(entry(folder.parent / path))
    desk.sync()
    assert re.search(said, desk.error.message)


def test_new_and_changed_files_are_news_and_others_are_not(folder):
    desk = Desk(entry(folder))
    write(folder, "1.ofx", "A", "B")
    assert sorted(numbers(desk.sync())) == ["A", "B"]
    assert desk.sync() == {stream: [] for stream in STREAMS}
    write(folder, "2.ofx", "B", "C")
    assert numbers(desk.sync()) == ["C"]
    write(folder, "2.ofx", "B", "C", "D")
    (folder / "1.ofx").unlink()
    assert numbers(desk.sync()) == ["D"]
    (folder / "2.ofx").rename(folder / "renamed.ofx")
    assert desk.sync() == {stream: [] for stream in STREAMS}


def test_a_file_that_cannot_be_read_is_left_out_and_told_and_the_others_are_read(folder):
    desk = Desk(entry(folder))
    write(folder, "good.ofx", "A")
    (folder / "broken.ofx").write_text(ofx(bank(transaction("B", day="20240231"))))
    assert numbers(desk.sync()) == ["A"]
    assert desk.error is None
    (said,) = desk.problems().values()
    assert re.search(r"broken.ofx: line 1: STMTTRN/DTPOSTED is '20240231', which is no date. Write it like", said)
    # The mark moved on: what was told is not told again while the file stays broken.
    assert desk.sync() == {stream: [] for stream in STREAMS}
    assert desk.problems().keys() == {"Bank"}
    write(folder, "broken.ofx", "B")
    assert numbers(desk.sync()) == ["B"]
    assert desk.problems() == {}


def test_an_institution_that_cannot_be_read_does_not_fail_the_others(folder):
    good, bad, none = (folder / name for name in ("good", "bad", "none"))
    for path in (good, bad):
        path.mkdir()
    write(good, "1.ofx", "A")
    (bad / "1.ofx").write_text("<OFX>")
    desk = Desk(entry(bad, "Bad"), entry(good, "Good"), entry(none, "None"))
    assert [record["institution"] for record in desk.sync()["transactions"]] == ["Good"]
    assert desk.error is None
    assert "the element OFX is never closed" in desk.problems()["Bad"]
    assert "There is no file none" in desk.problems()["None"]


def test_files_that_are_missing_do_not_fail_the_others_of_the_institution(folder):
    (folder / "a.csv").write_text("Date,Amount\n2024-02-01,-5\n")
    mapping = {"columns": {"posted_date": "Date", "amount": "Amount"}, "constants": {"currency": "USD"}}
    of_file = {"mapping": mapping, "account": "7", "account_kind": "checking"}
    listed = [of_file | {"path": str(folder / name)} for name in ("none.csv", "a.csv")]
    desk = Desk({"name": "Bank", "kind": "csv", "files": listed})
    assert len(desk.sync()["transactions"]) == 1
    assert "There is no file none.csv" in desk.problems()["Bank"]


def test_balances_of_one_account_in_two_currencies_are_two(folder):
    (folder / "a.csv").write_text("Date,Amount,Currency,Balance\n2024-02-01,5,EUR,5\n2024-02-01,7,USD,7\n")
    columns = {"posted_date": "Date", "amount": "Amount", "currency": "Currency", "balance": "Balance"}
    file = {"path": str(folder), "mapping": {"columns": columns, "row_order": "oldest_first"}}
    desk = Desk({"name": "Bank", "kind": "csv", "files": [{**file, "account": "7", "account_kind": "brokerage"}]})
    records = desk.sync()
    assert {told["currency"]: told["current"] for told in records["balances"]} == {"EUR": 5.0, "USD": 7.0}
    outcome = audit(Balances, normalise(Balances, records["balances"])[0])
    assert (outcome.faults, outcome.quarantined_rows) == ((), 0)


def test_a_position_that_is_told_twice_is_told_with_its_lines_and_a_remedy(folder):
    (folder / "a.csv").write_text("Day,Name,Units\n2024-02-01,KO,5\n2024-02-01,KO,7\n")
    mapping = {
        "stream": "positions",
        "columns": {"as_of": "Day", "security": "Name", "quantity": "Units"},
        "constants": {"currency": "USD"},
    }
    file = {"path": str(folder), "mapping": mapping, "account": "7", "account_kind": "brokerage"}
    desk = Desk({"name": "Bank", "kind": "csv", "files": [file]})
    desk.sync("positions")
    assert "line 2 and line 3 tell different things of the same one of positions, 7, KO, other" in desk.error.message
    assert "Delete the wrong one from the file, or export one row per security, not per lot." in desk.error.message


def test_a_stream_fails_if_not_one_institution_could_be_read(folder):
    (folder / "1.ofx").write_text("<OFX>")
    desk = Desk(entry(folder), entry(folder, "Other"))
    desk.sync("transactions")
    assert "the element OFX is never closed" in desk.error.message


def test_one_that_was_read_in_part_does_not_count_as_unread(folder):
    write(folder, "good.ofx", "A")
    (folder / "bad.ofx").write_text("<OFX>")
    desk = Desk(entry(folder), entry(folder / "bad.ofx", "Other"))
    assert numbers(desk.sync("transactions")) == ["A"]
    assert desk.error is None


def test_a_file_that_is_larger_than_any_statement_is_refused_without_being_read_whole(folder):
    write(folder, "good.ofx", "A")
    with (folder / "huge.ofx").open("wb") as file:
        file.truncate(10 * 1024**4)
    desk = Desk(entry(folder))
    assert numbers(desk.sync("transactions")) == ["A"]
    assert f"huge.ofx: it has more than {files.MAX_BYTES:,} bytes. Download a shorter period" in desk.problems()["Bank"]


def test_a_pending_transaction_of_ofx_goes_when_the_list_no_longer_has_it(folder):
    desk = Desk(entry(folder))
    write(folder, "1.ofx", pending=pending_list(("20240228", "-3.00", "Cafe"), ("20240228", "-9.00", "Taxi")))
    assert [record["status"] for record in desk.sync()["transactions"]] == ["pending", "pending"]
    (folder / "2.ofx").write_text(
        ofx(
            bank(transaction("F1", "20240229", "-3.00"), pending=pending_list(("20240228", "-9.00", "Taxi"))),
            made_at="20240301",
        )
    )
    desk.sync()
    assert sorted((told["amount"], told["status"]) for told in desk.current().values()) == [
        (-9.0, "pending"),
        (-3.0, "posted"),
        (-3.0, "removed"),
    ]


def test_recorded_files_are_read_together_and_the_malformed_ones_are_told(folder):
    for name in ("anzcc.ofx", "bank_medium.ofx", "checking.ofx", "date_missing.ofx", "fidelity.ofx", "suncorp.ofx"):
        (folder / name).write_bytes(recorded(name).read_bytes())
    (folder / "empty.ofx").write_bytes(recorded("ofx-v102-empty-tags.ofx").read_bytes())
    desk = Desk(entry(folder))
    records = desk.sync()
    assert {stream: len(told) for stream, told in records.items()} == {
        "accounts": 5,
        "balances": 5,
        "positions": 6,
        "transactions": 25,
    }
    (said,) = desk.problems().values()
    assert "date_missing.ofx: line 33: STMTTRN/DTPOSTED is missing. Download the statement again" in said
    assert "empty.ofx: line 23: SONRS/DTSERVER is '20180804093914:014', which is no date" in said
    assert desk.sync() == {stream: [] for stream in STREAMS}
