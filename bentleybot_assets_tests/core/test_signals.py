"""A ranking becomes BUY, HOLD or SELL, and each signal says why."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.contracts.models import ReturnForecaster
from bentleybot_assets.contracts.signals import Forecasts, TradingSignals
from bentleybot_assets.core.signals import explain, trading_signals

SESSION = date(2022, 12, 28)
CHAMPION, CHALLENGER = "c" * 16, "d" * 16
COSTS = {"equity": 5.0, "etf": 3.0}


def instruments(**asset_classes: str) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol,
            "valid_from": date(2000, 1, 3),
            "valid_to": None,
            "name": symbol,
            "asset_class": asset_class,
            "sector": "Any",
            "currency": "USD",
            "exchange": "XNYS",
            "is_tradable": asset_class != "index",
            "is_close_only": True,
        }
        for symbol, asset_class in asset_classes.items()
    ]
    return pl.DataFrame(rows, schema=Instruments.polars_schema())


def forecasts(version: str = CHAMPION, **percentiles: float | None) -> pl.DataFrame:
    rows = [
        {
            "model_version": version,
            "symbol": symbol,
            "session": SESSION,
            "algorithm": "ridge" if version == CHAMPION else "momentum",
            "score": percentile,
            "percentile": percentile,
            "is_champion": version == CHAMPION,
        }
        for symbol, percentile in percentiles.items()
    ]
    return pl.DataFrame(rows, schema=Forecasts.polars_schema())


def versions(*, has_edge: bool) -> pl.DataFrame:
    rows = [
        {
            "model_version": version,
            "algorithm": algorithm,
            "serves_from": date(2022, 1, 3),
            "serves_to": date(2022, 12, 30),
            "train_start": date(2014, 1, 2),
            "train_end": date(2021, 12, 2),
            "horizon_sessions": 20,
            "training_rows": 1000,
            "features": "a,b",
            "parameters": "{}",
            "evidence_sessions": 500,
            "evidence_rank_ic": 0.02,
            "evidence_rank_ic_t": 2.1,
            "evidence_excess_return": 0.01,
            "is_champion": version == CHAMPION,
            "has_edge": has_edge if version == CHAMPION else not has_edge,
        }
        for version, algorithm in ((CHAMPION, "ridge"), (CHALLENGER, "momentum"))
    ]
    return pl.DataFrame(rows, schema=ReturnForecaster.polars_schema())


RANKS = {"AAA": 1.0, "BBB": 0.7, "CCC": 0.6999, "DDD": 0.4001, "EEE": 0.4, "FFF": 0.0}
STOCKS = instruments(**dict.fromkeys(RANKS, "equity"))


def test_the_percentile_decides_and_the_thresholds_belong_to_the_action() -> None:
    signals = trading_signals(forecasts(**RANKS), STOCKS, versions(has_edge=True), costs_bps=COSTS)
    TradingSignals.to_schema().validate(signals)
    assert signals["action"].to_list() == ["BUY", "BUY", "HOLD", "HOLD", "SELL", "SELL"]
    assert signals["confidence"].to_list() == pytest.approx([1.0, 0.4, 0.3998, 0.1998, 0.2, 1.0])
    assert signals["reasons"].to_list() == [
        "RANK_TOP_30,CHAMPION_RIDGE",
        "RANK_TOP_30,CHAMPION_RIDGE",
        "RANK_MIDDLE,CHAMPION_RIDGE",
        "RANK_MIDDLE,CHAMPION_RIDGE",
        "RANK_BOTTOM_40,CHAMPION_RIDGE",
        "RANK_BOTTOM_40,CHAMPION_RIDGE",
    ]


def test_without_an_edge_every_member_is_bought_and_the_signal_says_so() -> None:
    signals = trading_signals(forecasts(**RANKS), STOCKS, versions(has_edge=False), costs_bps=COSTS)
    TradingSignals.to_schema().validate(signals)
    assert signals["action"].to_list() == ["BUY"] * 6
    assert signals["confidence"].to_list() == [0.0] * 6
    assert set(signals["reasons"]) == {"NO_EDGE,CHAMPION_RIDGE"}
    assert signals["percentile"].to_list() == list(RANKS.values())


def test_the_expected_cost_is_the_round_trip_of_the_asset_class() -> None:
    members = instruments(AAA="equity", BBB="etf")
    signals = trading_signals(forecasts(AAA=1.0, BBB=0.0), members, versions(has_edge=True), costs_bps=COSTS)
    assert signals["expected_cost_bps"].to_list() == [10.0, 6.0]


def test_challengers_decide_nothing() -> None:
    both = pl.concat([forecasts(**RANKS), forecasts(CHALLENGER, **dict.fromkeys(RANKS, 0.5))])
    alone = trading_signals(forecasts(**RANKS), STOCKS, versions(has_edge=True), costs_bps=COSTS)
    assert trading_signals(both, STOCKS, versions(has_edge=True), costs_bps=COSTS).equals(alone)


def test_other_thresholds_show_in_the_reasons() -> None:
    signals = trading_signals(
        forecasts(**RANKS), STOCKS, versions(has_edge=True), costs_bps=COSTS, buy_at=0.875, sell_at=0.2
    )
    assert signals["action"].to_list() == ["BUY", "HOLD", "HOLD", "HOLD", "HOLD", "SELL"]
    assert signals["reasons"][0].startswith("RANK_TOP_12.5,")
    assert signals["reasons"][-1].startswith("RANK_BOTTOM_20,")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.booleans())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_every_reason_can_be_said_in_plain_words(percentiles: list[float], has_edge: bool) -> None:  # noqa: FBT001
    ranks = {f"S{number}": percentile for number, percentile in enumerate(percentiles)}
    members = instruments(**dict.fromkeys(ranks, "equity"))
    signals = trading_signals(forecasts(**ranks), members, versions(has_edge=has_edge), costs_bps=COSTS)
    for reasons in signals["reasons"]:
        assert all(len(explain(reason)) > 20 for reason in reasons.split(","))


def test_a_reason_is_explained_with_its_number() -> None:
    assert explain("RANK_TOP_12.5") == "The champion ranks it in the top 12.5 % of the universe"


def test_an_unknown_reason_is_not_explained_away() -> None:
    with pytest.raises(ValueError, match="'RANK_TOP_' is no reason code"):
        explain("RANK_TOP_")


@pytest.mark.parametrize("percentile", [float("nan"), None, 1.5, -0.1])
def test_a_member_without_a_rank_is_named_and_not_bought(percentile: float | None) -> None:
    with pytest.raises(ValueError, match=rf"ranks BBB at percentile {str(percentile).replace('.', '.')} in session"):
        trading_signals(
            forecasts(AAA=0.1, BBB=percentile),
            instruments(AAA="equity", BBB="equity"),
            versions(has_edge=True),
            costs_bps=COSTS,
        )


def test_two_champions_are_refused() -> None:
    two = pl.concat([forecasts(AAA=0.1), forecasts(AAA=0.1).with_columns(model_version=pl.lit("e" * 16))])
    with pytest.raises(ValueError, match="names 2 champions in session 2022-12-28: cccccccccccccccc, eeeeeeeeeeeeeeee"):
        trading_signals(two, STOCKS, versions(has_edge=True), costs_bps=COSTS)


def test_a_session_without_a_champion_is_refused() -> None:
    with pytest.raises(ValueError, match="The champion's forecasts must be of one session, but hold none"):
        trading_signals(forecasts(CHALLENGER, **RANKS), STOCKS, versions(has_edge=True), costs_bps=COSTS)


def test_a_champion_that_no_version_describes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Champion c{16} of session 2022-12-28 is not in models/return_forecaster"):
        trading_signals(forecasts(**RANKS), STOCKS, versions(has_edge=True).clear(), costs_bps=COSTS)


def test_sessions_are_decided_one_at_a_time() -> None:
    two = pl.concat([forecasts(AAA=0.1), forecasts(AAA=0.1).with_columns(session=date(2022, 12, 29))])
    with pytest.raises(ValueError, match="of one session, but hold 2022-12-28, 2022-12-29"):
        trading_signals(two, STOCKS, versions(has_edge=True), costs_bps=COSTS)


@pytest.mark.parametrize(
    "members",
    [
        instruments(AAA="equity"),
        instruments(AAA="equity", BBB="index"),
        instruments(AAA="equity", BBB="equity").with_columns(valid_to=date(2022, 12, 27)),
        instruments(AAA="equity", BBB="equity").with_columns(valid_from=date(2022, 12, 29)),
    ],
    ids=["unknown", "index", "left", "not yet a member"],
)
def test_a_symbol_that_is_no_tradable_member_is_named(members: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"(AAA|BBB) is not a tradable member of market/instruments at session"):
        trading_signals(forecasts(AAA=0.1, BBB=0.9), members, versions(has_edge=True), costs_bps=COSTS)


def test_an_instrument_on_its_last_session_is_still_decided() -> None:
    leaving = instruments(AAA="equity").with_columns(valid_to=pl.lit(SESSION))
    assert len(trading_signals(forecasts(AAA=0.1), leaving, versions(has_edge=True), costs_bps=COSTS)) == 1


def test_an_asset_class_without_a_cost_is_named() -> None:
    with pytest.raises(ValueError, match="no cost for asset class etf of AAA, only for equity"):
        trading_signals(forecasts(AAA=0.1), instruments(AAA="etf"), versions(has_edge=True), costs_bps={"equity": 5.0})


@pytest.mark.parametrize(("buy_at", "sell_at"), [(0.4, 0.4), (0.3, 0.7), (1.2, 0.4), (0.7, -0.1)])
def test_thresholds_that_cross_or_leave_the_scale_are_refused(buy_at: float, sell_at: float) -> None:
    with pytest.raises(ValueError, match="0 <= sell_at < buy_at <= 1"):
        trading_signals(
            forecasts(**RANKS), STOCKS, versions(has_edge=True), costs_bps=COSTS, buy_at=buy_at, sell_at=sell_at
        )
