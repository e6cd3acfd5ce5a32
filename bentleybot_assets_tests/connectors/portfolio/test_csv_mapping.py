"""A mapping says how a table is read; a wrong one is refused with what to mend."""

from __future__ import annotations

import re

import pytest

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.portfolio.csv_mapping import mapping_of, shipped_mappings

SIMPLE = {"columns": {"posted_date": "Date", "amount": "Amount"}}
HELD = {"stream": "positions", "columns": {"security": "Name", "quantity": "Units"}}


def test_a_bank_and_two_styles_of_brokers_ship():
    assert set(shipped_mappings()) == {"bank", "broker_us", "broker_us_positions", "broker_eu"}
    for name in shipped_mappings():
        assert mapping_of(name, "files[0]").description


def test_a_mapping_of_one_s_own_needs_no_more_than_a_day_and_an_amount():
    assert mapping_of(SIMPLE, "files[0]").columns == SIMPLE["columns"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("bnak", "there is no mapping bnak. Name one of bank, broker_eu, broker_us"),
        ({}, "columns: Field required"),
        ({**SIMPLE, "colums": {}}, "colums: Extra inputs are not permitted"),
        ({"columns": {"date": "Date", "amount": "Amount"}}, "date is not one of account, amount"),
        ({"columns": {"posted_date": "Date"}}, "either amount, or debit and credit"),
        ({"columns": {"posted_date": "Date", "debit": "Out"}}, "either amount, or debit and credit"),
        ({"columns": {**SIMPLE["columns"], "debit": "Out", "credit": "In"}}, "either amount, or debit and credit"),
        ({"columns": {"amount": "Amount"}}, "posted_date or transacted_date"),
        ({"columns": {**SIMPLE["columns"], "balance": "Balance"}}, "row_order says which balance of a day is its last"),
        ({"columns": {**SIMPLE["columns"], "kind": "Type"}}, "kind has a column; say what its values mean"),
        ({**SIMPLE, "values": {"kind": {"Buy": "bought"}}}, "'bought' is none of kind"),
        ({**SIMPLE, "values": {"status": {"Gone": "removed"}}}, "'removed' is none of status"),
        ({**SIMPLE, "constants": {"amount": "5"}}, "amount cannot be one"),
        ({**SIMPLE, "constants": {"kind": "shopping"}}, "kind must be one of payment"),
        ({"columns": {"posted_date": "Date", "amount": ["In", "Out"]}}, "amount must be one column"),
        ({**SIMPLE, "decimal": ",", "thousands": ","}, "the same mark"),
        ({**SIMPLE, "timezone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone; write one like America/New_York"),
        ({**SIMPLE, "encoding": "cp99999"}, "'cp99999' is no encoding; write one like utf-8"),
        ({**SIMPLE, "skip_lines": -1}, "skip_lines"),
        ({**SIMPLE, "delimiter": ";;"}, "delimiter"),
        ({**SIMPLE, "made_after": "as of", "columns": {"transacted_date": "Date", "amount": "Amount"}}, "made_after: "),
        ({**SIMPLE, "made_after": "of", "columns": {**SIMPLE["columns"], "transacted_date": "Day"}}, "made_after: "),
        (HELD, "either a column as_of or as_of_in_name"),
        ({**HELD, "as_of_in_name": "%Y", "columns": {"security": "Name"}}, "positions need quantity, and security"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(settings, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as refusal:
        mapping_of(settings, "files[2]")
    assert str(refusal.value).startswith("files[2]: ")
