"""What the signals' own check finds, and what the asset shows of itself."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets.defs.signals.trading_signals import preview, sells_rank_below_buys

DAY, NEXT = date(2022, 12, 27), date(2022, 12, 28)


def signals(*rows: tuple[str, date, str, float]) -> pl.DataFrame:
    """Signals of (symbol, session, action, percentile)."""
    names = ("symbol", "session", "action", "percentile")
    return pl.DataFrame(
        [{**dict(zip(names, row, strict=True)), "reasons": "rank"} for row in rows],
        schema=TradingSignals.polars_schema(),
    )


GOOD = signals(("AAA", DAY, "BUY", 0.9), ("BBB", DAY, "HOLD", 0.5), ("CCC", DAY, "SELL", 0.1))


def test_buys_that_rank_above_sells_pass() -> None:
    finding = sells_rank_below_buys(GOOD)
    assert finding.passed
    assert finding.evidence == {"sessions": []}


def test_a_session_without_sells_passes_whatever_another_sells() -> None:
    assert sells_rank_below_buys(signals(("AAA", DAY, "BUY", 0.2), ("AAA", NEXT, "SELL", 0.8))).passed


def test_a_session_that_sells_what_ranks_as_high_as_what_it_buys_is_named() -> None:
    wrong = signals(("AAA", NEXT, "BUY", 0.4), ("BBB", NEXT, "BUY", 0.9), ("CCC", NEXT, "SELL", 0.4))
    finding = sells_rank_below_buys(pl.concat([GOOD, wrong]))
    assert not finding.passed
    assert finding.evidence == {"sessions": ["2022-12-28"]}


def test_the_preview_counts_actions_and_lists_the_strongest_first() -> None:
    shown = preview(GOOD.reverse())
    assert {name: shown[name] for name in ("buy", "hold", "sell")} == {"buy": 1, "hold": 1, "sell": 1}
    rows = shown["signals"].value.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["AAA", "BBB", "CCC"]
