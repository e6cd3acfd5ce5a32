"""The account that a decision was made for: cash and positions."""

from __future__ import annotations

import sqlalchemy as sa

from bentleybot_assets.ledger.migrations.once import create_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; what earlier decisions were made for is not known."""
    create_table(
        "decided_accounts",
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("cash_usd", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("strategy", "session", "revision", name="pk_decided_accounts"),
        sa.ForeignKeyConstraint(
            ["strategy", "session", "revision"],
            ["decisions.strategy", "decisions.session", "decisions.revision"],
            name="fk_decided_accounts_decision",
        ),
        comment="The account that a decision was made for; unknown for decisions from before version 0002",
    )
    create_table(
        "decided_positions",
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(15), nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("strategy", "session", "revision", "symbol", name="pk_decided_positions"),
        sa.ForeignKeyConstraint(
            ["strategy", "session", "revision"],
            ["decided_accounts.strategy", "decided_accounts.session", "decided_accounts.revision"],
            name="fk_decided_positions_account",
        ),
        comment="Shares that the account of a decision held",
    )


def downgrade() -> None:
    """Refuse: what the tables hold happened."""
    raise NotImplementedError("The ledger is never downgraded: restore a backup instead.")
