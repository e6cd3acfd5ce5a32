"""Command line of the Airbyte protocol: ``spec``, ``check``, ``discover`` and ``read``."""

from __future__ import annotations

import sys

from bentleybot_assets.connectors import program
from bentleybot_assets.connectors.market.source import MarketSource

if __name__ == "__main__":
    program.run(MarketSource(), sys.argv[1:])
