"""Command line of the Airbyte protocol: ``spec``, ``check``, ``discover`` and ``read``."""

from __future__ import annotations

import sys

from bentleybot_assets.connectors import program
from bentleybot_assets.connectors.news.source import NewsSource

if __name__ == "__main__":
    program.run(NewsSource(), sys.argv[1:])
