"""Which tables the graph publishes, and which of their checks block: noted as their assets are declared.

A run knows only the assets that it materialises; whoever must know about all of them asks here. Does not belong here:
how a check stands (``wiring.refusals``, ``wiring.status``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

_DEFS = "bentleybot_assets.defs."


@dataclass(frozen=True)
class PublishedTable:
    """A table of the graph.

    Attributes:
        key: its asset key.
        deps: the keys of what it is computed from.
        checks: all of its checks.
        is_by_session: its asset is partitioned by session.
    """

    key: dg.AssetKey
    deps: frozenset[dg.AssetKey]
    checks: tuple[dg.AssetCheckSpec, ...]
    is_by_session: bool


_tables: dict[dg.AssetKey, PublishedTable] = {}


def declare(
    module: str, assets: dg.AssetsDefinition, key: dg.AssetKey, checks: Iterable[dg.AssetCheckSpec]
) -> dg.AssetsDefinition:
    """Note a table that ``module`` declares, and give ``assets`` back; tables that tests make up are not noted."""
    if module.startswith(_DEFS):
        _tables[key] = PublishedTable(
            key, frozenset(assets.asset_deps[key]), tuple(checks), assets.partitions_def is not None
        )
    return assets


def published_tables() -> Iterator[PublishedTable]:
    """All tables of the graph, sorted by key. Complete once ``bentleybot_assets.defs`` is loaded."""
    return iter(sorted(_tables.values(), key=lambda table: tuple(table.key.path)))


def tables_behind(key: dg.AssetKey) -> Iterator[PublishedTable]:
    """All tables that a table is computed from, at first or second hand; sorted by key."""
    behind: set[dg.AssetKey] = set()
    ahead = set(_tables[key].deps)
    while ahead:
        behind |= ahead
        ahead = {dep for found in ahead for dep in _tables[found].deps} - behind
    return (table for table in published_tables() if table.key in behind)
