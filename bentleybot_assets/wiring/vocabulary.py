"""The closed sets of names that assets may use. Does not belong here: anything computed."""

from __future__ import annotations

from typing import Literal, get_args

Group = Literal["raw", "market", "features", "models", "signals", "trading", "reports"]
Compute = Literal["airbyte", "polars", "scikitlearn", "mlflow", "jinja"]
Storage = Literal["parquet", "mysql"]

GROUPS: tuple[str, ...] = get_args(Group)
COMPUTES: tuple[str, ...] = get_args(Compute)
STORAGES: tuple[str, ...] = get_args(Storage)

CADENCES: tuple[str, ...] = ("hourly", "daily", "weekly", "monthly", "yearly")
"""How often a job that has a schedule runs. One that is started on demand has none, and names its table instead."""

UNITS: dict[str, str] = {
    "USD": "_usd",
    "basis points": "_bps",
    "percent": "_pct",
    "days": "_days",
    "sessions": "_sessions",
    "fraction": "",
    "shares": "",
    "currency": "",
}
"""Units of columns, and what the name of such a column ends in. ``fraction`` is what the field means by a return or a
weight, ``shares`` by a quantity or a volume; ``currency`` is the one that the row's own column names."""

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
