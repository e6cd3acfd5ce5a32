"""The embedded warehouse: parquet files under one folder, one folder per table, split by year.

A table's name (``market/daily_bars``) is a symbolic link to an immutable version folder. A writer builds the next
version beside it, years that did not change being hard links, and then renames a new link over the old one: readers
follow a link to whole versions and never wait, and a killed writer leaves the old version. A connection's raw log
(``raw/market/000001``) is one folder per delivery, renamed into place with its records and STATE together.

Does not belong here: judging content (``core.audit``).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.warehouse.base import MissingTableError, SchemaMismatchError, names_a_session

_VERSIONS = ".versions"
_LOCKS = ".locks"
_QUARANTINE_FOLDER = "quarantine"
_WHOLE = "all"
_STATE_FILE = "state.json"
_LOOKS = 20
"""How often a reader that is overtaken by writers looks again."""

_BUILDING = ".building-"
_REMOVING = ".removing-"


class ParquetWarehouse:
    """Implements :class:`bentleybot_assets.warehouse.base.Warehouse` on a local folder.

    Args:
        root: the warehouse folder; created on first write. Needs a file system with symbolic and hard links.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(
        self,
        contract: type[Contract],
        sessions: Collection[date] | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See :class:`Warehouse`."""
        columns = list(contract.polars_schema() if columns is None else columns)
        if contract.rules().is_log:
            return self._collected(contract, sessions, columns)
        grain = contract.rules().grain
        needed = [*columns, *(name for name in _before_session(grain) if name not in columns)]
        return _sorted_across_years(self._collected(contract, sessions, needed), grain).select(columns)

    def scan(self, contract: type[Contract]) -> pl.LazyFrame:
        """See :class:`Warehouse`."""
        return _scanned(contract, self._files(contract))

    def row_count(self, contract: type[Contract], sessions: Collection[date] | None = None) -> int | None:
        """See :class:`Warehouse`."""
        try:
            return int(self._collected(contract, sessions, pl.len()).item())
        except MissingTableError:
            return None

    def newest_session(self, contract: type[Contract]) -> date | None:
        """See :class:`Warehouse`."""
        try:
            return self._collected(contract, None, pl.col("session").max()).item()  # type: ignore[no-any-return]
        except MissingTableError:
            return None

    def location(self, contract: type[Contract]) -> str:
        """See :class:`Warehouse`: the table's folder; of a log, the folder of its connection's deliveries."""
        key = contract.asset_key()
        return str((self.root / Path(*(key[:-1] if contract.rules().is_log else key))).absolute())

    def publish(self, contract: type[Contract], frame: pl.DataFrame, sessions: Collection[date] | None = None) -> None:
        """See :class:`Warehouse`."""
        key = contract.asset_key()
        with self._exclusive(key):
            if not contract.is_by_session():
                self._switch(key, {f"{_WHOLE}.parquet": frame})
            elif sessions is None:
                self._switch(key, _split_by_year(frame))
            else:
                self._switch(key, self._years_with_slices(contract, frame, sessions), keep_others=True)

    def quarantine(
        self, contract: type[Contract], rows: pl.DataFrame, sessions: Collection[date] | None = None
    ) -> None:
        """See :class:`Warehouse`. Kept as ``quarantine/<table>``; nothing is written while there is none."""
        key = (_QUARANTINE_FOLDER, *contract.asset_key())
        with self._exclusive(key):
            old = self.read_quarantine(contract)
            kept = old.clear() if sessions is None else old.filter(~names_a_session(sessions))
            new = pl.concat([kept, rows]).sort(old.columns)
            if not new.equals(old):
                self._switch(key, {f"{_WHOLE}.parquet": new})

    def read_quarantine(self, contract: type[Contract]) -> pl.DataFrame:
        """See :class:`Warehouse`."""
        file = self.root / _QUARANTINE_FOLDER / Path(*contract.asset_key()) / f"{_WHOLE}.parquet"
        return pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=QUARANTINE)

    def append_delivery(
        self, connection: str, records: Mapping[type[Contract], pl.DataFrame], state: Mapping[str, Any]
    ) -> int:
        """See :class:`Warehouse`."""
        log = self.root / "raw" / connection
        with self._exclusive(("raw", connection)):
            log.mkdir(parents=True, exist_ok=True)
            for leftover in log.glob(".incoming-*"):
                shutil.rmtree(leftover)
            number = 1 + max((int(path.name) for path in _deliveries(log)), default=0)
            incoming = log / f".incoming-{uuid.uuid4().hex}"
            incoming.mkdir()
            for contract, frame in records.items():
                _write_parquet(frame, incoming / f"{contract.asset_key()[-1]}.parquet")
            _write_bytes(json.dumps(state, sort_keys=True, indent=1).encode(), incoming / _STATE_FILE)
            _sync_folder(incoming)
            incoming.rename(log / f"{number:06d}")
            _sync_folder(log)
        return number

    def connection_state(self, connection: str) -> dict[str, Any]:
        """See :class:`Warehouse`."""
        deliveries = _deliveries(self.root / "raw" / connection)
        if not deliveries:
            return {}
        return json.loads((deliveries[-1] / _STATE_FILE).read_bytes())  # type: ignore[no-any-return]

    def sql_views(self) -> dict[str, str]:
        """View name (``market__daily_bars``) to the file pattern DuckDB reads it from, for every table present."""
        views = {}
        for link in sorted(self.root.glob("*/*")):
            if link.is_symlink():
                views["__".join(link.relative_to(self.root).parts)] = f"{link.resolve()}/*.parquet"
        for link in sorted((self.root / _QUARANTINE_FOLDER).glob("*/*")):
            views["__".join(link.relative_to(self.root).parts)] = f"{link.resolve()}/*.parquet"
        for log in sorted((self.root / "raw").glob("*")):
            for stream in sorted({path.stem for path in log.glob("[0-9]*/*.parquet")}):
                views[f"raw__{log.name}__{stream}"] = f"{log}/[0-9]*/{stream}.parquet"
        return views

    def _collected(self, contract: type[Contract], sessions: Collection[date] | None, wanted: Any) -> pl.DataFrame:
        """What is wanted of the newest version; of the next one if two were published while this one was read."""
        looks = 0
        while True:
            try:
                frame = self.scan(contract)
                if sessions is not None:
                    frame = frame.filter(_is_of(sessions))
                return frame.select(wanted).collect()
            except FileNotFoundError:
                looks += 1
                if looks == _LOOKS:
                    raise

    def _files(self, contract: type[Contract]) -> list[Path]:
        key = contract.asset_key()
        if contract.rules().is_log:
            files = sorted((self.root / "raw" / key[1]).glob(f"[0-9]*/{key[-1]}.parquet"))
        else:
            # Resolved once, so that all files come from one version even if the link moves meanwhile.
            version = (self.root / Path(*key)).resolve()
            files = sorted(version.glob("*.parquet")) if version.is_dir() else []
        if not files:
            raise MissingTableError(contract, str(self.root))
        return files

    def _years_with_slices(
        self, contract: type[Contract], frame: pl.DataFrame, sessions: Collection[date]
    ) -> dict[str, pl.DataFrame]:
        """The year files that hold ``sessions``, those sessions replaced by the rows of ``frame``."""
        files = {}
        for year in sorted({session.year for session in sessions}):
            name = f"{year}.parquet"
            rows = frame.filter(pl.col("session").dt.year() == year)
            current = (self.root / Path(*contract.asset_key())).resolve() / name
            if current.exists():
                rows = pl.concat([_scanned(contract, [current]).filter(~_is_of(sessions)).collect(), rows])
            files[name] = rows.sort(contract.rules().grain)
        return files

    def _switch(self, key: tuple[str, ...], files: Mapping[str, pl.DataFrame], *, keep_others: bool = False) -> None:
        """Build a version of ``files`` (and, if asked, the current version's others) and point the table at it."""
        link = self.root / Path(*key)
        versions = self.root / _VERSIONS / Path(*key)
        versions.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        for leftover in [
            *versions.glob(f"{_BUILDING}*"),
            *versions.glob(f"{_REMOVING}*"),
            *link.parent.glob(f".{link.name}-*"),
        ]:
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        current = link.resolve() if link.is_symlink() else None
        building = versions / f"{_BUILDING}{uuid.uuid4().hex}"
        building.mkdir()
        if keep_others and current is not None:
            for file in current.glob("*.parquet"):
                if file.name not in files:
                    os.link(file, building / file.name)
        for name, frame in files.items():
            _write_parquet(frame, building / name)
        _sync_folder(building)
        version = versions / _digest(building)
        if version.exists():
            shutil.rmtree(building)
        else:
            building.rename(version)
            _sync_folder(versions)
        if current != version.resolve():
            next_link = link.parent / f".{link.name}-{uuid.uuid4().hex}"
            next_link.symlink_to(os.path.relpath(version, link.parent))
            next_link.replace(link)
            _sync_folder(link.parent)
        _remove_old_versions(versions, keep={version.name, current.name if current else version.name})

    @contextlib.contextmanager
    def _exclusive(self, key: tuple[str, ...]) -> Iterator[None]:
        """One writer per table at a time. The kernel releases the lock of a killed writer; readers take none."""
        locks = self.root / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / "__".join(key)).open("wb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _sorted_across_years(frame: pl.DataFrame, grain: tuple[str, ...]) -> pl.DataFrame:
    """Sort by ``grain`` the rows of year files in their order, each file sorted by ``grain``; empties ``frame``.

    Within a file, rows that agree in what comes before ``session`` stand together and ascend from there on. So it is
    enough to put these runs in order, those of earlier years first: far cheaper than sorting rows.
    """
    before_session = _before_session(grain)
    if not before_session:
        return frame
    runs = frame.select(pl.struct(before_session).rle().alias("run")).unnest("run")
    runs = runs.with_columns(start=pl.col("len").cum_sum() - pl.col("len")).sort("value", maintain_order=True)
    rows = runs.select(pl.int_ranges("start", pl.col("start") + pl.col("len"), dtype=pl.UInt32).explode())
    # Each column by itself, from one piece, and let go before the next: less memory is touched for the first time.
    columns = [frame.drop_in_place(name).rechunk().gather(rows.to_series()) for name in frame.columns]
    # Flagged as sorted, so that grouping by it later takes slices.
    return pl.DataFrame(columns).with_columns(pl.col(before_session[0]).set_sorted())


def _before_session(grain: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a grain that come before ``session``."""
    return grain[: grain.index("session")] if "session" in grain else ()


def _is_of(sessions: Collection[date]) -> pl.Expr:
    return pl.col("session").is_in(list(sessions))


def _scanned(contract: type[Contract], files: Sequence[Path]) -> pl.LazyFrame:
    """Files of a table, oldest first; a nullable column that the contract has gained since is null in them.

    Raises:
        SchemaMismatchError: a column of which every row must have a value is not there.
    """
    schema = contract.polars_schema()
    declared = contract.to_schema().columns
    lacking = [name for name in schema.keys() - pl.read_parquet_schema(files[0]).keys() if not declared[name].nullable]
    if lacking:
        raise SchemaMismatchError(
            f"{files[0]} has no column {', '.join(sorted(lacking))}, of which each row of "
            f"{'/'.join(contract.asset_key())} must have a value. Move its folder away, then run again."
        )
    return pl.scan_parquet(list(files), schema=schema, missing_columns="insert", glob=False)


def _split_by_year(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """File name to that year's rows. An empty table keeps one empty file, so that it exists."""
    if frame.is_empty():
        return {f"{_WHOLE}.parquet": frame}
    # A filter per year copies each row once; partitioning would gather it, at twice the cost.
    years = frame["session"].dt.year()
    return {f"{year}.parquet": frame.filter(years == year) for year in years.unique().sort()}


def _deliveries(log: Path) -> list[Path]:
    return sorted(path for path in log.glob("[0-9]*") if path.is_dir())


def _digest(folder: Path) -> str:
    """A name for a version by its content: equal tables are one version, and nothing is written twice."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:24]


def _remove_old_versions(versions: Path, keep: set[str]) -> None:
    for version in versions.iterdir():
        if version.name not in keep:
            # Renamed first: a version that was removed halfway must not pass for a whole one under its digest.
            removing = versions / f"{_REMOVING}{version.name}"
            version.rename(removing)
            shutil.rmtree(removing)


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    with path.open("wb") as handle:
        frame.write_parquet(handle, compression="lz4", statistics=True)
        handle.flush()
        os.fsync(handle.fileno())


def _write_bytes(content: bytes, path: Path) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
