"""The ledger as a Dagster resource. Does not belong here: what it records (``ledger``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger


class LedgerResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where orders and refusals are recorded.

    Attributes:
        url: SQLAlchemy url, ``sqlite:///path/to/ledger.db``.
    """

    url: str

    def open(self) -> Ledger:
        """The ledger; nothing is touched before its first use."""
        from bentleybot_assets.ledger.ledger import Ledger

        return Ledger(self.url)
