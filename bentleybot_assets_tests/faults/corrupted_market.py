"""A market source that can be told to deliver something broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteMessage, Type

from bentleybot_assets.connectors.market.source import MarketSource

FLAG = "corrupt-the-next-delivery"


class CorruptedMarket(MarketSource):
    """The market source; while a file :data:`FLAG` is in the working folder, one bar arrives twice and differs."""

    def read(self, *arguments: Any, **options: Any) -> Iterator[AirbyteMessage]:
        """As the source reads, with a restated last bar and its contradiction before the end."""
        contradicted = not Path(FLAG).exists()
        for message in super().read(*arguments, **options):
            yield message
            if message.type is Type.RECORD and message.record.stream == "daily_bars" and not contradicted:
                contradicted = True
                other = copy.deepcopy(message)
                other.record.data["close"] = message.record.data["close"] * 2
                yield other
