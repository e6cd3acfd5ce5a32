"""Which runs met a fault, so that each is counted once in whatever order, and however often, they tell of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bentleybot_assets.ledger.migrations.once import create_table

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; of refusals recorded before, the last run is known."""
    create_table(
        "refusal_runs",
        sa.Column("refusal_id", sa.String(32), nullable=False),
        sa.Column("dagster_run_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("refusal_id", "dagster_run_id", name="pk_refusal_runs"),
        comment="One row per run that met a fault, from version 0005 on; of earlier ones only the last",
    )
    # May be taken again: what an attempt that was killed has noted is left out.
    op.execute(
        "INSERT INTO refusal_runs (refusal_id, dagster_run_id) SELECT refusal_id, dagster_run_id FROM refusals"
        " WHERE refusal_id NOT IN (SELECT refusal_id FROM refusal_runs)"
    )


def downgrade() -> None:
    """Refuse: a ledger only goes forward."""
    raise NotImplementedError("The ledger is never downgraded: restore a backup instead.")
