"""A MariaDB server of the tests' own: private folder, loopback port, killed and started again as a test wants.

Where the environment variable TEST_MYSQLD names the server program of a MySQL, that is tested instead.

Does not belong here: what is kept in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, quote_plus

import pymysql
import pytest

from bentleybot_assets.mysql import MySqlServer

_MISSING = "needs the package mariadb-server"
PASSWORD = "p@ss:w/r%d'"  # noqa: S105 - of a server that lives as long as the tests
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), quote_plus(PASSWORD), pymysql.converters.escape_string(PASSWORD))
"""It as it may appear where it should not: as it is, in an address, in a statement."""
MYSQLD = os.environ.get("TEST_MYSQLD")
_OPTIONS = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--local-infile=1",
    "--innodb-buffer-pool-size=128M",
    "--innodb-flush-log-at-trx-commit=1",
    "--skip-log-bin",
    "--max-connections=60",
)
_ROOT_WITHOUT_PASSWORD = ("--auth-root-authentication-method=normal", "--skip-test-db")
_OF_MYSQL = ("--mysqlx=OFF", "--secure-file-priv=NULL")


def is_installed() -> bool:
    """Whether this machine has the server's programs."""
    return bool(MYSQLD) or all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db"))


_Server = TypeVar("_Server", bound="MariaDb")


@contextmanager
def running(server: _Server) -> Iterator[_Server]:
    """A server for as long as it is needed; whoever asks for one where its programs are missing is skipped."""
    if not is_installed():
        pytest.skip(_MISSING)
    server.install()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class MariaDb:
    """One server.

    Attributes:
        folder: where it keeps everything.
        port: on loopback; the same after a restart.
        options: more options of the server.
        under: a program that becomes the server, and its arguments.
    """

    folder: Path
    port: int = 0
    options: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def install(self) -> None:
        """Make the data folder."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        of_mariadb = (shutil.which("mariadb-install-db") or "", "--no-defaults", *_ROOT_WITHOUT_PASSWORD)
        of_mysql = (MYSQLD or "", "--no-defaults", "--initialize-insecure", *self.options)  # some hold from here on
        installed = subprocess.run(
            [*(of_mysql if MYSQLD else of_mariadb), *self._folders(), *self._as_root()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if installed.returncode != 0:
            raise RuntimeError(f"The installation ended with {installed.returncode}:\n{installed.stdout}")

    def start(self) -> None:
        """Start it, and wait until it answers: on a free port at first, later on the one that it had."""
        is_first = self.port == 0
        while True:
            if is_first:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    self.port = probe.getsockname()[1]
            try:
                self._start()
            except RuntimeError as error:
                # Somebody else took it in between: MariaDB cannot choose a port by itself.
                if not (is_first and "Address already in use" in str(error)):
                    raise
            else:
                return

    def _start(self) -> None:
        log_file = self.folder / "server.log"
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *self.under,
                    MYSQLD or shutil.which("mariadbd") or "",
                    *_OPTIONS,
                    *(_OF_MYSQL if MYSQLD else ()),
                    *self._as_root(),
                    *self._folders(),
                    f"--socket={self.socket}",
                    f"--pid-file={self.folder / 'pid'}",
                    f"--port={self.port}",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while True:
            try:
                self.as_root("SELECT 1")
            except pymysql.err.OperationalError as error:
                if self._process.poll() is not None:
                    raise RuntimeError(log_file.read_text()[-3000:]) from error
                time.sleep(0.05)
            else:
                return

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> str:
        """Its Unix socket; a short path, as these may have no more than 107 characters."""
        return f"/tmp/bentleybot-{os.getpid()}-{self.port}.sock"  # noqa: S108

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def as_root(self, *statements: str) -> list[tuple[object, ...]]:
        """Carry out statements as the administrator; rows of the last one."""
        connection = pymysql.connect(unix_socket=self.socket, user="root", autocommit=True, charset="utf8mb4")
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def database(self, name: str) -> MySqlServer:
        """An empty database and an account that may do everything in it and in its two companions."""
        databases = [name, f"{name}_dagster", f"{name}_mlflow"]
        self.account("desk", PASSWORD)
        self.as_root(
            "SET foreign_key_checks = 0",  # or tables that others refer to could not be dropped
            *(f"DROP DATABASE IF EXISTS `{each}`" for each in databases),
            *(f"CREATE DATABASE `{each}` CHARACTER SET utf8mb4" for each in databases),
            *(f"GRANT ALL ON `{each}`.* TO 'desk'@'127.0.0.1'" for each in databases),
        )
        return MySqlServer("127.0.0.1", self.port, "desk", PASSWORD, name)

    def account(self, user: str, password: str, *, requires: str = "NONE") -> None:
        """An account that may do nothing yet; one of that name which is there stays as it is but for its password."""
        identified = f"'{user}'@'127.0.0.1' IDENTIFIED BY '{pymysql.converters.escape_string(password)}'"
        self.as_root(f"CREATE USER IF NOT EXISTS {identified}", f"ALTER USER {identified} REQUIRE {requires}")

    def _folders(self) -> list[str]:
        """All its own: a server that starts removes from its temporary folder what others are still working with."""
        return [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder / 'tmp'}"]

    @staticmethod
    def _as_root() -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []
