"""Decisions, the orders they led to, and refusals."""

from __future__ import annotations

import sqlalchemy as sa

from bentleybot_assets.ledger.migrations.once import create_index, create_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    create_table(
        "decisions",
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("account_mode", sa.String(16), nullable=False),
        sa.Column("data_mode", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("strategy", "session", "revision", name="pk_decisions"),
        comment="One row per decision taken, also when the decision was to place no order",
    )
    create_table(
        "orders",
        sa.Column("order_id", sa.String(32), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("symbol", sa.String(15), nullable=False),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("position_quantity", sa.BigInteger, nullable=False),
        sa.Column("target_quantity", sa.BigInteger, nullable=False),
        sa.Column("reference_price", sa.Double, nullable=False),
        sa.Column("estimated_value_usd", sa.Double, nullable=False),
        sa.Column("estimated_cost_usd", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("strategy", sa.String(64), nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("account_mode", sa.String(16), nullable=False),
        sa.Column("data_mode", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        sa.UniqueConstraint("strategy", "session", "symbol", "revision", name="uq_orders_decided_once"),
        sa.ForeignKeyConstraint(
            ["strategy", "session", "revision"],
            ["decisions.strategy", "decisions.session", "decisions.revision"],
            name="fk_orders_decision",
        ),
        sa.CheckConstraint(
            "(side = 'BUY' AND quantity = target_quantity - position_quantity AND quantity > 0)"
            " OR (side = 'SELL' AND quantity = position_quantity - target_quantity AND quantity > 0)",
            name="ck_orders_quantity_leads_to_target",
        ),
        comment="Order intents, columns of the contract trading/orders",
    )
    create_index("ix_orders_session", "orders", ["session"])
    create_table(
        "refusals",
        sa.Column("refusal_id", sa.String(32), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("check_name", sa.String(128), nullable=False),
        sa.Column("table_name", sa.String(128), nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("dagster_run_id", sa.String(64), nullable=False),
        sa.Column("cleared_by_run_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("refusal_id", name="pk_refusals"),
        comment="Faults that stopped a session's decision; open until a run clears them",
    )
    create_index("ix_refusals_session", "refusals", ["session"])


def downgrade() -> None:
    """Refuse: what the tables hold happened."""
    raise NotImplementedError("The ledger is never downgraded: restore a backup instead.")
