"""The price an order was sized at is called by its currency, like every other column of money."""

from __future__ import annotations

from bentleybot_assets.ledger.migrations.once import rename_column

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the column; its values stay."""
    rename_column("orders", "reference_price", "reference_price_usd")


def downgrade() -> None:
    """Refuse: a ledger only goes forward."""
    raise NotImplementedError("The ledger is never downgraded: restore a backup instead.")
