"""The closed sets of names that assets may use. Does not belong here: anything computed."""

from __future__ import annotations

from typing import Literal, get_args

Group = Literal["raw", "market", "features", "models", "signals", "trading", "reports"]
Compute = Literal["airbyte", "polars", "scikitlearn", "mlflow", "jinja"]
Storage = Literal["parquet"]

GROUPS: tuple[str, ...] = get_args(Group)
COMPUTES: tuple[str, ...] = get_args(Compute)
STORAGES: tuple[str, ...] = get_args(Storage)

OWNERS: dict[str, str] = {
    "raw": "team:ingestion",
    "market": "team:market-data",
    "features": "team:research",
    "models": "team:research",
    "signals": "team:research",
    "trading": "team:trading",
    "reports": "team:desk",
}
"""The one owner of each group."""
