"""``models/labels``: what the models predict."""

from __future__ import annotations

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.core.labels import BAR_COLUMNS, HORIZONS
from bentleybot_assets.core.labels import labels as compute
from bentleybot_assets.resources.desk import Desk
from bentleybot_assets.wiring.io_manager import COLUMNS
from bentleybot_assets.wiring.tables import Finding, table_asset


def positions_are_entered_after_the_decision(frame: pl.DataFrame) -> Finding:
    """Each label is entered after its decision and left after it was entered."""
    wrong = frame.filter(
        (pl.col("entry_session") <= pl.col("session")) | (pl.col("exit_session") <= pl.col("entry_session"))
    )
    return Finding(wrong.is_empty(), {"labels_that_look_back": wrong.height})


@table_asset(
    Labels,
    kinds={"polars", "parquet"},
    checks=[positions_are_entered_after_the_decision],
    ins={
        "bars": dg.AssetIn(key=["market", "daily_bars"], metadata={COLUMNS: list(BAR_COLUMNS)}),
        "instruments": dg.AssetIn(key=["market", "instruments"]),
    },
)
def labels(bars: pl.DataFrame, instruments: pl.DataFrame, desk: Desk) -> pl.DataFrame:
    """Compute forward returns whose outcome is known."""
    return compute(bars, instruments, horizons=sorted({*HORIZONS, desk.horizon_sessions}))
