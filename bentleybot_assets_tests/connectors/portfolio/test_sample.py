"""The sample statements are labelled, consistent with each other and with the sample's prices."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from decimal import Decimal
from importlib.resources import files

import pytest

from bentleybot_assets.connectors.market.sample import SAMPLE_LAST_SESSION, SampleFeed
from bentleybot_assets.connectors.portfolio.sample import NAMES
from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets_tests.connectors.market.protocol import read, records_of
from bentleybot_assets_tests.connectors.portfolio.desk import KEYS, STREAMS

FOLDER = files("bentleybot_assets.connectors.portfolio.sample_statements")


@pytest.fixture(scope="module")
def told():
    messages = read({"mode": "sample"}, source=PortfolioSource(), streams=STREAMS)
    return {stream: records_of(messages, stream) for stream in STREAMS}


@pytest.fixture(scope="module")
def current(told):
    """The newest version of each transaction that was not removed."""
    newest = {tuple(record[name] for name in KEYS["transactions"]): record for record in told["transactions"]}
    return [record for record in newest.values() if record["status"] != "removed"]


def money(text: str) -> Decimal:
    return Decimal(re.sub(r"[$,]", "", text) or "0")


def lines_of(name: str, skipped: int = 0) -> list[dict[str, str]]:
    """The rows of a CSV file, read with nothing but the standard library."""
    return list(csv.DictReader(FOLDER.joinpath(name).read_text().splitlines()[skipped:]))


def test_every_record_says_that_it_is_a_sample(told):
    assert {stream: len(records) for stream, records in told.items()} == {
        "accounts": 4,
        "balances": 113,
        "positions": 6,
        "transactions": 253,
    }
    for record in (record for records in told.values() for record in records):
        assert record["source"] == "bentleybot sample statements"
        assert record["account"].startswith("SAMPLE-")
        assert record["institution"] in NAMES
        assert record["is_modelled"] is True


def test_every_file_says_that_it_is_a_sample():
    shipped = [entry for entry in FOLDER.iterdir() if entry.suffix in {".csv", ".ofx"}]
    assert len(shipped) == 5
    assert all("SAMPLE" in entry.read_text() for entry in shipped)


def test_the_recording_instants_are_stated_and_all_is_known_by_the_last_session(told):
    records = [record for records in told.values() for record in records]
    assert {record["fetched_at"] for record in records} == {"2022-12-20T12:00:00Z", "2022-12-28T12:00:00Z"}
    last = SAMPLE_LAST_SESSION.isoformat()
    assert all(record["event_at"] <= record["available_at"] for record in records)
    assert all(record["available_at"] <= record["fetched_at"] < f"{last}T21:15" for record in records)


def test_each_balance_is_the_sum_of_the_transactions_up_to_it(told, current):
    for balance in told["balances"]:
        day = balance["event_at"][:10] if balance["account"] == "SAMPLE-CHK-001" else "2022-12-27"
        posted = [
            Decimal(str(record["amount"]))
            for record in current
            if record["account"] == balance["account"] and record["posted_date"] and record["posted_date"] <= day
        ]
        assert sum(posted) == Decimal(str(balance["current"])), balance


def test_each_side_of_a_transfer_between_accounts_has_its_other_side(current):
    def sides(account: str, pattern: str) -> Counter:
        return Counter(
            (abs(record["amount"]), record["posted_date"])
            for record in current
            if record["account"] == account and re.search(pattern, f"{record['counterparty']} {record['narrative']}")
        )

    assert sides("SAMPLE-CHK-001", "SAMPLE-SAV-002") == sides("SAMPLE-SAV-002", "SAMPLE-CHK-001")
    assert sides("SAMPLE-CHK-001", "SAMPLE-BRK-003") == sides("SAMPLE-BRK-003", "SAMPLE-CHK-001")
    assert sides("SAMPLE-CHK-001", "SAMPLE-CRD-004") == sides("SAMPLE-CRD-004", "PAYMENT RECEIVED")
    assert len(sides("SAMPLE-CHK-001", "SAMPLE-SAV-002")) == 12
    assert len(sides("SAMPLE-CHK-001", "SAMPLE-CRD-004")) == 11
    assert len(sides("SAMPLE-CHK-001", "SAMPLE-BRK-003")) == 4


def test_the_broker_trades_and_values_at_the_sample_s_closes_in_cents(told, current):
    trades = [record for record in current if record["kind"] in {"buy", "sell"}]
    held = [record for record in told["positions"] if record["kind"] != "cash"]
    assert {record["symbol"] for record in held} == {"AAPL", "JNJ", "KO", "MSFT", "USMV"}
    closes = {
        (symbol, bar["session"]): round(bar["close"], 2)
        for symbol in {record["symbol"] for record in (*trades, *held)}
        for bar in SampleFeed([symbol], SAMPLE_LAST_SESSION.replace(year=2021)).daily_bars(symbol, None)[0]
    }
    for trade in trades:
        assert trade["price"] == closes[trade["symbol"], trade["posted_date"]]
        cost = Decimal(str(trade["quantity"])) * Decimal(str(trade["price"])) + Decimal(str(trade["fees"] or 0))
        assert Decimal(str(trade["amount"])) == -cost
    for record in held:
        assert record["price"] == closes[record["symbol"], "2022-12-27"]
        assert record["value"] == pytest.approx(record["quantity"] * record["price"])
        assert record["quantity"] == sum(trade["quantity"] for trade in trades if trade["symbol"] == record["symbol"])


def test_the_files_own_totals_agree():
    history = lines_of("SAMPLE-brokerage-2022-12-28.csv", 2)
    assert sum(money(line["Amount"]) for line in history[:-1]) == money(history[-1]["Amount"])
    held = lines_of("positions-2022-12-27.csv", 2)
    assert sum(money(line["Market Value"]) for line in held[:-1]) == money(held[-1]["Market Value"])
    for name in ("SAMPLE-checking-2022-12-20.csv", "SAMPLE-checking-2022-12-28.csv"):
        posted = [line for line in lines_of(name) if line["Status"] == "POSTED"]
        for before, after in itertools.pairwise(posted):
            assert money(before["Balance"]) + money(after["Amount"]) == money(after["Balance"])
    statement = FOLDER.joinpath("SAMPLE-credit-union-2022-12-28.ofx").read_text()
    for part in statement.split("<BANKTRANLIST>")[1:]:
        amounts = re.findall(r"<TRNAMT>([-\d.]+)", part)
        assert sum(map(Decimal, amounts)) == Decimal(re.search(r"<LEDGERBAL><BALAMT>([-\d.]+)", part)[1])


def test_each_month_has_salary_rent_utilities_and_purchases(current):
    expected = {"PAYROLL": 1, "RENT": 1, "ELECTRICITY": 1, "INTERNET": 1, "PHONE": 1}
    for month in range(1, 13):
        texts = [
            record["narrative"]
            for record in current
            if record["account"] == "SAMPLE-CHK-001" and record["posted_date"].startswith(f"2022-{month:02d}")
        ]
        assert {word: sum(word in text for text in texts) for word in expected} == expected
        assert sum(text.startswith("CARD 7731") for text in texts) >= 3


def test_one_purchase_is_pending_and_then_posted_and_one_is_dropped(told):
    versions: dict[str, list[str]] = {}
    for record in told["transactions"]:
        versions.setdefault(record["counterparty"] or "", []).append(record["status"])
    assert versions["Northside Hardware"] == ["pending", "posted"]
    assert versions["Fernhill Inn"] == ["pending", "removed"]
    keys = {record["transaction"] for record in told["transactions"] if record["counterparty"] == "Northside Hardware"}
    assert len(keys) == 1


def test_two_machines_get_one_log(told):
    again = read({"mode": "sample"}, source=PortfolioSource(), streams=STREAMS)
    assert {stream: records_of(again, stream) for stream in STREAMS} == told
