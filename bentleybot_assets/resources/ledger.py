"""The ledger as a Dagster resource. Does not belong here: what it records (``ledger``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from bentleybot_assets.resources.mysql import MySqlAccount
from bentleybot_assets.resources.restoring import require_whole

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger


class LedgerResource(ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Where orders and refusals are recorded."""

    @abstractmethod
    def open(self) -> Ledger:
        """The ledger; nothing is touched before its first use."""


class SqliteLedgerResource(LedgerResource):
    """A file on this machine.

    Attributes:
        url: SQLAlchemy url, ``sqlite:///path/to/ledger.db``.
    """

    url: str

    def open(self) -> Ledger:
        """See :class:`LedgerResource`."""
        from bentleybot_assets.ledger.ledger import Ledger

        require_whole(Path(self.url.removeprefix("sqlite:///")).parent)
        return Ledger(self.url)


class MySqlLedgerResource(LedgerResource):
    """A database on a server.

    Attributes:
        account: the server's account.
    """

    account: MySqlAccount

    def open(self) -> Ledger:
        """See :class:`LedgerResource`."""
        from bentleybot_assets.ledger.ledger import Ledger

        return Ledger(self.account.server())
