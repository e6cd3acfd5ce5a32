"""An Airbyte server beside connections that this process reads itself: those of files of this machine, for instance.

Does not belong here: how either works (``server``, ``embedded``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.resources.airbyte.base import Airbyte, SyncResult
from bentleybot_assets.resources.airbyte.embedded import EmbeddedAirbyte
from bentleybot_assets.resources.airbyte.server import ServerAirbyte
from bentleybot_assets.warehouse.base import Warehouse


@dataclass(frozen=True)
class MixedAirbyte(Airbyte):
    """Each connection where it belongs.

    Attributes:
        server: syncs its connections on a server.
        embedded: reads its own, none of which the server has.
    """

    server: ServerAirbyte
    embedded: EmbeddedAirbyte

    def has(self, connection: str) -> bool:
        """See :class:`Airbyte`."""
        return self._of(connection).has(connection)

    def mode(self, connection: str) -> str | None:
        """See :class:`Airbyte`."""
        return self._of(connection).mode(connection)

    def sync(
        self,
        connection: str,
        streams: Mapping[str, type[RawContract]],
        warehouse: Warehouse,
        log: logging.Logger,
    ) -> SyncResult:
        """See :class:`Airbyte`."""
        return self._of(connection).sync(connection, streams, warehouse, log)

    def check(self, connection: str) -> str | None:
        """See :class:`Airbyte`."""
        return self._of(connection).check(connection)

    def _of(self, connection: str) -> Airbyte:
        return self.embedded if self.embedded.has(connection) else self.server
