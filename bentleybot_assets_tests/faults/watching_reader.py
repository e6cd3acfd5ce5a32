"""A reader that looks on while others write, and remembers anything that is not a whole version.

Does not belong here: what is written (``killed_mysql_writer``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Self

import polars as pl

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.warehouse.base import MissingTableError
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.faults import killed_mysql_writer as writer


class Reader:
    """Reads in a thread of its own, and remembers anything that is not a whole version.

    Args:
        server: who is asked.
        tolerated: errors that may be met, beside tables which are not there yet.
        versions: of the table, whole; those of ``writer.work`` if they are not given.
        slices: versions of each session; likewise.
    """

    def __init__(
        self,
        server: MySqlServer,
        tolerated: tuple[type[Exception], ...] = (),
        *,
        versions: Sequence[pl.DataFrame] | None = None,
        slices: Mapping[date, tuple[pl.DataFrame, ...]] | None = None,
    ) -> None:
        self._versions = versions or writer.versions()
        self._slices = slices or writer.slices()
        self._warehouse = MySqlWarehouse(server)
        self._tolerated = (MissingTableError, *tolerated)
        self._is_done = threading.Event()
        self.wrong: list[object] = []
        self.reads = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._is_done.is_set():
            try:
                found = self._warehouse.read(Labels)
                if not any(found.equals(version) for version in self._versions):
                    self.wrong.append(found)
                slices = self._warehouse.read(TargetWeights)
                for day, versions in self._slices.items():
                    part = slices.filter(session=day)
                    if not part.is_empty() and not any(part.equals(version) for version in versions):
                        self.wrong.append(part)
                # Both sessions are replaced in one step. What a re-run begins with is MONDAY's old one alone.
                if slices["session"].n_unique() == 2 and [
                    slices.filter(session=day).equals(newest) for day, (*_, newest) in self._slices.items()
                ] == [True, False]:
                    self.wrong.append(slices)
                self.reads += 1
            except self._tolerated:
                pass
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which fails the test
                self.wrong.append(error)
