"""The steps from one schema of the ledger to the next, run by Alembic without an ``alembic.ini``.

A new step is a file in ``versions/`` with the next number; ``ledger/tables.py`` then states the result and the new
``SCHEMA_VERSION`` (tests compare the two).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection


def upgrade_to_head(connection: Connection) -> None:
    """Run every step the ledger still lacks, inside the caller's transaction.

    Raises:
        alembic.util.CommandError: the ledger is at a version that this release does not know.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
