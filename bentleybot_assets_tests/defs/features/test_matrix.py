"""What the matrix' own check finds, and what the asset shows of itself."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.contracts.features import Matrix
from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.core.matrix import FEATURES
from bentleybot_assets.defs.features.matrix import preview, ranks_are_centred

DAYS = (date(2019, 1, 2), date(2019, 1, 3))
RANKS = {"AAA": -0.5, "BBB": 0.0, "CCC": 0.5}
MATRIX = pl.DataFrame(
    [
        {
            "symbol": symbol,
            "session": day,
            "available_at": cut_off(day),
            **dict.fromkeys(FEATURES, rank),
            "adx_14": None,
            "member_count": 3,
            "feature_version": "0123456789ab",
        }
        for symbol, rank in RANKS.items()
        for day in DAYS
    ],
    schema=Matrix.polars_schema(),
)


def test_ranks_that_average_to_zero_pass_and_a_feature_nobody_has_does_too() -> None:
    finding = ranks_are_centred(MATRIX)
    assert finding.passed
    assert finding.evidence == {"features": []}


def test_a_feature_off_centre_at_one_session_is_named() -> None:
    """A second session off centre the other way must not cancel the first."""
    side = pl.when(pl.col("session") == DAYS[0]).then(0.1).otherwise(-0.1)
    finding = ranks_are_centred(MATRIX.with_columns(rsi_14=side))
    assert not finding.passed
    assert finding.evidence == {"features": ["rsi_14"]}


def test_the_preview_shows_the_share_of_rows_that_have_each_feature() -> None:
    shown = preview(MATRIX)
    assert shown["feature_version"] == "0123456789ab"
    assert "3 → 3" in shown["members"].value
    shares = [
        tuple(cell.strip() for cell in row.strip("|").split("|"))
        for row in shown["share_of_rows_with_feature"].value.splitlines()[2:]
    ]
    assert dict(shares) == {name: "0.0000" if name == "adx_14" else "1.0000" for name in FEATURES}
