"""Command line of the Airbyte protocol: ``spec``, ``check``, ``discover`` and ``read``."""

from __future__ import annotations

import sys

from bentleybot_assets.connectors import program
from bentleybot_assets.connectors.portfolio.source import PortfolioSource

if __name__ == "__main__":
    program.run(PortfolioSource(), sys.argv[1:])
