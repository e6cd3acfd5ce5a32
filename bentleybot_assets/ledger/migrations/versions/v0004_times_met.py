"""How many runs met a fault: one that stops every run is another matter than one that stopped one."""

from __future__ import annotations

import sqlalchemy as sa

from bentleybot_assets.ledger.migrations.once import add_column

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of faults recorded before, one meeting is known."""
    add_column("refusals", sa.Column("times_met", sa.BigInteger, nullable=False, server_default="1"))


def downgrade() -> None:
    """Refuse: a ledger only goes forward."""
    raise NotImplementedError("The ledger is never downgraded: restore a backup instead.")
