"""A record of ``raw/market/daily_bars`` as a source delivers it."""

from __future__ import annotations

from typing import Any


def bar(**changes: Any) -> dict[str, Any]:
    """A good record, with ``changes``."""
    return {
        "symbol": "PEP",
        "session": "2022-12-28",
        "open": None,
        "high": None,
        "low": None,
        "close": 10.25,
        "adjusted_close": None,
        "volume": 1200,
        "price_basis": "fully_adjusted",
        "currency": "USD",
        "event_at": "2022-12-28T21:00:00Z",
        "available_at": "2022-12-28T21:15:00Z",
        "is_modelled": True,
        "fetched_at": "2022-12-28T21:15:00Z",
        "source": "test/bars",
        "source_version": "1",
        "extra": None,
    } | changes
