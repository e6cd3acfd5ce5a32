"""What the accounts' own check finds."""

from __future__ import annotations

from bentleybot_assets.contracts.raw.portfolio import Accounts
from bentleybot_assets.defs.raw.portfolio import accounts_keep_their_currency
from bentleybot_assets_tests.scenario import delivered

ACCOUNT = {"institution": "bank", "account": "1", "kind": "checking"}


def test_an_account_that_is_delivered_again_passes() -> None:
    accounts = delivered(Accounts, {**ACCOUNT, "currency": "USD"}, {**ACCOUNT, "currency": None}, {**ACCOUNT})
    assert accounts_keep_their_currency(accounts).passed


def test_an_account_that_changes_its_currency_is_named() -> None:
    accounts = delivered(Accounts, {**ACCOUNT, "currency": "USD"}, {**ACCOUNT, "currency": "EUR"})
    finding = accounts_keep_their_currency(accounts)
    assert not finding.passed
    assert finding.evidence == {"accounts": 1, "first": "institution=bank, account=1"}
