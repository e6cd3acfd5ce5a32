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
        checks: all of its checks.
        is_by_session: its asset is partitioned by session.
    """

    key: dg.AssetKey
    checks: tuple[dg.AssetCheckSpec, ...]
    is_by_session: bool


_tables: dict[dg.AssetKey, PublishedTable] = {}


def declare(module: str, key: dg.AssetKey, checks: Iterable[dg.AssetCheckSpec], *, is_by_session: bool) -> None:
    """Note a table that ``module`` declares; tables that tests make up are not part of the graph."""
    if module.startswith(_DEFS):
        _tables[key] = PublishedTable(key, tuple(checks), is_by_session)


def published_tables() -> Iterator[PublishedTable]:
    """All tables of the graph, sorted by key. Complete once ``bentleybot_assets.defs`` is loaded."""
    return iter(sorted(_tables.values(), key=lambda table: tuple(table.key.path)))
