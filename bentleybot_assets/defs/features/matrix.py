"""``features/matrix``: the model's input."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.features import Matrix
from bentleybot_assets.core.matrix import FEATURES
from bentleybot_assets.core.matrix import matrix as compute
from bentleybot_assets.wiring import previews
from bentleybot_assets.wiring.tables import Finding, table_asset

_TOLERANCE = 1e-9


def ranks_are_centred(frame: pl.DataFrame) -> Finding:
    """At each session the ranks of a feature average to zero."""
    means = frame.group_by("session").agg(pl.col(FEATURES).mean().abs()).select(FEATURES).max()
    off_centre = [name for name in FEATURES if (means[name].item() or 0.0) > _TOLERANCE]
    return Finding(not off_centre, {"features": off_centre})


def preview(frame: pl.DataFrame) -> dict[str, Any]:
    """Members over time, and the newest rows."""
    members = frame.group_by("session").agg(pl.col("member_count").first()).sort("session")["member_count"]
    return {
        "members": previews.line(members, "Members ranked at each session"),
        "feature_version": frame["feature_version"][0],
        "share_of_rows_with_feature": previews.table(
            frame.select(pl.col(FEATURES).is_not_null().mean()).transpose(
                include_header=True, header_name="feature", column_names=["share"]
            ),
            rows=len(FEATURES),
        ),
    }


@table_asset(
    Matrix,
    kinds={"polars", "parquet"},
    checks=[ranks_are_centred],
    preview=preview,
    ins={
        "technical": dg.AssetIn(key=["features", "technical"]),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
)
def matrix(technical: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Rank each feature among the session's members."""
    return compute(technical, instruments)
