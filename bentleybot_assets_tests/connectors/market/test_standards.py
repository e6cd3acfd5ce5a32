"""The market source passes airbyte-cdk's own tests."""

from __future__ import annotations

from typing import ClassVar

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["pytest_generate_tests"]


class TestSample(Standards):
    connector = MarketSource
    scenarios: ClassVar = {
        "small": ({"mode": "sample", "symbols": ["FB", "IBM"]}, True),
        "unknown_symbol": ({"mode": "sample", "symbols": ["NOPE"]}, False),
    }
