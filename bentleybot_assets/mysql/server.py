"""Connections to a MySQL server: whom we connect to, and what its errors are called.

Belongs here: opening connections, refusing servers that are too old or half restored. Does not belong here: addresses
and TLS (``address``), trying again (``patience``), watching long work (``heartbeat``), any table (``warehouse``,
``ledger``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from bentleybot_assets.mysql.address import Address
from bentleybot_assets.mysql.errors import LOST, MySqlError, remedy_for, told_by

if TYPE_CHECKING:
    import pymysql

    from bentleybot_assets.mysql.guarded import GuardedConnection

RESTORING = "restore_in_progress"
"""A table of this name is in a database while a restore fills it, or after one was interrupted (``backup``)."""

OLDEST_MYSQL, OLDEST_MARIADB = (8, 0, 19), (10, 6)
"""Older ones lack atomic DDL or the locks that are used."""


class MySqlServer(Address):
    """An account on a MySQL or MariaDB server, and the database it works in."""

    def settled(self, table: str) -> Self:
        """This server, with ``ssl_mode`` stated: what the server offers is asked once, for work on ``table``.

        PyMySQL, left to find out, reads all CAs of the machine for each connection: 18 ms of CPU.

        Raises:
            MySqlError: no connection can be opened, or the server is too old.
        """
        connection = self.connect(table=table)
        try:
            if self.ssl_mode:
                return self
            with self.named_errors(table), connection.cursor() as cursor:
                cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
                ((_, cipher),) = cursor.fetchall()
                mode = "required" if cipher else "disabled"
        finally:
            connection.close()
        return replace(self, options={**self.options, "ssl_mode": mode})

    def connect(self, *, table: str, read_timeout: int | None = None, **more: Any) -> GuardedConnection:
        """A connection in autocommit mode, for work on ``table`` (named in errors).

        Raises:
            MySqlError: it cannot be opened, the server is too old, or a restore of the database is not finished.
        """
        address: dict[str, Any] = (
            {"unix_socket": self.host} if self.host.startswith("/") else {"host": self.host, "port": self.port}
        )
        arguments = self.arguments() if read_timeout is None else self.arguments(read_timeout=read_timeout)
        named = {"user": self.user, "database": self.database, "autocommit": True, **address, **arguments, **more}
        connection = self.opened(named, table)
        try:
            self.require_version(connection.get_server_info())  # type: ignore[no-untyped-call]
            with self.named_errors(table):
                self._require_no_restore(connection)
        except MySqlError:
            connection.close()
            raise
        return connection

    def opened(self, named: dict[str, Any], table: str) -> GuardedConnection:
        """A connection as PyMySQL makes it of ``named``; the login waits no longer than ``connect_timeout``.

        Raises:
            MySqlError: it cannot be opened.
        """
        from bentleybot_assets.mysql.guarded import GuardedConnection

        seconds = {"read_timeout": self.connect_seconds, "write_timeout": self.connect_seconds}
        with self.named_errors(table):
            connection = GuardedConnection(**named | seconds)
        connection._read_timeout = named["read_timeout"]  # noqa: SLF001 - from the next packet on
        connection._write_timeout = named["write_timeout"]  # noqa: SLF001
        return connection

    def require_answer(self, table: str) -> None:
        """Ask the server whether it is there, on a connection of its own; a refusal is an answer too.

        Raises:
            MySqlError: it is away, or does not answer within ``connect_timeout``.
        """
        try:
            self.connect(table=table).close()
        except MySqlError as error:
            if error.code in LOST:
                raise

    def require_version(self, version: str) -> None:
        """Refuse a server that lacks what is used.

        Raises:
            MySqlError: the server is too old.
        """
        # MariaDB tells old clients a version that begins with 5.5.5-.
        numbers = tuple(map(int, re.findall(r"\d+", version.removeprefix("5.5.5-"))[:3]))
        is_mariadb = "mariadb" in version.lower()
        oldest = OLDEST_MARIADB if is_mariadb else OLDEST_MYSQL
        if numbers < oldest:
            name = "MariaDB" if is_mariadb else "MySQL"
            raise MySqlError(
                f"{self.shown}: the server is {name} {version}; {'.'.join(map(str, oldest))} or newer is needed. "
                "Upgrade it, or use another server."
            )

    def _require_no_restore(self, connection: pymysql.Connection[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s",
                (RESTORING,),
            )
            if cursor.fetchone() is not None:
                raise MySqlError(
                    f"{self.shown}: database {self.database} is being restored, or a restore of it was interrupted "
                    f"(it has table {RESTORING}). Wait for the restore to end, or run `bentleybot restore` again: it "
                    "begins anew."
                )

    @contextmanager
    def named_errors(self, table: str) -> Iterator[None]:
        """Turn the driver's errors into :class:`MySqlError`."""
        from pymysql.err import MySQLError

        try:
            yield
        except MySQLError as error:
            raise self.explained(error, table) from error

    def explained(self, error: BaseException, table: str) -> MySqlError:
        """The driver's error as one that names server, table and remedy; the password is not in it."""
        code, said = told_by(error)
        if self.password:
            said = said.replace(self.password, "****").replace(quote(self.password, safe=""), "****")
        remedy = remedy_for(code, said, ssl_mode=self.ssl_mode, shows_certificate=self.shows_certificate)
        return MySqlError(f"{self.shown}, table {table}: {said} (error {code}). {remedy}", code)
