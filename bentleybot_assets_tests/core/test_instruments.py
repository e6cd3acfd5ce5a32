"""The watchlist meets what is delivered."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.instruments import WatchlistEntry, instruments
from bentleybot_assets_tests.scenario import SESSIONS, raw_bars


def entry(symbol: str, asset_class: str = "equity", **changes: date | None) -> WatchlistEntry:
    return WatchlistEntry(symbol, f"Company {symbol}", asset_class, "Industrials", **changes)


DELIVERED = pl.concat(
    [
        raw_bars(["AAA"], SESSIONS[:20]),
        raw_bars(["BBB"], SESSIONS[5:20]),
        raw_bars(["CCC"], SESSIONS[:20], price_basis="fully_adjusted"),
    ]
)


def test_table_keeps_its_contract() -> None:
    table = instruments([entry("CCC"), entry("AAA"), entry("BBB", "index")], DELIVERED)
    assert audit(Instruments, table).faults == ()
    assert table["symbol"].to_list() == ["AAA", "BBB", "CCC"]


def test_membership_starts_with_the_first_delivered_session_unless_stated() -> None:
    stated = date(2018, 1, 20)
    table = instruments([entry("AAA", valid_from=stated), entry("BBB")], DELIVERED.reverse())
    assert table["valid_from"].to_list() == [stated, SESSIONS[5]]
    assert table["valid_to"].to_list() == [None, None]


def test_stated_end_is_kept() -> None:
    assert instruments([entry("AAA", valid_to=SESSIONS[9])], DELIVERED)["valid_to"].item() == SESSIONS[9]


def test_instrument_that_left_and_came_back_has_two_memberships() -> None:
    table = instruments([entry("AAA", valid_from=SESSIONS[9]), entry("AAA", valid_to=SESSIONS[4])], DELIVERED)
    assert table.select("valid_from", "valid_to").rows() == [(SESSIONS[0], SESSIONS[4]), (SESSIONS[9], None)]


def test_index_may_not_be_traded() -> None:
    table = instruments([entry("AAA"), entry("BBB", "index"), entry("CCC", "etf")], DELIVERED)
    assert table["is_tradable"].to_list() == [True, False, True]


def test_instrument_without_usable_highs_is_close_only() -> None:
    adjusted_highs = raw_bars(["DDD"], SESSIONS[:20]).with_columns(price_basis=pl.lit("fully_adjusted"))
    delivered = pl.concat([DELIVERED, adjusted_highs])
    table = instruments([entry(symbol) for symbol in ("AAA", "BBB", "CCC", "DDD")], delivered)
    assert table["is_close_only"].to_list() == [False, False, True, True]


def test_one_bar_without_a_high_does_not_make_an_instrument_close_only() -> None:
    with_a_gap = DELIVERED.with_columns(pl.when(pl.col("session") != SESSIONS[7]).then(pl.col("high")).alias("high"))
    assert not instruments([entry("AAA")], with_a_gap)["is_close_only"].item()


def test_delivered_symbol_that_nobody_watches_is_ignored() -> None:
    assert instruments([entry("BBB")], DELIVERED)["symbol"].to_list() == ["BBB"]


def test_ended_membership_that_was_never_delivered_is_left_out() -> None:
    table = instruments([entry("GONE", valid_to=SESSIONS[9]), entry("AAA", valid_to=SESSIONS[9])], DELIVERED)
    assert table["symbol"].to_list() == ["AAA"]


def test_symbol_that_left_and_came_back_must_be_delivered() -> None:
    memberships = [entry("BACK", valid_to=SESSIONS[4]), entry("BACK", valid_from=SESSIONS[9])]
    with pytest.raises(ValueError, match=r"never delivered.*: BACK\."):
        instruments([entry("AAA"), *memberships], DELIVERED)


def test_symbols_that_were_never_delivered_are_named_with_the_fix() -> None:
    with pytest.raises(ValueError, match=r"never delivered.*: YYY, ZZZ\. Correct the watchlist in bentleybot.yaml"):
        instruments([entry("ZZZ"), entry("AAA"), entry("YYY")], DELIVERED)
