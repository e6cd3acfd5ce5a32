"""Where a MySQL server is, as whom it is used, and what protects the connection.

Belongs here: the address in the form each driver wants it, TLS and time-outs. Does not belong here: connecting
(``server``).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from bentleybot_assets.mysql.errors import NO_TLS, MySqlError

if TYPE_CHECKING:
    from sqlalchemy import URL

OPTIONS = frozenset({"connect_timeout", "read_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode"})
"""What may be said about a connection beside its address; see :class:`MySqlServer`."""

SSL_MODES = ("disabled", "required", "verify_ca", "verify_identity")

_CONNECT_SECONDS = 5
_READ_SECONDS = 10

_SESSION = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}, wait_timeout = 300"
)
"""A client that vanished without a word keeps its locks for five minutes instead of the usual eight hours."""


@dataclass(frozen=True)
class Address:
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

    def at(self, database: str) -> Self:
        """The same account in another database of the server."""
        return replace(self, database=database)

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
                NO_TLS,
            ) from error
