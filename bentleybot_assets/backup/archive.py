"""The archive: what of a folder goes into it, and whether it is still what was written.

Does not belong here: the databases of a server (``databases``), when and where (the package itself).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

FORMAT = 1
"""Of the archive; a restore reads no other."""

MANIFEST = "manifest.json"
HOME = "home"
DATABASES = "databases"

LOST_AND_FOUND = "lost+found"
"""What some file systems have at the top of a volume; it is nobody's."""

_IN_ORDER = ("warehouse", "reports", "ledger.db", "mlflow.db", "dagster", "mlflow")
"""What a run that nobody could stop adds meanwhile is added in this order, so nothing refers to what is missing."""

_LOOKS = 20
COMPRESSION = 3
_CHUNK = 2**20
_SQLITE = b"SQLite format 3\x00"
_JOURNALS = ("-journal", "-shm", "-wal")


class BackupError(RuntimeError):
    """A backup cannot be taken or restored. The message names what, where and the fix."""


class Writer:
    """Adds members to an archive and keeps their hashes."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.members: dict[str, dict[str, str]] = {}

    def add(self, path: Path, name: str) -> None:
        """A file, under another name."""
        with path.open("rb") as handle:
            self.add_open(handle, name)

    def add_open(self, handle: IO[bytes], name: str) -> None:
        """As many bytes as the file has now, if it grows meanwhile."""
        info = _anonymous(self._archive.gettarinfo(arcname=name, fileobj=handle))
        reader = _HashingReader(handle)
        # Two names of one file are two members, so that each has its bytes.
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = os.fstat(handle.fileno()).st_size
        self._archive.addfile(info, reader)
        self.members[name] = {"sha256": reader.digest.hexdigest()}

    def add_link(self, path: Path, name: str, target: str) -> None:
        """A symbolic link."""
        info = _anonymous(self._archive.gettarinfo(path, arcname=name))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._archive.addfile(info)
        self.members[name] = {"link": target}

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Put the manifest behind all that was added."""
        content = json.dumps({**manifest, "members": self.members}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(content)
        self._archive.addfile(info, io.BytesIO(content))


@dataclass
class _HashingReader:
    handle: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1, /) -> bytes:
        chunk = self.handle.read(size)
        self.digest.update(chunk)
        return chunk


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """The archive need not tell who owned the files."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def add_home(writer: Writer, home: Path, scratch: Path) -> None:
    """All of a desk's folder that lasts; copies of its databases are made in ``scratch``."""
    rooms = {path.name for path in home.iterdir()} - {LOST_AND_FOUND}
    ordered = [name for name in _IN_ORDER if name in rooms]
    for name in (*ordered, *sorted(rooms.difference(ordered))):
        _add(writer, home, Path(name), scratch)


def _add(writer: Writer, home: Path, relative: Path, scratch: Path) -> None:
    """A file, or all below a folder. What begins with a dot is a lock, unfinished, or a table's version.

    Files that a working process removes meanwhile are not missed.
    """
    path, name = home / relative, f"{HOME}/{relative.as_posix()}"
    if path.name.startswith(".") or path.name.endswith(_JOURNALS):
        return
    if path.is_symlink():
        if relative.parts[0] != "warehouse" or not path.resolve().is_relative_to(home):
            raise BackupError(
                f"{path} is a link to {path.readlink()}, which a backup would not hold. Put the files themselves there."
            )
        _add_version(writer, home, path, name)
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            _add(writer, home, relative / child.name, scratch)
    elif path.is_file():
        with suppress(FileNotFoundError):
            if _is_sqlite(path):
                writer.add(_copied(path, scratch), name)
            else:
                writer.add(path, name)


def _add_version(writer: Writer, home: Path, link: Path, name: str) -> None:
    """A table and the version it is now. Open files stay readable, whatever a writer removes meanwhile."""
    with ExitStack() as opened:
        for look in range(_LOOKS):
            target = link.readlink()
            version = link.parent / target
            try:
                handles = [opened.enter_context(file.open("rb")) for file in sorted(version.iterdir())]
            except FileNotFoundError:
                if look == _LOOKS - 1:
                    raise
            else:
                break
        inside = version.resolve().relative_to(home).as_posix()
        for handle in handles:
            writer.add_open(handle, f"{HOME}/{inside}/{Path(handle.name).name}")
        writer.add_link(link, name, target.as_posix())


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_SQLITE)) == _SQLITE


def _copied(database: Path, scratch: Path) -> Path:
    """A consistent copy of a SQLite file that others may be writing to, whatever is still in its journal."""
    copy = scratch / "copy.db"
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(
            f"{database} cannot be copied: {error}. End what is writing to it, or restore an earlier backup if it is "
            "damaged."
        ) from error
    return copy


@contextmanager
def opened(file: Path) -> Iterator[tarfile.TarFile]:
    """An archive to read; what shows that it is none, or damaged, is said in words."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            yield archive
    except FileNotFoundError as error:
        if error.filename != str(file):
            raise
        raise BackupError(f"There is no file {file}. Name an archive that `bentleybot backup` wrote.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        # Of gzip: its own kind has no number.
        if error.errno is not None:
            raise
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, what: str) -> BackupError:
    return BackupError(f"{file} is damaged or no backup: {what}. Nothing was restored; use another copy of it.")


def verified(archive: tarfile.TarFile, file: Path) -> dict[str, Any]:
    """The manifest, every member being as it says, in its place, and none beside."""
    found: dict[str, dict[str, str]] = {}
    manifest: dict[str, Any] = {}
    for member in archive:
        if member.name in found:
            raise _damaged(file, f"it holds {member.name} twice")
        # As extraction checks again: refused before anything is written.
        tarfile.data_filter(member, str(Path(tempfile.gettempdir(), "nowhere")))
        if member.name == MANIFEST and member.isreg():
            manifest = _read_manifest(_content(archive, member).read(), file)
        else:
            found[member.name] = _fingerprint(archive, member, file)
    # To the very end, where gzip keeps the checksum of all, so of the manifest too.
    assert archive.fileobj is not None  # noqa: S101 - it was opened
    while archive.fileobj.read(_CHUNK):
        pass
    if not manifest:
        raise _damaged(file, f"it has no {MANIFEST}")
    members = manifest["members"]
    links = {name for name, value in found.items() if "link" in value}
    for name in sorted(members.keys() | found.keys()):
        if members.get(name) != found.get(name):
            how = "was added" if name not in members else "is missing" if name not in found else "was changed"
            raise _damaged(file, f"{name} {how}")
        if any(str(parent) in links for parent in Path(name).parents):
            raise _damaged(file, f"{name} lies behind a link")
    return manifest


def _fingerprint(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> dict[str, str]:
    """A member as the manifest describes it."""
    if not member.name.startswith((f"{HOME}/", f"{DATABASES}/")):
        raise _damaged(file, f"{member.name} has no place in a desk")
    if member.isreg():
        return {"sha256": hashlib.file_digest(_content(archive, member), "sha256").hexdigest()}  # type: ignore[arg-type]
    if not member.issym():
        raise _damaged(file, f"{member.name} is neither a file nor a link")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    if not target.startswith(f"{HOME}/"):
        raise _damaged(file, f"{member.name} leads out of it, to {member.linkname}")
    return {"link": member.linkname}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # noqa: S101 - a regular file has content
    return content


def _read_manifest(content: bytes, file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        version = manifest["format"]
        is_whole = version != FORMAT or all(
            name in manifest for name in ("profile", "data_mode", "mlflow_artifacts", "left_out", "members")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(file, f"{MANIFEST} cannot be read") from error
    if not is_whole:
        raise _damaged(file, f"{MANIFEST} is not whole")
    if version != FORMAT:
        raise BackupError(f"{file} has format {version}; this bentleybot reads format {FORMAT}. Use the one it is of.")
    return dict(manifest)
