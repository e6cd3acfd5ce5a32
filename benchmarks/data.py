"""The data of the benchmarks: a seeded random walk of prices, as a table and as files on disk.

Made once per size and kept in :data:`benchmarks._measure.WORK`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks._measure import work_folder
from benchmarks.contracts import Bars
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.warehouse.parquet import ParquetWarehouse

_SEED = 20_261_122
_FIRST_DAY = date(2007, 1, 1)
_LAST_DAY = date(2021, 12, 31)


@dataclass(frozen=True)
class Size:
    """How many bars: a rectangle of symbols and sessions."""

    symbols: int
    sessions: int

    @property
    def rows(self) -> int:
        """Bars in all."""
        return self.symbols * self.sessions

    def __str__(self) -> str:
        return f"{self.symbols:,} symbols x {self.sessions:,} sessions ({self.rows:,} rows)"


FULL = Size(800, 3_500)
QUICK = Size(200, 3_500)


@dataclass(frozen=True)
class Stored:
    """The same bars in the three forms in which the sides of the benchmarks read them."""

    parquet: Path
    warehouse: Path
    qlib: Path


def bars(size: Size) -> pl.DataFrame:
    """Bars of contract :class:`Bars`, sorted by symbol and session; every value is exact in 32 bits."""
    random = np.random.default_rng(_SEED)
    shape = (size.symbols, size.sessions)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, shape), axis=1))
    opened = close * np.exp(random.normal(0, 0.005, shape))
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 0.005, shape))),
        "low": np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 0.005, shape))),
        "close": close,
        "adjusted_close": close * 0.9,
        "volume": np.floor(np.exp(random.normal(13, 0.5, shape))),
    }
    days = sessions_between(_FIRST_DAY, _LAST_DAY)[: size.sessions]
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{number:04d}" for number in range(size.symbols)], size.sessions),
            "session": pl.Series(days * size.symbols, dtype=pl.Date),
            **{name: values.astype(np.float32).astype(np.float64).ravel() for name, values in columns.items()},
        }
    )


def stored(size: Size) -> Stored:
    """The bars on disk, made if they are not there."""
    folder = work_folder() / f"bars-{size.symbols}x{size.sessions}"
    if not folder.exists():
        making = folder.with_name(folder.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        frame = bars(size)
        frame.write_parquet(making / "bars.parquet", compression="lz4")
        ParquetWarehouse(making / "warehouse").publish(Bars, frame)
        _write_qlib(frame, making / "qlib")
        making.rename(folder)
    return Stored(folder / "bars.parquet", folder / "warehouse", folder / "qlib")


def _write_qlib(frame: pl.DataFrame, folder: Path) -> None:
    """Qlib's own storage, as its ``dump_bin`` script writes it (the script is not part of the package).

    One file per symbol and field: 32-bit floats, the first of them the position in the calendar of the first value.
    """
    days = [str(day) for day in frame["session"].unique().sort()]
    for name in ("calendars", "instruments"):
        (folder / name).mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    symbols = frame["symbol"].unique().sort()
    lines = [f"{symbol}\t{days[0]}\t{days[-1]}\n" for symbol in symbols]
    (folder / "instruments" / "all.txt").write_text("".join(lines))
    for (symbol,), rows in frame.partition_by("symbol", as_dict=True).items():
        target = folder / "features" / str(symbol).lower()
        target.mkdir(parents=True)
        for name in ("open", "high", "low", "close", "volume"):
            values = np.concatenate([[0.0], rows[name].to_numpy()])
            values.astype("<f4").tofile(target / f"{name}.day.bin")
