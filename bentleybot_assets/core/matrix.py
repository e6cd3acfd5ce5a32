"""Model input: each feature as its rank among the members of the universe (table ``features/matrix``).

Belongs here: who is compared with whom, and how. Does not belong here: computing a feature (``core.technical``).
"""

from __future__ import annotations

import hashlib

import polars as pl

from bentleybot_assets.contracts.features import Matrix
from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.core._frames import require_sorted

FEATURES = (
    "return_1d",
    "return_5d",
    "return_21d",
    "return_63d",
    "return_126d",
    "return_252d",
    "momentum_12_1",
    "rsi_14",
    "macd_histogram",
    "atr_14",
    "bollinger_b",
    "adx_14",
    "ma_50_gap",
    "ma_200_gap",
    "volume_z",
)
"""Features that can be compared between instruments: OBV and the MACD line cannot, or say the same twice."""

ARITHMETIC_VERSION = 1
"""Raise it with every change to how a feature or its rank is computed."""

FEATURE_VERSION = hashlib.sha256(f"{ARITHMETIC_VERSION}:{','.join(FEATURES)}".encode()).hexdigest()[:12]
"""Names a set of feature definitions; a model is only served features of the version it was trained on."""

_WARMED_UP = "return_252d"
"""Has the longest window: with it, every feature that an instrument can have has a value."""


def matrix(technical: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Rank each feature within each session; columns of contract ``features/matrix``.

    A row takes part if its instrument is tradable, a member of the universe at that session, past its warm-up,
    and known by the session's cut-off: what is known later would have changed the ranks of all others.
    The rank, averaged over ties, is scaled to -0.5 (lowest) to 0.5 (highest); a lone value gets 0.0; null stays
    null and is ranked against nobody. Ranking is the winsorising: an extreme value counts no more than being first.

    Args:
        technical: contract ``features/technical``, sorted by symbol and session.
        instruments: contract ``market/instruments``; the memberships of a symbol must not overlap.

    Raises:
        ValueError: the features are not sorted by symbol and session.
    """
    require_sorted(technical, ("symbol", "session"), "features/technical")
    warmed_up = technical.filter(pl.col(_WARMED_UP).is_not_null())
    days = warmed_up["session"].unique()
    cut_offs = pl.DataFrame(
        {"session": days, "cut_off": [cut_off(day) for day in days]},
        schema={"session": pl.Date, "cut_off": technical.schema["available_at"]},
    )
    memberships = instruments.filter("is_tradable").select("symbol", "valid_from", "valid_to")

    is_member = pl.col("session").is_between("valid_from", pl.col("valid_to").fill_null(pl.col("session")))
    is_known = pl.col("available_at") <= pl.col("cut_off")
    features = pl.col(FEATURES)
    return (
        warmed_up.lazy()
        .join(memberships.lazy(), on="symbol")
        .join(cut_offs.lazy(), on="session")
        .filter(is_member & is_known)
        .select(
            "symbol",
            "session",
            pl.col("available_at").max().over("session"),
            features.rank("average").over("session"),
            features.count().over("session").name.prefix("count_"),
            member_count=pl.len().over("session").cast(pl.Int64),
            feature_version=pl.lit(FEATURE_VERSION),
        )
        .with_columns(_scaled(pl.col(name), pl.col(f"count_{name}")) for name in FEATURES)
        .select(Matrix.polars_schema().keys())
        .sort("symbol", "session")
        .collect()
    )


def _scaled(rank: pl.Expr, count: pl.Expr) -> pl.Expr:
    """Rank 1 to ``count`` as -0.5 to 0.5; the 0 / 0 of a lone value is the middle."""
    return ((rank - 1) / (count - 1)).fill_nan(0.5) - 0.5
