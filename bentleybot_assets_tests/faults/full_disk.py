"""MariaDB servers whose disk a test fills and frees again.

Does not belong here: what is written to them (``killed_mysql_writer``), what is expected (``test_mysql_disk_full``).
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from bentleybot_assets_tests.mariadb import MYSQLD, MariaDb

NO_MOUNT = "needs a kernel that lets this user mount a file system in a namespace of its own (unshare --user --mount)"
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_MOUNT = (
    'mount -t tmpfs -o size="$2" tmpfs "$1" && cp -a "$0/." "$1" && mount --bind "$1" "$0" && echo ready && exec cat'
)


def may_mount() -> bool:
    """Whether this user may have a small disk of its own."""
    try:
        tried = subprocess.run([*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


@dataclass
class LimitedMariaDb(MariaDb):
    """A server whose tables are in one file that grows so far and no further: the portable full disk.

    Attributes:
        megabytes: how far.
    """

    megabytes: int = 24

    def start(self) -> None:
        """Start it with its limit."""
        file = f"ibdata1:12M:autoextend:max:{self.megabytes}M"
        self.options = (
            "--innodb-file-per-table=0",
            f"--innodb-data-file-path={file}",
            "--innodb-flush-log-at-trx-commit=0",  # or filling takes long
        )
        super().start()

    def purge(self) -> None:
        """Have the room of dropped tables back now, not in the middle of a test."""
        if not MYSQLD:  # which has no way to wait for it
            self.as_root("SET GLOBAL innodb_max_purge_lag_wait = 0")

    def fill(self) -> None:
        """Take all the room there is, down to what a small value takes."""
        sizes = (1_000_000, 100_000, 20_000, 8_000)
        # A table for each: one whose own page is full needs more room for a row than others do.
        tables = [f"CREATE TABLE IF NOT EXISTS ballast.of_{size} (a LONGBLOB)" for size in sizes]
        self.as_root("CREATE DATABASE IF NOT EXISTS ballast", *tables)
        for size in sizes:
            try:
                while True:
                    self.as_root(*[f"INSERT INTO ballast.of_{size} VALUES (REPEAT('x', {size}))"] * 100)  # noqa: S608
            except pymysql.err.OperationalError as error:
                if error.args[0] != 1114:
                    raise

    def free(self) -> None:
        """Let it have more. Rows cannot be dropped: that is noted first, and there is no room for a note."""
        self.stop()
        self.megabytes += 12
        self.start()


@dataclass
class MountedMariaDb(MariaDb):
    """A server on a small disk of its own, in a namespace of its own, so nothing has to be unmounted.

    Attributes:
        size: of the disk, in bytes.
    """

    size: int = 256 << 20
    _holder: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def install(self) -> None:
        """Make the data folder, and move it to a disk."""
        super().install()
        disk = self.folder.with_name(f"{self.folder.name}-disk")
        disk.mkdir()
        self._holder = subprocess.Popen(
            [*_NAMESPACE, "sh", "-c", _MOUNT, str(self.folder), str(disk), str(self.size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        target = f"--target={self._holder.pid}"
        self.under = ("nsenter", target, "--user", "--mount", "--preserve-credentials")
        # To the namespace, whoever began it is root.
        self.options = ("--user=root", *self.options)

    def stop(self) -> None:
        """End it in order, for which it needs room; the disk goes with it."""
        self.free()
        super().stop()
        assert self._holder is not None
        self._holder.communicate()

    @property
    def _ballast(self) -> Path:
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{self.folder}-disk/ballast")

    def fill(self) -> None:
        """Take all the room there is, to the last byte."""
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while (disk := os.fstatvfs(file)).f_bavail:
                with suppress(OSError):  # the server took some meanwhile
                    os.posix_fallocate(file, os.fstat(file).st_size, disk.f_bavail * disk.f_frsize)
        finally:
            os.close(file)

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)
