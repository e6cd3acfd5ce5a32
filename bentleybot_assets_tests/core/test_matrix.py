"""Who is ranked against whom, and how."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.features import Matrix, Technical
from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.matrix import FEATURE_VERSION, FEATURES, matrix
from bentleybot_assets.core.technical import technical
from bentleybot_assets_tests.core.truncation import changed_by_the_future
from bentleybot_assets_tests.scenario import SESSIONS, clean_bars, instruments_for

MEMBERS = ("AAA", "BBB", "CCC", "DDD")
SESSION, NEXT_SESSION = SESSIONS[300], SESSIONS[301]


def features(**rsi_14: float | None) -> pl.DataFrame:
    """A ``features/technical`` of one session in which the instruments differ in RSI and are warmed up."""
    return pl.DataFrame(
        {
            "symbol": sorted(rsi_14),
            "session": SESSION,
            "available_at": cut_off(SESSION) - timedelta(hours=1),
            "return_252d": 0.1,
            "rsi_14": [rsi_14[symbol] for symbol in sorted(rsi_14)],
        }
    ).select(
        (pl.col(name) if name in ("symbol", "session", "available_at", "return_252d", "rsi_14") else pl.lit(None))
        .cast(dtype)
        .alias(name)
        for name, dtype in Technical.polars_schema().items()
    )


def ranks(table: pl.DataFrame, feature: str = "rsi_14") -> dict[str, float | None]:
    return dict(table.select("symbol", feature).iter_rows())


def test_ranks_run_from_minus_to_plus_half() -> None:
    table = matrix(features(AAA=70.0, BBB=10.0, CCC=50.0), instruments_for(MEMBERS))
    assert ranks(table) == {"AAA": 0.5, "BBB": -0.5, "CCC": 0.0}
    assert table["member_count"].to_list() == [3, 3, 3]


def test_ties_share_their_mean_rank() -> None:
    table = matrix(features(AAA=20.0, BBB=10.0, CCC=20.0, DDD=30.0), instruments_for(MEMBERS))
    assert ranks(table) == {"AAA": 0.0, "BBB": -0.5, "CCC": 0.0, "DDD": 0.5}


def test_null_stays_null_and_is_ranked_against_nobody() -> None:
    table = matrix(features(AAA=20.0, BBB=None, CCC=30.0), instruments_for(MEMBERS))
    assert ranks(table) == {"AAA": -0.5, "BBB": None, "CCC": 0.5}
    assert table["member_count"].to_list() == [3, 3, 3]


def test_lone_value_is_in_the_middle() -> None:
    table = matrix(features(AAA=20.0, BBB=None), instruments_for(MEMBERS))
    assert ranks(table) == {"AAA": 0.0, "BBB": None}


def test_feature_that_nobody_has_stays_null() -> None:
    table = matrix(features(AAA=20.0, BBB=30.0), instruments_for(MEMBERS))
    assert table["adx_14"].to_list() == [None, None]
    assert audit(Matrix, table).faults == ()


def test_extreme_value_counts_no_more_than_being_first() -> None:
    calm = matrix(features(AAA=20.0, BBB=30.0, CCC=40.0), instruments_for(MEMBERS))
    wild = matrix(features(AAA=20.0, BBB=30.0, CCC=4e9), instruments_for(MEMBERS))
    assert ranks(calm) == ranks(wild)


def test_index_and_stranger_are_not_ranked() -> None:
    table = matrix(features(AAA=20.0, BBB=10.0, **{"^IDX": 99.0, "ZZZ": 0.0}), instruments_for((*MEMBERS, "^IDX")))
    assert ranks(table) == {"AAA": 0.5, "BBB": -0.5}


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "is_member"),
    [
        (SESSION, None, True),
        (SESSION, SESSION, True),
        (NEXT_SESSION, None, False),
        (SESSIONS[0], SESSIONS[299], False),
    ],
)
def test_membership_lasts_from_valid_from_to_valid_to(
    valid_from: date, valid_to: date | None, *, is_member: bool
) -> None:
    universe = pl.concat([instruments_for(["AAA"]), instruments_for(["BBB"], valid_from=valid_from, valid_to=valid_to)])
    table = matrix(features(AAA=20.0, BBB=10.0), universe)
    assert ("BBB" in table["symbol"]) is is_member


def test_instrument_that_came_back_is_ranked_once() -> None:
    left = instruments_for(["BBB"], valid_to=SESSIONS[100])
    universe = pl.concat([instruments_for(["AAA"]), left, instruments_for(["BBB"], valid_from=SESSIONS[200])])
    assert ranks(matrix(features(AAA=20.0, BBB=10.0), universe)) == {"AAA": 0.5, "BBB": -0.5}


def test_instrument_is_ranked_only_after_its_warm_up() -> None:
    bars = pl.concat([clean_bars(["AAA"]), clean_bars(["BBB"], SESSIONS[50:])])
    table = matrix(technical(bars), instruments_for(MEMBERS))
    first = dict(table.group_by("symbol").agg(pl.col("session").min()).iter_rows())
    assert first == {"AAA": SESSIONS[252], "BBB": SESSIONS[302]}
    counts = table.group_by("session").agg(pl.col("member_count").max()).sort("session")["member_count"]
    assert counts.to_list() == [1] * 50 + [2] * 73


def test_features_known_after_the_cut_off_are_left_out_of_all_ranks() -> None:
    table = features(AAA=20.0, BBB=30.0, CCC=10.0)
    is_late = pl.col("symbol") == "CCC"
    at = pl.col("available_at")
    on_time = table.with_columns(pl.when(is_late).then(cut_off(SESSION)).otherwise(at).alias("available_at"))
    late = on_time.with_columns(at + pl.when(is_late).then(timedelta(seconds=1)).otherwise(timedelta()))
    assert ranks(matrix(late, instruments_for(MEMBERS))) == {"AAA": -0.5, "BBB": 0.5}
    known = matrix(on_time, instruments_for(MEMBERS))
    assert ranks(known) == {"AAA": 0.0, "BBB": 0.5, "CCC": -0.5}
    # A rank is known once the last of the compared values is.
    assert known["available_at"].to_list() == [cut_off(SESSION)] * 3


def test_feature_version_changes_only_on_purpose() -> None:
    """Fails when a feature is added, dropped or reordered: models of the old version must not be served then."""
    assert FEATURE_VERSION == "aff415a1950f"
    assert [name for name in Matrix.polars_schema() if name in FEATURES] == list(FEATURES)


def test_table_keeps_its_contract() -> None:
    table = matrix(technical(clean_bars(MEMBERS)), instruments_for(MEMBERS))
    assert audit(Matrix, table).faults == ()
    assert table["feature_version"].unique().to_list() == [FEATURE_VERSION]


def test_reversed_features_are_rejected() -> None:
    with pytest.raises(ValueError, match="features/technical must be sorted by symbol, session"):
        matrix(technical(clean_bars(MEMBERS)).reverse(), instruments_for(MEMBERS))


def universe_with_changes() -> pl.DataFrame:
    leaver = instruments_for(["DDD"], valid_to=SESSIONS[310])
    return pl.concat([instruments_for(["AAA", "BBB"]), instruments_for(["CCC"], valid_from=SESSIONS[280]), leaver])


def mixed_history(seed: int) -> pl.DataFrame:
    full = clean_bars(["AAA", "BBB"], seed=seed)
    return pl.concat([full, clean_bars(["CCC", "DDD"], seed=seed, price_basis="fully_adjusted")])


@settings(derandomize=True, deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.sampled_from(SESSIONS[255:]), min_size=3, max_size=3))
def test_no_rank_changes_with_what_comes_later(seed: int, cuts: list[date]) -> None:
    def compute(bars: pl.DataFrame) -> pl.DataFrame:
        return matrix(technical(bars), universe_with_changes())

    assert changed_by_the_future(compute, mixed_history(seed), cuts) == {}


def test_ranking_over_all_sessions_is_caught() -> None:
    def compute(bars: pl.DataFrame) -> pl.DataFrame:
        table = technical(bars)
        return matrix(table, instruments_for(MEMBERS)).join(
            table.select("symbol", "session", leak=pl.col("rsi_14").rank()), on=["symbol", "session"]
        )

    assert changed_by_the_future(compute, mixed_history(0), SESSIONS[300:302]).keys() == {"leak"}
