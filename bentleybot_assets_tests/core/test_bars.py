"""From delivered bars to bars that can be trusted."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.sessions import close_at
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets_tests.core.truncation import changed_by_the_future
from bentleybot_assets_tests.scenario import (
    SESSIONS,
    SYMBOLS,
    as_delivered,
    corporate_actions,
    instruments_for,
    raw_bars,
    recorded_bars,
)

UNIVERSE = instruments_for(SYMBOLS)
NO_ACTIONS = corporate_actions()
PRICES = ("open", "high", "low", "close")
YEAR = SESSIONS[:250]
LATER = datetime(2020, 1, 1, tzinfo=UTC)


def changed(bars: pl.DataFrame, symbol: str, session: date, /, **values: Any) -> pl.DataFrame:
    """The bars with one of them altered."""
    is_it = (pl.col("symbol") == symbol) & (pl.col("session") == session)
    return bars.with_columns(
        pl.when(is_it).then(pl.lit(value, dtype=bars.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def table_bytes(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.rechunk().write_parquet(buffer)
    return buffer.getvalue()


# What is delivered


def test_split_adjusted_bars_are_taken_as_they_are() -> None:
    raw = raw_bars(sessions=YEAR)
    table = daily_bars(raw, NO_ACTIONS, UNIVERSE)
    same = ["symbol", "session", *PRICES, "volume", "currency", "event_at", "available_at", "fetched_at", "source"]
    assert table.select(same).equals(raw.select(same))
    assert table["mark_price"].equals(raw["close"].alias("mark_price"))
    assert table["price_source"].unique().to_list() == ["split_adjusted_close"]
    assert audit(DailyBars, table).passed


def test_fully_adjusted_bars_keep_their_close_as_mark_price_only() -> None:
    raw = raw_bars(["AAA"], YEAR).with_columns(price_basis=pl.lit("fully_adjusted"))
    dividend = corporate_actions(("AAA", YEAR[100], "dividend", 5.0), ("AAA", YEAR[120], "split", 2.0))
    table = daily_bars(raw, dividend, UNIVERSE)
    assert table.select(*PRICES, "volume").null_count().row(0) == (250,) * 5
    assert table["mark_price"].equals(raw["close"].alias("mark_price"))
    assert table["price_source"].unique().to_list() == ["fully_adjusted_close"]
    expected = (raw["close"] / raw["close"].shift(1) - 1).to_numpy()
    np.testing.assert_allclose(table["total_return"].to_numpy(), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(table["total_return_close"].to_numpy(), raw["close"].to_numpy(), rtol=1e-12)
    assert audit(DailyBars, table).passed


def test_fund_with_only_a_price_is_close_only_and_earns_its_dividends() -> None:
    nothing = dict.fromkeys(("open", "high", "low", "volume"), pl.lit(None, dtype=pl.Float64))
    raw = raw_bars(["AAA"], YEAR, price_basis="unadjusted").with_columns(**nothing, close=pl.lit(100.0))
    dividend = corporate_actions(("AAA", YEAR[100], "dividend", 1.0))
    table = daily_bars(raw, dividend, instruments_for(["AAA"], is_close_only=True))
    assert table["close"].null_count() == 250
    assert table["mark_price"].unique().to_list() == [100.0]
    assert table["total_return_close"][-1] == pytest.approx(101.0, rel=1e-12)


def test_symbols_that_are_not_followed_are_left_out() -> None:
    table = daily_bars(raw_bars(sessions=YEAR), NO_ACTIONS, instruments_for(["BBB"]))
    assert table["symbol"].unique().to_list() == ["BBB"]


def test_instrument_with_two_memberships_has_its_bars_once() -> None:
    twice = pl.concat([UNIVERSE, instruments_for(["AAA"], valid_from=YEAR[200])])
    assert daily_bars(raw_bars(sessions=YEAR), NO_ACTIONS, twice).height == 3 * 250


def test_nothing_delivered_gives_an_empty_table() -> None:
    assert daily_bars(raw_bars().clear(), NO_ACTIONS, UNIVERSE).equals(DailyBars.empty_frame())


# Which delivery counts


def test_late_redelivery_wins_in_any_order() -> None:
    raw = raw_bars(sessions=YEAR)
    corrected = changed(raw, "BBB", YEAR[50], volume=123.0).filter(symbol="BBB", session=YEAR[50])
    corrected = corrected.with_columns(fetched_at=pl.lit(LATER))
    for log in (pl.concat([raw, corrected]), pl.concat([corrected, raw])):
        row = daily_bars(log, NO_ACTIONS, UNIVERSE).filter(symbol="BBB", session=YEAR[50])
        assert row.select("volume", "fetched_at").row(0) == (123.0, LATER)


def test_sync_that_delivers_everything_again_changes_nothing() -> None:
    raw = raw_bars(sessions=YEAR)
    again = raw.with_columns(fetched_at=pl.lit(LATER), available_at=pl.lit(LATER), is_modelled=pl.lit(value=False))
    actions = corporate_actions(("AAA", YEAR[100], "dividend", 1.0))
    once = daily_bars(raw, actions, UNIVERSE)
    actions_again = pl.concat([actions, actions.with_columns(fetched_at=pl.lit(LATER))])
    assert table_bytes(daily_bars(pl.concat([raw, again]), actions_again, UNIVERSE)) == table_bytes(once)


def test_different_bars_of_one_fetch_both_stay_and_condemn_the_table() -> None:
    raw = raw_bars(sessions=YEAR)
    other = changed(raw, "BBB", YEAR[50], volume=123.0).filter(symbol="BBB", session=YEAR[50])
    table = daily_bars(pl.concat([raw, other]), NO_ACTIONS, UNIVERSE)
    assert table.height == 3 * 250 + 1
    (fault,) = audit(DailyBars, table).faults
    assert fault.rule == "one_row_per_key"
    assert f"symbol=BBB, session={YEAR[50]}" in fault.message


@settings(derandomize=True, deadline=None, max_examples=15)
@given(data=st.data())
def test_order_and_repetition_of_deliveries_do_not_change_a_byte(data: st.DataObject) -> None:
    raw = raw_bars(sessions=YEAR[:80], price_basis="unadjusted")
    bad = changed(raw, "AAA", YEAR[7], close=float("nan")).filter(symbol="AAA", session=YEAR[7])
    corrected = changed(raw, "CCC", YEAR[9], volume=5.0).filter(symbol="CCC", session=YEAR[9])
    clash = changed(raw, "BBB", YEAR[11], volume=6.0).filter(symbol="BBB", session=YEAR[11])
    log = pl.concat([raw, *(frame.with_columns(fetched_at=pl.lit(LATER)) for frame in (bad, corrected)), clash])
    actions = corporate_actions(
        ("AAA", YEAR[20], "dividend", 0.5), ("AAA", YEAR[20], "split", 2.0), ("BBB", YEAR[30], "dividend", 0.3)
    )
    seed = data.draw(st.integers(0, 2**16))
    repeated = data.draw(st.lists(st.integers(0, log.height - 1), max_size=30))
    shuffled = pl.concat([log, log[repeated]]).sample(fraction=1, shuffle=True, seed=seed)
    actions_shuffled = pl.concat([actions, actions]).sample(fraction=1, shuffle=True, seed=seed)
    expected = table_bytes(daily_bars(log, actions, UNIVERSE))
    assert table_bytes(daily_bars(shuffled, actions_shuffled, UNIVERSE.reverse())) == expected


# Splits and dividends


def test_total_return_of_ibm_equals_its_recorded_adjusted_close() -> None:
    recorded = recorded_bars("IBM").filter(pl.col("session") >= date(2012, 1, 3))
    declared = [
        (date(2012, 2, 8), 0.75),
        (date(2012, 5, 8), 0.85),
        (date(2012, 8, 8), 0.85),
        (date(2012, 11, 7), 0.85),
        (date(2013, 2, 6), 0.85),
    ]
    actions = corporate_actions(*(("IBM", day, "dividend", value) for day, value in declared))
    table = daily_bars(as_delivered(recorded, price_basis="unadjusted"), actions, instruments_for(["IBM"]))
    expected = recorded["adjusted_close"] / recorded["adjusted_close"].shift(1) - 1
    np.testing.assert_allclose(table["total_return"].to_numpy(), expected.to_numpy(), rtol=0, atol=1e-9)
    growth = recorded["adjusted_close"] / recorded["adjusted_close"][0] * recorded["close"][0]
    np.testing.assert_allclose(table["total_return_close"].to_numpy(), growth.to_numpy(), rtol=1e-9)


def test_apples_split_of_2005_leaves_its_recorded_adjusted_return() -> None:
    recorded = recorded_bars("AAPL").filter(pl.col("session").is_between(date(2004, 6, 1), date(2005, 12, 30)))
    split = corporate_actions(("AAPL", date(2005, 2, 28), "split", 2.0))
    table = daily_bars(as_delivered(recorded, price_basis="unadjusted"), split, instruments_for(["AAPL"]))
    expected = recorded["adjusted_close"] / recorded["adjusted_close"].shift(1) - 1
    np.testing.assert_allclose(table["total_return"].to_numpy(), expected.to_numpy(), rtol=0, atol=1e-9)
    is_before = recorded["session"] < date(2005, 2, 28)
    for name, factor in {"close": 0.5, "high": 0.5, "volume": 2.0}.items():
        assert table[name].filter(is_before).equals(recorded[name].filter(is_before) * factor)
        assert table[name].filter(~is_before).equals(recorded[name].filter(~is_before))
    assert not table["is_outlier"].any()


def flat(price: float, split_at: int, ratio: float) -> pl.DataFrame:
    """Unadjusted bars at one price that a split divides."""
    before = pl.col("session") < YEAR[split_at]
    return raw_bars(["AAA"], YEAR, price_basis="unadjusted").with_columns(
        *(pl.when(before).then(price).otherwise(price / ratio).alias(name) for name in PRICES),
        volume=pl.when(before).then(100.0).otherwise(100.0 * ratio),
    )


def test_four_for_one_split_is_neither_gain_nor_loss() -> None:
    table = daily_bars(flat(400.0, 100, 4), corporate_actions(("AAA", YEAR[100], "split", 4.0)), UNIVERSE)
    assert table["total_return"].drop_nulls().unique().to_list() == [0.0]
    assert table["mark_price"].unique().to_list() == table["total_return_close"].unique().to_list() == [100.0]
    assert table["volume"].unique().to_list() == [400.0]


def test_successive_splits_multiply_and_a_reverse_split_divides() -> None:
    prices = [600.0] * 80 + [300.0] * 20 + [100.0] * 50 + [1000.0] * 100
    raw = raw_bars(["AAA"], YEAR, price_basis="unadjusted").with_columns(pl.Series(name, prices) for name in PRICES)
    actions = corporate_actions(
        ("AAA", YEAR[80], "split", 2.0), ("AAA", YEAR[100], "split", 3.0), ("AAA", YEAR[150], "split", 0.1)
    )
    table = daily_bars(raw, actions, UNIVERSE)
    np.testing.assert_allclose(table["mark_price"].to_numpy(), 1000.0, rtol=1e-12)
    np.testing.assert_allclose(table["total_return"].to_numpy()[1:], 0.0, atol=1e-12)


def test_announced_split_does_not_touch_bars_before_it() -> None:
    raw = flat(400.0, 249, 1)
    announced = corporate_actions(("AAA", SESSIONS[300], "split", 4.0))
    assert daily_bars(raw, announced, UNIVERSE)["mark_price"].unique().to_list() == [400.0]


def test_bars_fetched_before_and_after_a_split_join_without_a_break() -> None:
    """A source that adjusts for splits knows, when asked, only those until then."""
    adjusted = flat(400.0, 100, 4).with_columns(price_basis=pl.lit("split_adjusted"))
    before = adjusted.filter(pl.col("session") < YEAR[100]).with_columns(fetched_at=close_at(YEAR[99]))
    after = adjusted.filter(pl.col("session") >= YEAR[100])
    actions = corporate_actions(("AAA", YEAR[100], "split", 4.0))
    table = daily_bars(pl.concat([before, after]), actions, UNIVERSE)
    assert table["mark_price"].unique().to_list() == [100.0]
    assert table["volume"].unique().to_list() == [400.0]
    again = adjusted.with_columns(*(pl.lit(100.0).alias(name) for name in PRICES), volume=pl.lit(400.0))
    assert daily_bars(again, actions, UNIVERSE).select("mark_price").equals(table.select("mark_price"))


@pytest.mark.parametrize("fetched_on", [60, 249])
def test_dividend_follows_the_splits_after_it_was_fetched(fetched_on: int) -> None:
    """2.00 a share before a 4:1 split, delivered as such before the split and as 0.50 after it."""
    value = 2.0 if fetched_on < 100 else 0.5
    dividend = corporate_actions(("AAA", YEAR[50], "dividend", value), fetched_at=close_at(YEAR[fetched_on]))
    split = corporate_actions(("AAA", YEAR[100], "split", 4.0))
    table = daily_bars(flat(400.0, 100, 4), pl.concat([dividend, split]), UNIVERSE)
    assert table["total_return"][50] == pytest.approx(0.005, abs=1e-15)
    assert table["total_return"].drop_nulls().sum() == pytest.approx(0.005, abs=1e-15)


def test_dividend_belongs_to_the_first_bar_on_or_after_its_ex_date() -> None:
    raw = flat(100.0, 249, 1).filter(pl.col("session") != YEAR[50])
    paid = corporate_actions(("AAA", YEAR[50], "dividend", 1.0), ("AAA", YEAR[51], "dividend", 2.0))
    table = daily_bars(raw, paid, UNIVERSE)
    assert table.filter(session=YEAR[51])["total_return"].item() == pytest.approx(0.03, abs=1e-15)
    assert table["total_return_close"][-1] == pytest.approx(103.0, rel=1e-12)


def test_actions_before_the_first_and_after_the_last_bar_have_no_effect() -> None:
    outside = corporate_actions(
        ("AAA", YEAR[0] - timedelta(days=9), "dividend", 1.0),
        ("AAA", YEAR[0], "dividend", 1.0),
        ("AAA", SESSIONS[300], "dividend", 1.0),
    )
    raw = raw_bars(["AAA"], YEAR)
    assert daily_bars(raw, outside, UNIVERSE).equals(daily_bars(raw, NO_ACTIONS, UNIVERSE))


def test_index_starts_at_the_first_price_and_compounds_forward() -> None:
    paid = corporate_actions(("AAA", YEAR[50], "dividend", 1.0))
    table = daily_bars(raw_bars(["AAA"], YEAR), paid, UNIVERSE)
    assert table["total_return"].null_count() == 1
    assert table["total_return_close"][0] == table["mark_price"][0]
    growth = (1 + table["total_return"].fill_null(0)).cum_prod() * table["mark_price"][0]
    np.testing.assert_allclose(table["total_return_close"].to_numpy(), growth.to_numpy(), rtol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.sampled_from(YEAR[70:]), min_size=2, max_size=2))
def test_later_bars_and_dividends_change_no_earlier_row(seed: int, cuts: list[date]) -> None:
    paid = corporate_actions(*(("AAA", day, "dividend", 0.4) for day in YEAR[30::40]))

    def compute(raw: pl.DataFrame) -> pl.DataFrame:
        return daily_bars(raw, paid.filter(pl.col("ex_date") <= raw["session"].max()), UNIVERSE)

    assert changed_by_the_future(compute, raw_bars(sessions=YEAR, seed=seed, price_basis="unadjusted"), cuts) == {}


def test_later_split_changes_levels_but_no_earlier_return() -> None:
    split = corporate_actions(("AAA", YEAR[100], "split", 3.0))
    raw = flat(300.0, 100, 3).with_columns(pl.col(PRICES) * (1 + pl.int_range(pl.len()) % 7 / 100))
    then = daily_bars(raw.head(90), split, UNIVERSE)
    now = daily_bars(raw, split, UNIVERSE).head(90)
    np.testing.assert_allclose(now["total_return"].to_numpy(), then["total_return"].to_numpy(), atol=1e-12)
    np.testing.assert_allclose(now["mark_price"].to_numpy() * 3, then["mark_price"].to_numpy(), rtol=1e-12)


# Outliers


def with_jump(at: int, factor: float) -> pl.DataFrame:
    later = pl.col("session") >= YEAR[at]
    return raw_bars(["AAA"], YEAR).with_columns(
        pl.when(later).then(pl.col(name) * factor).otherwise(name).alias(name) for name in PRICES
    )


def outliers(raw: pl.DataFrame, actions: pl.DataFrame = NO_ACTIONS) -> list[date]:
    return daily_bars(raw, actions, UNIVERSE).filter("is_outlier")["session"].to_list()


def test_jump_is_flagged_and_kept() -> None:
    assert outliers(with_jump(100, 1.4)) == [YEAR[100]]
    assert daily_bars(with_jump(100, 1.4), NO_ACTIONS, UNIVERSE).height == 250


def test_ordinary_returns_are_not_flagged() -> None:
    assert outliers(raw_bars(sessions=YEAR)) == []


def test_jump_is_judged_by_the_63_returns_before_it() -> None:
    assert outliers(with_jump(64, 1.4)) == [YEAR[64]]
    assert outliers(with_jump(63, 1.4)) == []


@pytest.mark.parametrize("deviations", [7.9, 8.1])
def test_flag_begins_beyond_eight_deviations(deviations: float) -> None:
    raw = raw_bars(["AAA"], YEAR)
    returns = (raw["close"] / raw["close"].shift(1) - 1).to_numpy()
    wanted = deviations * np.std(returns[37:100], ddof=1)
    jumped = with_jump(100, (1 + wanted) / (1 + returns[100]))
    assert outliers(jumped) == ([YEAR[100]] if deviations > 8 else [])


def test_jump_with_a_corporate_action_is_not_flagged() -> None:
    assert outliers(with_jump(100, 0.6), corporate_actions(("AAA", YEAR[100], "dividend", 0.01))) == []
    unadjusted = with_jump(100, 0.25).with_columns(price_basis=pl.lit("unadjusted"))
    assert outliers(unadjusted) == [YEAR[100]]
    assert outliers(unadjusted, corporate_actions(("AAA", YEAR[100], "split", 4.0))) == []


# Bad rows

SATURDAY = date(2018, 6, 9)
BAD: dict[str, dict[str, Any]] = {
    # The first column is the one to be blamed.
    "a NaN close": {"close": float("nan")},
    "a missing close": {"mark_price": None, "close": None},
    "a zero price": {"low": 0.0},
    "a negative price": {"close": -5.0},
    "an infinite volume": {"volume": float("inf")},
    "a high below the low": {"high": 1.0},
    "a close outside the range": {"close": 1000.0},
    "a session that is none": {"session": SATURDAY},
    "a bar from the future": {"session": date(2031, 6, 10), "event_at": datetime(2031, 6, 10, 20, tzinfo=UTC)},
}


@pytest.mark.parametrize("price_basis", ["split_adjusted", "unadjusted"])
@pytest.mark.parametrize("fault", BAD)
def test_bad_row_passes_through_as_delivered_and_touches_no_good_row(fault: str, price_basis: str) -> None:
    raw = raw_bars(sessions=YEAR, price_basis=price_basis)
    bad_session = BAD[fault].get("session", YEAR[110])
    delivered = changed(raw, "BBB", YEAR[110], **{name: BAD[fault][name] for name in BAD[fault] if name in raw.columns})
    actions = corporate_actions(("BBB", YEAR[200], "split", 2.0), ("BBB", YEAR[110], "dividend", 0.5))
    table = daily_bars(delivered, actions, UNIVERSE)
    is_bad = (pl.col("symbol") == "BBB") & (pl.col("session") == bad_session)

    without = raw.filter((pl.col("symbol") != "BBB") | (pl.col("session") != YEAR[110]))
    assert table.filter(~is_bad).equals(daily_bars(without, actions, UNIVERSE))
    values = [*PRICES, "volume"]
    assert table.filter(is_bad).select(values).equals(delivered.filter(is_bad).select(values))

    verdict = audit(DailyBars, table)
    assert verdict.passed
    assert verdict.quarantined_rows == 1
    blamed = set(verdict.quarantined["column"])
    assert next(iter(BAD[fault])) in blamed
    assert "total_return_close" not in blamed
    assert verdict.quarantined["row_key"].unique().to_list() == [f"symbol=BBB, session={bad_session}"]


def test_bad_first_bar_does_not_start_the_index() -> None:
    raw = raw_bars(["AAA"], YEAR)
    table = daily_bars(changed(raw, "AAA", YEAR[0], high=1.0), NO_ACTIONS, UNIVERSE)
    assert table["total_return"][1] is None
    assert table["total_return_close"][1] == table["mark_price"][1]


# What cannot be computed


def test_instrument_that_mixes_price_bases_is_refused() -> None:
    raw = pl.concat([raw_bars(["AAA"], YEAR[:100], price_basis="fully_adjusted"), raw_bars(["AAA"], YEAR).tail(-100)])
    with pytest.raises(ValueError, match=f"AAA changes to split_adjusted_close at {YEAR[100]}.*one price basis"):
        daily_bars(raw, NO_ACTIONS, UNIVERSE)


@pytest.mark.parametrize("action", ["split", "dividend"])
@pytest.mark.parametrize("value", [0.0, -1.0, None, float("nan"), float("inf")])
def test_action_without_a_positive_value_is_refused(action: str, value: float | None) -> None:
    wrong = corporate_actions(("AAA", YEAR[10], action, value))
    with pytest.raises(ValueError, match=rf"{action} of AAA with ex_date {YEAR[10]} from scenario has value"):
        daily_bars(raw_bars(sessions=YEAR), wrong, UNIVERSE)


def test_action_with_two_values_is_refused_until_one_is_delivered_later() -> None:
    ambiguous = corporate_actions(("AAA", YEAR[10], "split", 2.0), ("AAA", YEAR[10], "split", 3.0))
    with pytest.raises(ValueError, match=r"has value 2\.0 and 3\.0; it should be one positive number"):
        daily_bars(raw_bars(sessions=YEAR), ambiguous, UNIVERSE)
    settled = pl.concat([ambiguous, corporate_actions(("AAA", YEAR[10], "split", 3.0), fetched_at=LATER)])
    assert audit(DailyBars, daily_bars(raw_bars(sessions=YEAR), settled, UNIVERSE)).passed


def test_dividend_in_a_foreign_currency_is_refused() -> None:
    foreign = corporate_actions(("AAA", YEAR[10], "dividend", 1.0)).with_columns(currency=pl.lit("EUR"))
    with pytest.raises(ValueError, match=r"dividend of AAA.*is in EUR, but its prices are in USD"):
        daily_bars(raw_bars(sessions=YEAR), foreign, UNIVERSE)


def test_wrong_action_of_a_symbol_nobody_follows_does_not_matter() -> None:
    wrong = corporate_actions(("ZZZ", YEAR[10], "split", -1.0))
    assert daily_bars(raw_bars(sessions=YEAR), wrong, UNIVERSE).height == 3 * 250


# Knowledge time


def test_a_corrected_bar_is_known_since_its_first_version() -> None:
    raw = raw_bars(sessions=YEAR)
    corrected = changed(raw, "BBB", YEAR[50], volume=123.0).filter(symbol="BBB", session=YEAR[50])
    corrected = corrected.with_columns(fetched_at=pl.lit(LATER), available_at=pl.lit(LATER))
    table = daily_bars(pl.concat([raw, corrected]), NO_ACTIONS, UNIVERSE)
    row = table.filter(symbol="BBB", session=YEAR[50])
    assert row["volume"].item() == 123.0
    assert table["available_at"].equals(raw["available_at"])


def test_a_return_is_not_known_before_the_dividend_in_it() -> None:
    late = close_at(YEAR[60])
    paid = corporate_actions(("AAA", YEAR[50], "dividend", 1.0)).with_columns(available_at=pl.lit(late))
    table = daily_bars(raw_bars(["AAA"], YEAR), paid, UNIVERSE)
    delayed = table.filter(pl.col("available_at") == late)
    assert delayed["session"].to_list() == [YEAR[50]]


@pytest.mark.parametrize(("action", "value"), [("dividend", 5.0), ("split", 2.0)])
def test_an_action_that_moved_to_another_day_counts_once(action: str, value: float) -> None:
    raw = raw_bars(["AAA"], YEAR, price_basis="unadjusted")
    right = corporate_actions(("AAA", YEAR[51], action, value), fetched_at=LATER)
    wrong = corporate_actions(("AAA", YEAR[50], action, value))
    withdrawn = wrong.with_columns(is_withdrawn=pl.lit(value=True), fetched_at=pl.lit(LATER))
    log = pl.concat([wrong, withdrawn, right])
    assert daily_bars(raw, log, UNIVERSE).equals(daily_bars(raw, right, UNIVERSE))
