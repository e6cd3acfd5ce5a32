"""What the transactions' own check finds."""

from __future__ import annotations

from datetime import date

import pytest

from bentleybot_assets.contracts.raw.portfolio import Transactions
from bentleybot_assets.defs.raw.portfolio import posted_transactions_have_a_date
from bentleybot_assets_tests.scenario import delivered

MADE = {"institution": "bank", "account": "1", "transaction": "t1", "kind": "payment"}
POSTED = {**MADE, "status": "posted", "posted_date": date(2022, 12, 5), "amount": -12.5}


@pytest.mark.parametrize("row", [POSTED, {**MADE, "status": "pending"}, {**MADE, "status": "removed"}], ids=str)
def test_posted_transactions_with_day_and_amount_pass(row: dict[str, object]) -> None:
    assert posted_transactions_have_a_date(delivered(Transactions, row)).passed


@pytest.mark.parametrize("lacking", [{"posted_date": None}, {"amount": None}, {"amount": float("nan")}], ids=str)
def test_a_posted_transaction_without_day_or_amount_is_named(lacking: dict[str, object]) -> None:
    finding = posted_transactions_have_a_date(
        delivered(Transactions, POSTED, {**POSTED, "transaction": "t2", **lacking})
    )
    assert not finding.passed
    assert finding.evidence["transactions"] == 1
    assert finding.evidence["first"].startswith("institution=bank, account=1, transaction=t2")
