"""An Airbyte source of made-up bars; ``python -m benchmarks.synthetic spec|discover|read`` writes it to a pipe.

:class:`SyntheticSource` is built from the parts of ``connectors.market``. :class:`PipedSource` is the same source in a
process of its own, its messages written as JSON and parsed here, as every Airbyte destination but ours gets them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from airbyte_cdk.entrypoint import launch
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecification,
)
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams import Stream

from bentleybot_assets.connectors.feeds import Mark, Record
from bentleybot_assets.connectors.market.records import bar_times, to_records
from bentleybot_assets.connectors.streams import PartedStream
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.contracts.sessions import sessions_between

_FIRST_DAY = date(2005, 1, 1)
_LAST_DAY = date(2021, 12, 31)
_CONSTANTS: Record = {
    "price_basis": "unadjusted",
    "currency": "USD",
    "is_modelled": True,
    "fetched_at": "2022-01-01T00:00:00Z",
    "source": "synthetic",
    "source_version": "1",
    "extra": None,
}


class SyntheticFeed:
    """Bars of a random walk, one symbol after the other."""

    def __init__(self, symbols: int, sessions: int) -> None:
        self.symbols = tuple(f"S{number:04d}" for number in range(symbols))
        self._sessions = pl.Series(sessions_between(_FIRST_DAY, _LAST_DAY)[:sessions], dtype=pl.Date)
        self._times = bar_times(self._sessions)

    def daily_bars(self, symbol: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:  # noqa: ARG002
        """All bars of a symbol, however far it was read."""
        random = np.random.default_rng(int(symbol[1:]))
        close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, self._sessions.len())))
        frame = pl.DataFrame(
            {
                "session": self._sessions.dt.strftime("%Y-%m-%d"),
                "open": close,
                "high": close * 1.01,
                "low": close * 0.99,
                "close": close,
                "adjusted_close": close,
                "volume": np.floor(close * 1000),
            }
        ).hstack(self._times)
        return to_records(frame, {**_CONSTANTS, "symbol": symbol}), {"session": str(self._sessions[-1])}


class SyntheticSource(AbstractSource):
    """One stream, ``daily_bars``; ``symbols`` and ``sessions`` in the configuration say how many."""

    def spec(self, logger: Any) -> ConnectorSpecification:  # noqa: ARG002
        """Two numbers."""
        numbers = {name: {"type": "integer"} for name in ("symbols", "sessions")}
        return ConnectorSpecification(connectionSpecification={"type": "object", "properties": numbers})

    def check_connection(self, logger: Any, config: Mapping[str, Any]) -> tuple[bool, str | None]:  # noqa: ARG002
        """Always fine."""
        return True, None

    def streams(self, config: Mapping[str, Any]) -> list[Stream]:
        """The stream."""
        feed = SyntheticFeed(config["symbols"], config["sessions"])
        kept = {"mode": "synthetic", "start_date": str(_FIRST_DAY)}
        return [PartedStream(DailyBars, "session", feed.symbols, feed.daily_bars, **kept)]


class PipedSource(SyntheticSource):
    """The same source behind its JSON pipe: a process each for its spec, its catalog and its records."""

    def spec(self, logger: Any) -> ConnectorSpecification:  # noqa: ARG002
        """Start the source's process and parse the spec that it prints."""
        return next(message.spec for message in list(_piped("spec")) if message.spec)

    def discover(self, logger: Any, config: Mapping[str, Any]) -> AirbyteCatalog:  # noqa: ARG002
        """Start the source's process and parse the catalog that it prints."""
        return next(message.catalog for message in list(_piped("discover", config=dict(config))) if message.catalog)

    def read(
        self,
        logger: Any,  # noqa: ARG002
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: Any = None,
    ) -> Iterator[AirbyteMessage]:
        """Start the source's process and parse what it prints."""
        assert not state, "the benchmark reads from the start"
        return _piped("read", config=dict(config), catalog=ConfiguredAirbyteCatalogSerializer.dump(catalog))


def _piped(verb: str, **files: Any) -> Iterator[AirbyteMessage]:
    """What the source prints when it is asked to ``verb``, its arguments given as files."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.synthetic", verb]
        for name, content in files.items():
            path = Path(folder, f"{name}.json")
            path.write_text(json.dumps(content, default=str))
            command += [f"--{name}", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield AirbyteMessageSerializer.load(orjson.loads(line))
        assert process.returncode == 0


if __name__ == "__main__":
    launch(SyntheticSource(), sys.argv[1:])
