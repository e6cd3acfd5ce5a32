"""The whole desk in one file, and back: ``bentleybot backup`` and ``bentleybot restore``.

An archive holds the files of ``home`` and, for the production profile, a dump of its three databases; its last member
is a manifest with the SHA-256 of every other. A restore verifies all of them before anything is put in place, builds
the new home beside the old name and renames it there, and only ever fills what is empty.

Does not belong here: what any of the files means (``warehouse``, ``ledger``, ``resources``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bentleybot_assets.backup.archive import (
    COMPRESSION,
    DATABASES,
    FORMAT,
    HOME,
    BackupError,
    Writer,
    add_home,
    opened,
    verified,
)
from bentleybot_assets.backup.databases import (
    CLIENT,
    Databases,
    dumped,
    half_done_named,
    load,
    move_artifacts,
    program_of,
    sqlite_engine,
)
from bentleybot_assets.deployment import dagster_storage
from bentleybot_assets.resources.processes import alone
from bentleybot_assets.settings import Settings

__all__ = ["BackupError", "Outcome", "back_up", "restore_from"]


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Attributes:
        members: files and databases in the archive.
        size_bytes: of the archive.
        left_out: what this desk keeps where a backup does not reach, in words.
    """

    members: int
    size_bytes: int
    left_out: tuple[str, ...]


def back_up(settings: Settings, file: Path, *, before_waiting: Callable[[str], None]) -> Outcome:
    """Put the desk in a new ``file``, while no ``bentleybot run`` is at work.

    Args:
        settings: the desk.
        file: ends in ``.tar.gz``; must not exist.
        before_waiting: told who is at work, if somebody is.

    Raises:
        BackupError: it cannot be done; ``file`` does not exist then.
    """
    file, home = file.expanduser().absolute(), settings.home.resolve()
    _require_new(file, home)
    is_embedded = settings.profile == "embedded"
    if is_embedded and not _is_filled(home):
        raise BackupError(
            f"{home} holds nothing to back up. Run `bentleybot run` first, or set `home` in bentleybot.yaml to the "
            "folder that has the desk's state."
        )
    left_out = elsewhere(settings)
    with (
        _disk_errors_named(file),
        alone(home / ".run.lock", "a backup", before_waiting=before_waiting),
        tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as scratch,  # nobody else may look in
    ):
        unfinished = Path(scratch, "archive")
        with unfinished.open("wb") as handle:
            with tarfile.open(fileobj=handle, mode="w:gz", compresslevel=COMPRESSION) as archive:
                writer = Writer(archive)
                if not is_embedded:
                    for name, dump in dumped(settings, Path(scratch)).items():
                        writer.add(dump, f"{DATABASES}/{name}.sql")
                add_home(writer, home, Path(scratch))
                writer.finish(
                    {
                        "format": FORMAT,
                        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
                        "profile": settings.profile,
                        "data_mode": settings.data_mode,
                        "mlflow_artifacts": (home / "mlflow").as_uri(),
                        "left_out": left_out,
                    }
                )
            handle.flush()
            os.fsync(handle.fileno())
        unfinished.chmod(stat.S_IRUSR | stat.S_IWUSR)
        unfinished.rename(file)
    return Outcome(len(writer.members), file.stat().st_size, left_out)


def restore_from(settings: Settings, file: Path) -> Outcome:
    """Make the desk of an archive this one: its folder must be empty or missing, and its databases empty.

    MLflow states folders in full: they are changed to this home, which may be another than the one backed up.

    Raises:
        BackupError: it cannot be done. Nothing was changed, unless the message says so.
    """
    file, home = file.expanduser().absolute(), settings.home.resolve()
    if _is_filled(home):
        first = min(path.name for path in home.iterdir())
        raise BackupError(
            f"{home} is not empty: it has {first}. A restore overwrites nothing: move the folder away, or set `home` "
            "in bentleybot.yaml to another one."
        )
    if home.is_mount():
        raise BackupError(
            f"{home} is a mount point, which a restored folder cannot replace. Set `home` in bentleybot.yaml to a "
            "folder below it."
        )
    with opened(file) as archive:
        manifest = verified(archive, file)
        _require_same_kind(manifest, settings, file)
        # Asked before the long work, and again by the server when a table is created.
        databases = Databases.of(settings) if settings.profile == "production" else None
        if databases is not None:
            client = program_of(CLIENT)
            databases.require_empty()
        with _disk_errors_named(home), _workshop(home) as workshop:
            archive.extractall(workshop, filter="data")
            restored = workshop / HOME
            restored.mkdir(exist_ok=True)
            old, new = manifest["mlflow_artifacts"], (home / "mlflow").as_uri()
            if databases is not None:
                databases.create_missing()
            with half_done_named(databases):
                if databases is not None:
                    load(databases, client, workshop)
                    if (workshop / DATABASES / "mlflow.sql").exists():
                        move_artifacts(databases.engine("mlflow"), old, new)
                elif (restored / "mlflow.db").exists():
                    move_artifacts(sqlite_engine(restored / "mlflow.db"), old, new)
                os.sync()
                # Over nothing or an empty folder; the kernel refuses any other.
                restored.rename(home)
    return Outcome(len(manifest["members"]), file.stat().st_size, (*manifest["left_out"], *elsewhere(settings)))


def elsewhere(settings: Settings) -> tuple[str, ...]:
    """What this desk keeps outside of its home and its databases."""
    found = []
    if settings.mlflow_url:
        from sqlalchemy.engine import make_url

        shown = make_url(settings.mlflow_url).render_as_string(hide_password=True)
        found.append(f"MLflow's runs and models are kept by {shown} (MLFLOW_TRACKING_URI): back that up by itself.")
    history = _dagster_folder(settings)
    if history is not None and history.resolve() != (settings.home / "dagster").resolve():
        found.append(
            f"Dagster's history is kept in {history}, not in {settings.home / 'dagster'} (dagster.yaml, DAGSTER_HOME): "
            "back that up by itself."
        )
    return tuple(found)


def _dagster_folder(settings: Settings) -> Path | None:
    """Where Dagster keeps its history; None if that is a database."""
    from dagster._core.instance.ref import InstanceRef

    here = Path.cwd()
    base = settings.dagster_home or settings.home / "dagster"
    # Dagster wants a folder that exists, which is not so before the first run.
    existing = base if base.is_dir() else here
    config = here if settings.dagster_home is None and (here / "dagster.yaml").exists() else existing
    overrides = {} if settings.dagster_home else dagster_storage(settings)
    ref = InstanceRef.from_dir(str(existing), config_dir=str(config), overrides=overrides)
    storage = ref.storage_data or ref.run_storage_data
    if storage is None or "sqlite" not in storage.module_name:
        return None
    stated = str(storage.config_dict.get("base_dir", existing))
    return base if stated == str(existing) else here / stated


def _require_same_kind(manifest: Mapping[str, Any], settings: Settings, file: Path) -> None:
    if manifest["profile"] != settings.profile:
        raise BackupError(
            f"{file} is of profile {manifest['profile']}, and this desk's is {settings.profile}. Set `profile` in "
            f"bentleybot.yaml (or BENTLEYBOT_PROFILE) to {manifest['profile']}."
        )
    if manifest["data_mode"] != settings.data_mode:
        raise BackupError(
            f"{file} holds {manifest['data_mode']} data, and this desk's mode is {settings.data_mode}. Set "
            f"`connections.market.config.mode` in bentleybot.yaml to {manifest['data_mode']}."
        )


def _require_new(file: Path, home: Path) -> None:
    if not file.name.endswith((".tar.gz", ".tgz")):
        raise BackupError(f"{file} will be a gzipped tar archive: give it a name that ends in .tar.gz.")
    if file.exists():
        raise BackupError(f"{file} exists, and a backup overwrites nothing: name another file, or move it away.")
    if not file.parent.is_dir():
        raise BackupError(f"{file.parent} is not a folder: make it, or name a file in another one.")
    if file.resolve().is_relative_to(home):
        raise BackupError(
            f"{file} is inside {home}, which it is a backup of: name a file outside, best on a disk apart."
        )


def _is_filled(home: Path) -> bool:
    if home.exists() and not home.is_dir():
        raise BackupError(f"{home} is not a folder. Move it away, or set `home` in bentleybot.yaml to a folder.")
    return home.is_dir() and any(home.iterdir())


@contextmanager
def _disk_errors_named(place: Path) -> Iterator[None]:
    """Name the place in errors that do not: a full disk has no file name."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        at = f" ({error.filename})" if error.filename else ""
        raise BackupError(f"{place}: {error.strerror}{at}. Mend that, or choose a place on another disk.") from error


@contextmanager
def _workshop(home: Path) -> Iterator[Path]:
    """A folder beside ``home``, for one restore at a time; what a killed one left there goes."""
    home.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BackupError(f"Another restore is at work beside {home}: wait for it to end.") from error
    workshop = home.with_name(f"{home.name}.restoring")
    try:
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(mode=0o700)
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        os.close(descriptor)
