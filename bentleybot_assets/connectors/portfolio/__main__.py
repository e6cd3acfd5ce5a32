"""Command line of the Airbyte protocol: ``spec``, ``check``, ``discover`` and ``read``."""

from __future__ import annotations

import sys

from airbyte_cdk.entrypoint import launch

from bentleybot_assets.connectors.portfolio.source import PortfolioSource

if __name__ == "__main__":
    launch(PortfolioSource(), sys.argv[1:])
