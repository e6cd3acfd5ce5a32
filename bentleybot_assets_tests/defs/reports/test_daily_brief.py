"""What the brief shows and where from, what its own check finds, and what the asset shows of itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from bentleybot_assets.contracts.reports import DailyBrief
from bentleybot_assets.defs.reports.daily_brief import daily_brief, page_is_self_contained, preview
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.ledger.sessions_of_work import SECOND, intents, record

PAGE = '<html><style>p { color: #333 }</style><p>The source says <a href="#orders">3 orders</a></p><svg></svg></html>'


def brief(*pages: str) -> pl.DataFrame:
    rows = [
        {
            "session": date(2022, 12, 27 + number),
            "verdict": "TRADE",
            "order_count": 3 + number,
            "refusal_count": 0,
            "account_mode": "paper",
            "data_mode": "sample",
            "html": page,
        }
        for number, page in enumerate(pages)
    ]
    return pl.DataFrame(rows, schema=DailyBrief.polars_schema())


def test_a_page_of_its_own_text_style_and_drawing_passes() -> None:
    finding = page_is_self_contained(brief(PAGE))
    assert finding.passed
    assert finding.evidence == {"found": []}


@pytest.mark.parametrize(
    ("outside", "found"),
    [
        ("<SCRIPT>alert(1)</SCRIPT>", "<SCRIPT"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "<link"),
        ('<img src="https://example.org/a.png">', "src="),
        ("<style>@import 'a.css'</style>", "@import"),
        ("<p style='background: url(a.png)'>", "url("),
    ],
)
def test_what_a_page_takes_from_outside_is_named(outside: str, found: str) -> None:
    finding = page_is_self_contained(brief(PAGE, PAGE + outside))
    assert not finding.passed
    assert finding.evidence == {"found": [found]}


def test_the_preview_shows_the_newest_verdict() -> None:
    assert preview(brief(PAGE, PAGE)) == {
        "verdict": "TRADE",
        "order_count": 4,
        "refusal_count": 0,
        "account_mode": "paper",
        "data_mode": "sample",
    }


@pytest.fixture
def write() -> Callable[[], dict[str, Any]]:
    """Writes the brief of a desk on which no table was published yet; gives its row."""

    def materialise() -> dict[str, Any]:
        resources = resources_of(Settings.load())
        upstream = [dg.AssetSpec(key).with_io_manager_key("warehouse_io") for key in daily_brief.dependency_keys]
        with dg.DagsterInstance.ephemeral() as instance:
            dg.materialize(
                [daily_brief, *upstream],
                instance=instance,
                selection=[daily_brief.key],
                partition_key=f"{SECOND}",
                resources=resources,
            )
        (row,) = resources["warehouse"].open().read(DailyBrief, [SECOND]).to_dicts()
        return row

    return materialise


def decide() -> None:
    """Record one order and the account it was decided on: 1,000.10 USD and two positions."""
    resources = resources_of(Settings.load())
    strategy = resources["desk"].strategy
    orders = intents(SECOND, AAPL=3).with_columns(strategy=pl.lit(strategy))
    record(resources["ledger"].open(), SECOND, orders, strategy=strategy)


def test_the_brief_shows_the_orders_that_the_ledger_has(write: Callable[[], dict[str, Any]]) -> None:
    decide()
    row = write()
    assert (row["verdict"], row["order_count"]) == ("TRADE", 1)
    assert "AAPL" in row["html"]
    assert dg.AssetKey(["trading", "orders"]) in daily_brief.dependency_keys


def test_before_a_session_is_decided_the_brief_shows_the_account_as_configured(
    write: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT__CASH_USD", "4321")
    assert "No positions: $4,321.00 in cash." in write()["html"]


def test_a_decided_session_shows_the_account_it_was_decided_on(
    write: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decide()
    monkeypatch.setenv("BENTLEYBOT_ACCOUNT__CASH_USD", "4321")
    page = write()["html"]
    assert "1,000.10" in page
    assert "4,321" not in page
    assert "MSFT" in page


def test_an_account_that_was_not_recorded_is_not_made_up(write: Callable[[], dict[str, Any]], home: Path) -> None:
    """As for a decision from before accounts were kept."""
    decide()
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("DELETE FROM decided_positions")
        connection.execute("DELETE FROM decided_accounts")
    assert "What the account held when this session was decided was not recorded." in write()["html"]


def test_without_risk_free_rates_the_page_is_written_all_the_same(write: Callable[[], dict[str, Any]]) -> None:
    assert "HOLD" in write()["html"]
    assert dg.AssetKey(["raw", "market", "risk_free_rates"]) not in daily_brief.dependency_keys
