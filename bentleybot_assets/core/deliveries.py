"""What an append-only log of deliveries says today: one current version per record.

Does not belong here: what a record means.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

_KNOWLEDGE = ("available_at", "is_modelled", "fetched_at")
"""Columns that say when something was known, not what."""


def newest_versions(log: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The version of each record that was fetched last, whatever the order of the deliveries.

    Its ``available_at`` and ``is_modelled`` are those of the record's first version: a correction does not make a
    record younger. (What an earlier decision knew of it: :func:`as_of`.) A version that was merely delivered again,
    unchanged, keeps the ``fetched_at`` that first told it. Different versions that were fetched at the same instant
    all stay, so that an audit can refuse them.

    Args:
        log: rows of a raw contract; has ``key``, ``fetched_at``, ``available_at`` and ``is_modelled``.
        key: columns that together identify a record.

    Returns:
        Columns of ``log``; row order is not specified, except that versions of one record stand in a fixed order.
    """
    is_repeated = pl.len().over(key) > 1
    repeated = log.filter(is_repeated)
    if repeated.is_empty():
        return log
    content = [name for name in log.columns if name not in _KNOWLEDGE]
    others = [name for name in log.columns if name not in key and name != "fetched_at"]
    fetched_at, version, row = pl.col("fetched_at"), pl.col("_version"), pl.col("_row")
    is_last_fetched = fetched_at == fetched_at.max().over(key)
    is_unchanged_since = (fetched_at > pl.col("_last_changed_at")).fill_null(value=True)
    current = (
        repeated.unique()
        .sort(*key, "fetched_at", *others)
        .with_row_index("_row")
        .with_columns(row.first().over(content).alias("_version"))
        .with_columns(
            (is_last_fetched.sum().over(key) > 1).alias("_is_ambiguous"),
            fetched_at.filter(version != version.last()).max().over(key).alias("_last_changed_at"),
            (version == version.last().over(key)).alias("_is_current"),
        )
        .filter(pl.when("_is_ambiguous").then(is_last_fetched).otherwise(pl.col("_is_current") & is_unchanged_since))
        .filter(pl.col("_is_ambiguous") | (row == row.first().over(key)))
    )
    first = (
        repeated.sort("fetched_at", "available_at", "is_modelled")
        .group_by(key)
        .agg(pl.col("available_at", "is_modelled").first())
    )
    current = current.drop("available_at", "is_modelled").join(
        first, on=list(key), nulls_equal=True, maintain_order="left"
    )
    return pl.concat([log.filter(~is_repeated), current.select(log.columns)])


def known_at(key: Sequence[str]) -> pl.Expr:
    """When each delivered version became known.

    The first version of a record: when it says so. A later one tells something else or the same again, and may claim
    the record's publication time; it was not known before it was fetched.
    """
    fetched_at = pl.col("fetched_at")
    is_first = fetched_at == fetched_at.min().over(key)
    return pl.when(is_first).then("available_at").otherwise(pl.max_horizontal("available_at", fetched_at))


def as_of(log: pl.DataFrame, key: Sequence[str], instant: datetime) -> pl.DataFrame:
    """The part of a log that was known at ``instant``; columns and order of ``log``."""
    return log.filter(known_at(key) <= instant)
