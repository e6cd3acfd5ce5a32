"""Alembic's entry point: run the steps on the connection that :func:`upgrade_to_head` hands over."""

from __future__ import annotations

from alembic import context

from bentleybot_assets.ledger.tables import metadata, version

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=version.name,
)
with context.begin_transaction():
    context.run_migrations()
