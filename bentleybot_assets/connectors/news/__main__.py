"""Command line of the Airbyte protocol: ``spec``, ``check``, ``discover`` and ``read``."""

from __future__ import annotations

import sys

from airbyte_cdk.entrypoint import launch

from bentleybot_assets.connectors.news.source import NewsSource

if __name__ == "__main__":
    launch(NewsSource(), sys.argv[1:])
