"""What all kinds of institution share: records that fit their tables, whatever an institution tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.connectors.portfolio.institutions import record
from bentleybot_assets.contracts.raw.portfolio import Positions, Transactions
from bentleybot_assets.core.audit import audit
from bentleybot_assets.resources.airbyte.records import normalise
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.connectors.portfolio.desk import CONTRACTS, Desk
from bentleybot_assets_tests.connectors.portfolio.ofx_files import bank, broker, ofx, transaction

LONG = "".join(f"{number:05d}" for number in range(60))
"""300 characters, no two stretches alike."""


@pytest.fixture(params=["parquet", "mysql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "parquet":
        return ParquetWarehouse(tmp_path / "warehouse")
    return MySqlWarehouse(request.getfixturevalue("mysql_server"))


def test_texts_of_any_length_are_kept_whole_by_both_warehouses(warehouse, tmp_path):
    wordy = ofx(
        bank(transaction(more=f"<MEMO>memo {LONG}<CATEGORY>category {LONG}"), account=f"account {LONG}"),
        broker(),
    )
    for word in ("Corner Shop", "Some Fund", "222", "I2"):
        wordy = wordy.replace(f">{word}<", f">{word} {LONG}<")
    named_long = f"{'n' * 251}.ofx"
    (tmp_path / named_long).write_text(wordy)
    (tmp_path / "b.csv").write_text(f"Date,Amount,Text,Payee,Number\n2024-02-01,-5,text {LONG},payee {LONG},n {LONG}\n")
    mapping = {
        "columns": {
            "posted_date": "Date",
            "amount": "Amount",
            "narrative": "Text",
            "counterparty": "Payee",
            "transaction": "Number",
        },
        "constants": {"currency": "USD"},
    }
    account = {"account": f"{LONG}", "account_name": f"named {LONG}", "account_kind": "savings"}
    desk = Desk(
        {"name": "Bank", "kind": "ofx", "path": str(tmp_path / named_long)},
        {"name": "Other", "kind": "csv", "files": [{"path": str(tmp_path / "b.csv"), "mapping": mapping, **account}]},
    )
    records = desk.sync()
    frames = {CONTRACTS[stream]: normalise(CONTRACTS[stream], told)[0] for stream, told in records.items()}
    assert all(not audit(contract, frame).faults for contract, frame in frames.items())
    warehouse.append_delivery("portfolio", frames, {})
    for contract, frame in frames.items():
        assert warehouse.read(contract).equals(frame)
    kept = "".join(f"{told}" for told in records.values()).replace("\\", "")
    for word in ("account", "memo", "category", "Corner Shop", "Some Fund", "222", "text", "payee", "n", "named"):
        assert f"{word} {LONG}" in kept
    bought = {told["security"] for told in records["transactions"]}
    assert {told["security"] for told in records["positions"]} <= bought  # one name, too long or not


TEXTS = st.builds(lambda text, more: text + "é" * more, st.text(), st.integers(0, 400))


@given(TEXTS, TEXTS)
def test_a_text_stands_in_its_column_or_whole_in_extra(text, identity):
    told = record(Positions, {"more": 1}, name=text, security=identity)
    extra = json.loads(told["extra"])
    assert text in (told["name"], extra.get("name"))
    assert identity in (told["security"], extra.get("security"))
    assert max(len(told["name"] or ""), len(told["security"])) <= 255
    assert (told["name"] == text) == (len(text) <= 255)
    assert extra["more"] == 1


def test_identities_that_differ_only_at_their_end_stay_apart():
    first, second = (record(Transactions, {}, transaction=f"{LONG}{end}")["transaction"] for end in "ab")
    assert first != second
    assert first == record(Transactions, {}, transaction=f"{LONG}a")["transaction"]
