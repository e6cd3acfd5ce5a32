"""How the MySQL server of the production profile is reached, and what its refusals mean.

Belongs here: the address, TLS and timeouts, opening connections, error codes in words. Does not belong here: any table
(``warehouse``, ``ledger``).
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    import pymysql
    from sqlalchemy import URL

OPTIONS = frozenset({"connect_timeout", "read_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode"})
"""What may be said about a connection beside its address; see :class:`MySqlServer`."""

SSL_MODES = ("disabled", "required", "verify_ca", "verify_identity")
RESTORING = "restore_in_progress"
"""A table of this name is in a database while a restore fills it, or after one was interrupted (``backup``)."""

OLDEST_MYSQL, OLDEST_MARIADB = (8, 0, 19), (10, 6)
"""Older ones lack atomic DDL or the locks that are used."""

_CODE_IN_TEXT = re.compile(r"ERROR (\d{4}) \(")
"""How connectorx tells the server's code."""
_LOSS_IN_TEXT = re.compile(r"IoError|IO error|Could not connect")
"""How it tells that there is no server, or no more."""

_UNKNOWN_CLIENT = "A server that does not know the CA of ssl_cert ends the connection: see that this one does."
_TLS_REMEDIES = {
    "doesn't support it": "The server offers no TLS: switch it on there, or set ssl_mode to disabled.",
    "mismatch": "The server's certificate is for other names than MYSQL_HOST: set MYSQL_HOST to one of its names, or "
    "ssl_mode to verify_ca.",
    "certificate verify failed": "Set ssl_ca to the CA that signed the server's certificate, and see that the "
    "certificate has not expired.",
    "alert": _UNKNOWN_CLIENT,
    "": "Check ssl_mode, ssl_ca, ssl_cert and ssl_key with whoever runs the server.",
}
"""What is said of a connection that cannot be encrypted, and what to do about it."""

_NO_TLS = 2026
_DENIED = 1045
_CONNECT_SECONDS = 5
_READ_SECONDS = 10
BEAT_SECONDS = 2
"""How often a server that works for long is asked whether it is still there."""

_GIVEN_UP_SECONDS = 3
_given_up: dict[tuple[str, int], tuple[float, tuple[str, int]]] = {}
"""When this process gave a server up, and with what message and code."""
_log = logging.getLogger(__name__)

_WAITS_FOR_SPACE = "Waiting for someone to free space"
"""State of a MariaDB's connection that will write once its disk has room again, and says nothing until then."""
_COMMITS = "waiting for handler commit"
"""State of a MySQL's connection that commits, also while its binary log does the same."""
_DISK_FULL = 1021
_NO_SPACE = re.compile(r"(errno:?|Errcode:) (28|135)\b")
"""How servers say that the disk is full, under many codes."""
_FULL = "The server's disk is full or failing: free some space, then run again. Nothing is half written."

_SESSION = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}, wait_timeout = 300"
)
"""A client that vanished without a word keeps its locks for five minutes instead of the usual eight hours."""

LOST = frozenset({2002, 2003, 2006, 2013, 2014, 2055, 1053, 1077, 1927, 3169})
"""The server is away, or a connection was lost: the statement may or may not have been carried out."""

CONTENDED = frozenset({1205, 1213})
"""Lock wait time-out and deadlock: the transaction was, or must be, rolled back and may be tried again."""

ROGUE = 2000
"""The server did what no honest one does; in MySQL's list this is the error that has no name."""

_REMEDIES: dict[frozenset[int], str] = {
    LOST: "Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT, and that its disk is not full, "
    "then run again: nothing is half written.",
    CONTENDED: "Another connection holds a lock: wait for it to end (SHOW PROCESSLIST), then run again.",
    frozenset({1045, 1698, 4151}): "Check MYSQL_USER and MYSQL_PASSWORD.",
    frozenset(
        {1044, 1049, 1142, 1143, 1227, 1370, 1410}
    ): "Run `bentleybot db upgrade`: it creates what is missing, or prints the GRANT that an administrator must give.",
    frozenset({1290, 1792, 1836, 3100}): "The server or this user may only read: use ones that may write.",
    frozenset({3, 14, 20, 1016, 1021, 1026, 1030, 1114, 1878, 3675}): _FULL,
    frozenset({1040, 1203, 1226}): "The server has no connection left: end some, or raise max_connections.",
    frozenset(
        {1054, 1146}
    ): "Materialise its asset first; if it is of none, run `bentleybot db upgrade`: that adds what is missing.",
    frozenset({1062}): "Two rows have one key; keys that differ in trailing blanks alone are one to MySQL. Mend what "
    "computes them. Nothing was changed.",
    frozenset({1048, 1264, 1265, 1366, 1406}): "A row does not fit the table: mend what computes it. Nothing was "
    "changed.",
    frozenset(
        {ROGUE}
    ): "It is not the server that it should be: check MYSQL_HOST, and set ssl_mode to verify_identity. "
    "Nothing was sent.",
    frozenset({3159}): "Set ssl_mode to required.",
}


class MySqlError(RuntimeError):
    """The server refused or cannot be reached, or how to reach it makes no sense. The message says what to mend.

    Attributes:
        code: MySQL's error code; 0 if there is none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


Explained = Callable[[Exception], MySqlError | None]
"""An error as one of ours; None if it is none of the server's."""


def _as_it_is(error: Exception) -> MySqlError | None:
    return error if isinstance(error, MySqlError) else None


@dataclass(frozen=True)
class MySqlServer:
    """An account on a MySQL or MariaDB server, and the database it works in.

    Attributes:
        host: name, address, or the path of a Unix socket (it begins with a slash).
        port: TCP port; unused with a socket.
        user: account name.
        password: its password; in no message and no ``repr``.
        database: database of tables and ledger.
        options: of :data:`OPTIONS`. ``connect_timeout`` and ``read_timeout`` are seconds; ``ssl_mode`` is one of
            :data:`SSL_MODES`, see :attr:`ssl_mode`; the others of ``ssl_`` are files.

    Raises:
        MySqlError: an option is not known or has no sound value.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        if unknown := sorted(set(options) - OPTIONS):
            raise MySqlError(
                f"There is no MySQL option {', '.join(unknown)}; choose from {', '.join(sorted(OPTIONS))}."
            )
        if self.ssl_mode not in (None, *SSL_MODES):
            raise MySqlError(f"ssl_mode is {self.ssl_mode}; it must be one of {', '.join(SSL_MODES)}.")
        if self._verifies and "ssl_ca" not in options:
            raise MySqlError(f"ssl_mode {self.ssl_mode} needs ssl_ca: the file of the CA that it is verified by.")
        if ("ssl_cert" in options) != ("ssl_key" in options):
            raise MySqlError("ssl_cert and ssl_key go together: a client's certificate and its private key.")
        for name in ("connect_timeout", "read_timeout"):
            if not options.get(name, "1").isdigit():
                raise MySqlError(f"{name} is {options[name]}; it must be whole seconds.")
        if not re.fullmatch(r"[A-Za-z0-9_]{1,48}", self.database):
            raise MySqlError(
                f"MYSQL_DATABASE is {self.database!r}; use letters, digits and underscores, at most 48 of them."
            )

    @property
    def ssl_mode(self) -> str | None:
        """What protects a connection; None: TLS if the server offers it, unverified.

        Where nothing is stated, a CA is there to verify by, and a client's certificate to be shown.
        """
        implied = "verify_ca" if "ssl_ca" in self.options else "required" if "ssl_cert" in self.options else None
        return self.options.get("ssl_mode", implied)

    @property
    def _verifies(self) -> bool:
        return self.ssl_mode in {"verify_ca", "verify_identity"}

    @property
    def read_seconds(self) -> int:
        """How long an answer may take before the connection is given up."""
        return int(self.options.get("read_timeout", _READ_SECONDS))

    @property
    def lock_seconds(self) -> int:
        """How long a lock is waited for: shorter than an answer, so that the server says what it waits for."""
        return max(1, self.read_seconds // 2)

    @property
    def connect_seconds(self) -> int:
        """How long opening a connection may take, login included."""
        return int(self.options.get("connect_timeout", _CONNECT_SECONDS))

    def attempts(self, explained: Explained = _as_it_is) -> Iterator[AbstractContextManager[Any]]:
        """Attempts at a transaction that is whole or not done: more than one where the server was away or contended.

        A server that is away is tried for ``read_seconds`` from when it was found so, however long it had worked
        before; a lock for as long as the server waited for it, once more. An answer that did not come in time was
        waited for long enough. Whoever comes just after the server was given up does not wait as long again.

        Args:
            explained: the error of an attempt as one of ours; None if it is none of the server's.

        Raises:
            MySqlError: the server was given up a moment ago.
        """
        import stamina

        place = self.host, self.port
        if place in _given_up and time.monotonic() - _given_up[place][0] < _GIVEN_UP_SECONDS:
            raise MySqlError(*_given_up[place][1])
        failed_at: list[float] = []

        def is_worth_it(error: Exception) -> bool:
            said = explained(error)
            if said is None or said.code not in LOST | CONTENDED:
                return False
            now = time.monotonic()
            failed_at.append(now)
            patience = self.lock_seconds if said.code in CONTENDED else self.read_seconds
            if now - failed_at[0] < patience and not is_timed_out(error):
                if len(failed_at) == 1:
                    _log.warning("%s Trying again for %d seconds.", said, patience)
                return True
            if said.code in LOST:
                self.give_up(said)
            return False

        stamina.instrumentation.set_on_retry_hooks([])  # or it tells of every attempt
        return stamina.retry_context(
            on=is_worth_it, attempts=None, timeout=None, wait_initial=0.1, wait_max=1, wait_jitter=0.2
        )

    def give_up(self, said: MySqlError) -> None:
        """Let nobody in this process wait for the server again for some seconds; they are told what was said."""
        _given_up[self.host, self.port] = (time.monotonic(), (str(said), said.code))

    @property
    def shows_certificate(self) -> bool:
        """Whether the client has a certificate to show."""
        return "ssl_cert" in self.options and self.ssl_mode != "disabled"

    @property
    def tls_files(self) -> dict[str, str]:
        """Of the options those that name a file which counts in this mode."""
        names = ["ssl_ca"] * self._verifies + ["ssl_cert", "ssl_key"] * self.shows_certificate
        return {name: self.options[name] for name in names}

    def connectorx_url(self) -> str:
        """For connectorx, which takes everything in one address, but for a client's certificate.

        It does not find out what a server offers: see :meth:`settled`.
        """
        is_socket = self.host.startswith("/")
        place = "localhost" if is_socket else f"{self.host}:{self.port}"
        options = {"socket": self.host} if is_socket else {"prefer_socket": "false"}
        if self.ssl_mode:
            options["ssl-mode"] = self.ssl_mode
        if self._verifies:
            options["ssl-ca"] = self.options["ssl_ca"]
        return (
            f"mysql://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{place}/{self.database}?"
            + urlencode(options)
        )

    @property
    def shown(self) -> str:
        """The account and where it is, as messages may show it."""
        place = self.host if self.host.startswith("/") else f"{self.host}:{self.port}"
        return f"{self.user}@{place}/{self.database}"

    def at(self, database: str) -> MySqlServer:
        """The same account in another database of the server."""
        return replace(self, database=database)

    def settled(self, table: str) -> MySqlServer:
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
                mode = "required" if cursor.fetchone()[1] else "disabled"
        finally:
            connection.close()
        return replace(self, options={**self.options, "ssl_mode": mode})

    def sqlalchemy_url(self) -> URL:
        """For SQLAlchemy with PyMySQL; certificates and timeouts are in :meth:`arguments`, which go with it."""
        from sqlalchemy import URL

        is_socket = self.host.startswith("/")
        return URL.create(
            "mysql+pymysql",
            self.user,
            self.password,
            None if is_socket else self.host,
            None if is_socket else self.port,
            self.database,
            {"charset": "utf8mb4"} | ({"unix_socket": self.host} if is_socket else {}),
        )

    def arguments(self, *, read_timeout: int | None = None) -> dict[str, Any]:
        """Keyword arguments of ``pymysql.connect`` beside address, user and database."""
        seconds = self.read_seconds if read_timeout is None else read_timeout
        return {
            "password": self.password.encode(),  # PyMySQL would take a text for Latin-1
            "charset": "utf8mb4",
            "connect_timeout": self.connect_seconds,
            "read_timeout": seconds,
            "write_timeout": seconds,
            "init_command": _SESSION.format(lock=self.lock_seconds),
            **self._tls(),
        }

    def _tls(self) -> dict[str, Any]:
        mode, options = self.ssl_mode, self.options
        if mode is None:
            return {}  # TLS if the server offers it
        if mode == "disabled":
            return {"ssl_disabled": True}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = mode == "verify_identity"
        context.verify_mode = ssl.CERT_REQUIRED if self._verifies else ssl.CERT_NONE
        if self._verifies:
            with self._readable("ssl_ca"):
                context.load_verify_locations(options["ssl_ca"])
        if self.shows_certificate:
            with self._readable("ssl_cert", "ssl_key"):
                # A password that is given is not asked for at the terminal; a key without one ignores it.
                context.load_cert_chain(options["ssl_cert"], options["ssl_key"], password="")
        return {"ssl": context}

    @contextmanager
    def _readable(self, *names: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # ssl.SSLError is one
            files = " and ".join(f"{name} {self.options[name]}" for name in names)
            raise MySqlError(
                f"{self.shown}: {files} cannot be used: {error.strerror or error}. Name PEM files that this user may "
                "read; a private key must have no password.",
                _NO_TLS,
            ) from error

    def connect(
        self,
        *,
        table: str,
        read_timeout: int | None = None,
        connect: Callable[..., pymysql.Connection[Any]] | None = None,
        **more: Any,
    ) -> pymysql.Connection[Any]:
        """A connection in autocommit mode, for work on ``table`` (named in errors), made by ``connect``.

        Raises:
            MySqlError: it cannot be opened, the server is too old, or a restore of the database is not finished.
        """
        import pymysql

        address: dict[str, Any] = (
            {"unix_socket": self.host} if self.host.startswith("/") else {"host": self.host, "port": self.port}
        )
        arguments = self.arguments() if read_timeout is None else self.arguments(read_timeout=read_timeout)
        named = {"user": self.user, "database": self.database, "autocommit": True, **address, **arguments, **more}
        connection = self.opened(connect or pymysql.connect, named, table)
        try:
            self.require_version(connection.get_server_info())
            with self.named_errors(table):
                self._require_no_restore(connection)
        except MySqlError:
            connection.close()
            raise
        return connection

    def opened(
        self, connect: Callable[..., pymysql.Connection[Any]], named: dict[str, Any], table: str
    ) -> pymysql.Connection[Any]:
        """A connection as ``connect`` makes it of ``named``; the login waits no longer than ``connect_timeout``.

        Raises:
            MySqlError: it cannot be opened.
        """
        seconds = {"read_timeout": self.connect_seconds, "write_timeout": self.connect_seconds}
        with self.named_errors(table):
            connection = connect(**named | seconds)
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

    @contextmanager
    def watched(self, connection: pymysql.Connection[Any], table: str, *, gives_up: bool = True) -> Iterator[None]:
        """Let statements take their time, but end what will not end by itself.

        How long a load or a merge may take nobody knows; whether the server is still there can be asked. One whose
        binary log finds the disk full waits for space, with its locks held. On MariaDB the statement is ended, and the
        server says why; MySQL would end with it, so there the connection is given up.

        Args:
            connection: what carries out the statements.
            table: named in errors.
            gives_up: whether the connection is closed once the server answers no other one; unnecessary where its own
                time-out is short.

        Raises:
            MySqlError: the server stopped answering, or does not end a commit.
        """
        is_over = Event()
        losses: list[MySqlError] = []

        def watch() -> None:
            beats = self._beats(connection, table)
            while not is_over.wait(BEAT_SECONDS):
                if (loss := next(beats)) is None:
                    continue
                if gives_up:
                    losses.append(loss)
                    if (waiting := connection._sock) is not None:  # noqa: SLF001
                        with suppress(OSError):  # it may be closed by now
                            # Not SSLSocket's own, which would take TLS away from under a read that waits.
                            socket.socket.shutdown(waiting, socket.SHUT_RDWR)
                return

        Thread(target=watch, name="heartbeat", daemon=True).start()
        try:
            yield
        except MySqlError as error:
            if losses and error.code in LOST:
                # It has a cause of its own, which says more than a connection that was closed here.
                raise losses[0] from losses[0].__cause__
            raise
        finally:
            is_over.set()

    def _beats(self, working: pymysql.Connection[Any], table: str) -> Iterator[MySqlError | None]:
        """For each beat, why ``working`` is to be given up, if it is."""
        seconds = 0
        while True:
            try:
                state = self._state_of(working, table)
            except MySqlError as error:
                yield error if error.code in LOST else None  # a refusal is an answer too
                continue
            seconds = seconds + BEAT_SECONDS if state == _COMMITS else 0
            said = f"the server has been committing for {seconds} s (error {_DISK_FULL}). {_FULL}"
            is_stuck = seconds > self.read_seconds
            yield MySqlError(f"{self.shown}, table {table}: {said}", _DISK_FULL) if is_stuck else None

    def _state_of(self, working: pymysql.Connection[Any], table: str) -> str | None:
        """What the server says that ``working`` does, asked on a connection of its own; a wait for space is ended."""
        asking = self.connect(table=table)
        try:
            with self.named_errors(table), asking.cursor() as cursor:
                cursor.execute("SHOW PROCESSLIST")
                state = {row[0]: row[6] for row in cursor.fetchall()}.get(working.thread_id())
                if state == _WAITS_FOR_SPACE:
                    cursor.execute(f"KILL QUERY {working.thread_id()}")
                return state
        finally:
            asking.close()

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
        code = _driver_code(error)
        said = str(error.args[1] if len(error.args) > 1 else error)
        if not code and (found := _CODE_IN_TEXT.search(said)):
            code = int(found[1])
        elif not code and _LOSS_IN_TEXT.search(said):
            code = 2013
        if self.password:
            said = said.replace(self.password, "****").replace(quote(self.password, safe=""), "****")
        # PyMySQL says of a refused certificate that it cannot connect. An EOF is a server that went away.
        if code == _NO_TLS or ("[SSL" in said and "EOF occurred" not in said):
            code = _NO_TLS
            remedy = next(text for sign, text in _TLS_REMEDIES.items() if sign in said.lower())
        else:
            remedy = next((text for codes, text in _REMEDIES.items() if code in codes), "Nothing was changed.")
        if _NO_SPACE.search(said):
            remedy = _FULL
        if code == _DENIED and self.ssl_mode == "disabled":
            remedy += " A server that requires TLS says the same: if this one does, set ssl_mode to required."
        elif code == _DENIED and self.ssl_mode and not self.shows_certificate:
            remedy += " If this account requires a client's certificate, set ssl_cert and ssl_key too."
        elif code in LOST and self.shows_certificate:
            remedy += f" {_UNKNOWN_CLIENT}"
        return MySqlError(f"{self.shown}, table {table}: {said} (error {code}). {remedy}", code)


def _driver_code(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def is_timed_out(error: BaseException) -> bool:
    """Whether an answer was waited for in vain; the driver says so in what is behind its error alone."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, TimeoutError):
            return True
        behind = behind.__cause__ or behind.__context__
    return False
