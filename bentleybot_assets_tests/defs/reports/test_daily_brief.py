"""What the brief's own check finds, and what the asset shows of itself."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.reports import DailyBrief
from bentleybot_assets.defs.reports.daily_brief import page_is_self_contained, preview

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
