"""The ledger's tables as they are at ``SCHEMA_VERSION``; ``migrations`` holds the steps that lead here.

Portable on purpose (SQLite and MySQL): every string that is indexed has a length, sessions are dates,
and there is no timestamp, because nothing in the ledger depends on a clock. Quantities are integers and exact.
Prices, values and costs are double precision, the type they have in every table of the warehouse, so a row
reads back bit for bit; they are estimates made at decision time, not account balances.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = "0005"
"""Newest migration. Kept here so that a current ledger is recognised without importing Alembic."""

version = Table("ledger_alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own table; named so because Dagster and MLflow keep theirs under the default name."""

metadata = MetaData()

decisions = Table(
    "decisions",
    metadata,
    Column("strategy", String(64), nullable=False),
    Column("session", Date, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("account_mode", String(16), nullable=False),
    Column("data_mode", String(16), nullable=False),
    PrimaryKeyConstraint("strategy", "session", "revision", name="pk_decisions"),
    comment="One row per decision taken, also when the decision was to place no order",
)

decided_accounts = Table(
    "decided_accounts",
    metadata,
    Column("strategy", String(64), nullable=False),
    Column("session", Date, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("cash_usd", Double, nullable=False),
    PrimaryKeyConstraint("strategy", "session", "revision", name="pk_decided_accounts"),
    ForeignKeyConstraint(
        ["strategy", "session", "revision"],
        ["decisions.strategy", "decisions.session", "decisions.revision"],
        name="fk_decided_accounts_decision",
    ),
    comment="The account that a decision was made for; unknown for decisions from before version 0002",
)

decided_positions = Table(
    "decided_positions",
    metadata,
    Column("strategy", String(64), nullable=False),
    Column("session", Date, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("symbol", String(15), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    PrimaryKeyConstraint("strategy", "session", "revision", "symbol", name="pk_decided_positions"),
    ForeignKeyConstraint(
        ["strategy", "session", "revision"],
        ["decided_accounts.strategy", "decided_accounts.session", "decided_accounts.revision"],
        name="fk_decided_positions_account",
    ),
    comment="Shares that the account of a decision held",
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", String(32), nullable=False),
    Column("session", Date, nullable=False),
    Column("symbol", String(15), nullable=False),
    Column("side", String(4), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("position_quantity", BigInteger, nullable=False),
    Column("target_quantity", BigInteger, nullable=False),
    Column("reference_price_usd", Double, nullable=False),
    Column("estimated_value_usd", Double, nullable=False),
    Column("estimated_cost_usd", Double, nullable=False),
    Column("state", String(16), nullable=False),
    Column("strategy", String(64), nullable=False),
    Column("revision", String(64), nullable=False),
    Column("account_mode", String(16), nullable=False),
    Column("data_mode", String(16), nullable=False),
    PrimaryKeyConstraint("order_id", name="pk_orders"),
    UniqueConstraint("strategy", "session", "symbol", "revision", name="uq_orders_decided_once"),
    ForeignKeyConstraint(
        ["strategy", "session", "revision"],
        ["decisions.strategy", "decisions.session", "decisions.revision"],
        name="fk_orders_decision",
    ),
    CheckConstraint(
        "(side = 'BUY' AND quantity = target_quantity - position_quantity AND quantity > 0)"
        " OR (side = 'SELL' AND quantity = position_quantity - target_quantity AND quantity > 0)",
        name="ck_orders_quantity_leads_to_target",
    ),
    Index("ix_orders_session", "session"),
    comment="Order intents, columns of the contract trading/orders",
)

refusals = Table(
    "refusals",
    metadata,
    Column("refusal_id", String(32), nullable=False),
    Column("session", Date, nullable=False),
    Column("code", String(16), nullable=False),
    Column("check_name", String(128), nullable=False),
    Column("table_name", String(128), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("dagster_run_id", String(64), nullable=False),
    Column("cleared_by_run_id", String(64), nullable=True),
    Column("times_met", BigInteger, nullable=False, server_default="1"),
    PrimaryKeyConstraint("refusal_id", name="pk_refusals"),
    Index("ix_refusals_session", "session"),
    comment="Faults that stopped a session's decision; open until a run clears them",
)

refusal_runs = Table(
    "refusal_runs",
    metadata,
    Column("refusal_id", String(32), nullable=False),
    Column("dagster_run_id", String(64), nullable=False),
    # No foreign key: a run is noted before the refusal it raises or adds to, so that two runs never wait crosswise.
    PrimaryKeyConstraint("refusal_id", "dagster_run_id", name="pk_refusal_runs"),
    comment="One row per run that met a fault, from version 0005 on; of earlier ones only the last",
)
