"""A session's decision sees what was known at its cut-off, whatever has been delivered since."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.matrix import matrix
from bentleybot_assets.core.point_in_time import Deliveries
from bentleybot_assets.core.technical import technical
from bentleybot_assets_tests.scenario import SESSIONS, SYMBOLS, corporate_actions, instruments_for, raw_bars

UNIVERSE = instruments_for()
EVENING = raw_bars().with_columns(fetched_at="available_at")
"""Bars as a desk gets them that runs every evening."""

DECIDED = SESSIONS[-20]
MORNING = cut_off(DECIDED) + timedelta(hours=8)
NO_ACTIONS = corporate_actions()


def corrected(session: date, fetched_at: datetime = MORNING, available_at: datetime | None = None) -> pl.DataFrame:
    """A newer version of one bar, a tenth dearer."""
    return EVENING.filter(symbol="AAA", session=session).with_columns(
        *(pl.col(name) * 1.1 for name in ("open", "high", "low", "close")),
        fetched_at=pl.lit(fetched_at),
        available_at=pl.lit(available_at or fetched_at),
    )


def dividend(fetched_at: datetime) -> pl.DataFrame:
    paid = corporate_actions(("AAA", DECIDED, "dividend", 5.0), fetched_at=fetched_at)
    return paid.with_columns(available_at=pl.lit(fetched_at))


def decided_on(bars: pl.DataFrame, actions: pl.DataFrame = NO_ACTIONS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Members and prices of the session, from tables that hold all that was delivered."""
    table = daily_bars(bars, actions, UNIVERSE)
    delivered = Deliveries(bars, actions, UNIVERSE)
    features = matrix(technical(table), UNIVERSE)
    return delivered.members(DECIDED, features.lazy()), delivered.prices(DECIDED, table.lazy())


EXPECTED = decided_on(EVENING.filter(pl.col("session") <= DECIDED))
LATER_CHANGES = {
    "a correction of the session": (pl.concat([EVENING, corrected(DECIDED)]), NO_ACTIONS),
    "a correction of an earlier session": (pl.concat([EVENING, corrected(SESSIONS[-60])]), NO_ACTIONS),
    "a correction that claims to have been known": (
        pl.concat([EVENING, corrected(DECIDED, available_at=cut_off(DECIDED) - timedelta(hours=6))]),
        NO_ACTIONS,
    ),
    "a late dividend": (EVENING, dividend(MORNING)),
    "nothing": (EVENING, NO_ACTIONS),
}


@pytest.mark.parametrize("later", LATER_CHANGES)
def test_what_came_after_the_cut_off_changes_no_decision(later: str) -> None:
    members, prices = decided_on(*LATER_CHANGES[later])
    assert members.equals(EXPECTED[0])
    assert prices.select("symbol", "mark_price", "total_return", "available_at").equals(
        EXPECTED[1].select("symbol", "mark_price", "total_return", "available_at")
    )
    assert members["symbol"].to_list() == list(SYMBOLS)


@pytest.mark.parametrize(
    "before",
    [
        (pl.concat([EVENING, corrected(DECIDED, cut_off(DECIDED))]), NO_ACTIONS),
        (EVENING, dividend(cut_off(DECIDED))),
    ],
    ids=["correction", "dividend"],
)
def test_what_came_by_the_cut_off_is_decided_on(before: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    assert not decided_on(*before)[1]["total_return"].equals(EXPECTED[1]["total_return"])


def test_a_bar_that_came_after_the_cut_off_is_not_there() -> None:
    is_late = (pl.col("symbol") == "BBB") & (pl.col("session") == DECIDED)
    late = EVENING.with_columns(
        pl.when(is_late).then(pl.lit(MORNING)).otherwise(name).alias(name) for name in ("available_at", "fetched_at")
    )
    members, prices = decided_on(late)
    assert members["symbol"].to_list() == prices["symbol"].to_list() == ["AAA", "CCC"]


def test_history_that_was_read_at_once_is_decided_as_the_tables_have_it() -> None:
    at_once = raw_bars()
    members, prices = decided_on(at_once)
    assert members.drop("available_at").equals(EXPECTED[0].drop("available_at"))
    assert prices["mark_price"].equals(EXPECTED[1]["mark_price"])


def test_what_was_known_then_must_have_been_sound() -> None:
    both = EVENING.filter(session=DECIDED, symbol="AAA").with_columns(volume=pl.lit(1.0))
    log = pl.concat([EVENING, both, corrected(DECIDED)])
    with pytest.raises(ValueError, match=rf"known of market/daily_bars at the cut-off of session {DECIDED} breaks"):
        Deliveries(log, NO_ACTIONS, UNIVERSE).prices(DECIDED, EVENING.lazy())
