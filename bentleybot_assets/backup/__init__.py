"""The whole desk in one file, and back: ``bentleybot backup`` and ``bentleybot restore``.

An archive holds the files of ``home`` and, for the production profile, a dump of its three databases; its last member
is a manifest with the SHA-256 of every other. A restore verifies all of them before anything is put in place, only ever
fills what is empty, and leaves a mark while it does: until it has succeeded, nobody opens warehouse or ledger, and
after an interruption the next one begins anew.

Does not belong here: what any of the files means (``warehouse``, ``ledger``, ``resources``).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bentleybot_assets.backup.archive import (
    COMPRESSION,
    DATABASES,
    FORMAT,
    HOME,
    LOST_AND_FOUND,
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
    load,
    move_artifacts,
    program_of,
    sqlite_engine,
)
from bentleybot_assets.deployment import dagster_reference
from bentleybot_assets.resources.processes import alone
from bentleybot_assets.resources.restoring import WORKSHOP, require_whole
from bentleybot_assets.settings import Settings

_DONE = f"{WORKSHOP}-done"
_NAMES = "names.json"
"""In a restore's folder: what it moves from there to its place in the home."""

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
    require_whole(home)
    if is_embedded and not _content(home):
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
    # Asked before the long work, and again when it is taken; so are the databases.
    if not (home / WORKSHOP).exists() and not (home / _DONE).exists():
        _require_empty(home)
    with opened(file) as archive:
        manifest = verified(archive, file)
        _require_same_kind(manifest, settings, file)
        old, new = manifest["mlflow_artifacts"], (home / "mlflow").as_uri()
        if settings.profile == "production":
            databases = Databases.of(settings)
            client = program_of(CLIENT)
            databases.require_empty()
            with databases.restoring() as is_again:
                if is_again and (home / _DONE).exists():  # interrupted when only the databases were still closed
                    (home / _DONE).rename(home / WORKSHOP)
                with _filling(home) as workshop:
                    archive.extractall(workshop, filter="data")
                    load(databases, client, workshop)
                    if (workshop / DATABASES / "mlflow.sql").exists():
                        move_artifacts(databases.engine("mlflow"), old, new)
        else:
            with _filling(home) as workshop:
                archive.extractall(workshop, filter="data")
                if (workshop / HOME / "mlflow.db").exists():
                    move_artifacts(sqlite_engine(workshop / HOME / "mlflow.db"), old, new)
    shutil.rmtree(home / _DONE)
    return Outcome(len(manifest["members"]), file.stat().st_size, (*manifest["left_out"], *elsewhere(settings)))


def elsewhere(settings: Settings) -> tuple[str, ...]:
    """What this desk keeps outside of its home and its databases."""
    found = []
    if settings.mlflow_url:
        from sqlalchemy.engine import make_url

        shown = make_url(settings.mlflow_url).render_as_string(hide_password=True)
        found.append(f"MLflow's runs and models are kept by {shown} (MLFLOW_TRACKING_URI): back that up by itself.")
    reference = dagster_reference(settings)
    for what, storage in {
        "history is": reference.storage_data or reference.run_storage_data,
        "logs are": reference.compute_logs_data,
    }.items():
        # One that has no folder keeps it in a database.
        folder = storage.config_dict.get("base_dir") if storage else None
        if folder is not None and not Path(folder).resolve().is_relative_to(settings.home.resolve()):
            found.append(
                f"Dagster's {what} kept in {Path(folder).absolute()}, not in {settings.home / 'dagster'} "
                "(dagster.yaml, DAGSTER_HOME): back that up by itself."
            )
    return tuple(found)


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


def _content(home: Path) -> list[str]:
    """What a home holds. What begins with a dot is a lock, or unfinished, or the file system's."""
    if home.exists() and not home.is_dir():
        raise BackupError(f"{home} is not a folder. Move it away, or set `home` in bentleybot.yaml to a folder.")
    names = [path.name for path in home.iterdir()] if home.exists() else []
    return sorted(name for name in names if not name.startswith(".") and name != LOST_AND_FOUND)


def _require_empty(home: Path) -> None:
    if content := _content(home):
        raise BackupError(
            f"{home} is not empty: it has {content[0]}. A restore overwrites nothing: move the folder away, or "
            "set `home` in bentleybot.yaml to another one."
        )


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
def _filling(home: Path) -> Iterator[Path]:
    """A folder to build a home in, which becomes its content at the end; until then nobody opens the desk.

    It is inside the home, as nothing can be renamed onto a mount point. At the end it is renamed, in one step; what is
    left in it is the caller's to remove.
    """

    def refuse(holder: str) -> None:
        raise BackupError(f"{home} is in use ({holder}). Wait for that to end, then run again.")

    workshop = home / WORKSHOP
    with _disk_errors_named(home), alone(home / ".run.lock", "a restore", before_waiting=refuse):
        _withdraw(home)
        _require_empty(home)
        workshop.mkdir(mode=0o700)
        try:
            yield workshop
            _move_in(home)
        except BaseException:
            _withdraw(home)
            raise
        workshop.rename(home / _DONE)


def _move_in(home: Path) -> None:
    """Move what was built to its place, saying before what that will be."""
    workshop = home / WORKSHOP
    names = [path.name for path in (workshop / HOME).iterdir()] if (workshop / HOME).exists() else []
    (workshop / _NAMES).write_text(json.dumps(names), encoding="utf-8")
    os.sync()
    for name in names:
        if (home / name).exists():
            raise BackupError(f"{home / name} appeared during the restore. End what writes there, and move it away.")
        (workshop / HOME / name).rename(home / name)
    os.sync()


def _withdraw(home: Path) -> None:
    """Remove what a restore that did not end has left in a home, and nothing else."""
    workshop = home / WORKSHOP
    listed = workshop / _NAMES
    if listed.exists():
        with suppress(json.JSONDecodeError):  # cut short: nothing was moved yet
            for name in json.loads(listed.read_text(encoding="utf-8")):
                if not (workshop / HOME / name).exists():
                    (home / name).rename(workshop / HOME / name)
        listed.unlink()
    for folder in (workshop, home / _DONE):
        if folder.exists():
            shutil.rmtree(folder)
