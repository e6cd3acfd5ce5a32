"""The engines that Dagster and MLflow make for themselves, with the TLS, patience and words of ``mysql``.

They are given an address and nothing else; one that names a plugin has SQLAlchemy hand the engine to it. Does not
belong here: the engine that is ours (``ledger``), which tries whole transactions again.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.exc import DBAPIError, OperationalError

from bentleybot_assets.mysql import LOST, OPTIONS, MySqlError, MySqlServer, attempts, give_up, is_timed_out

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect, ExceptionContext

_NAME = "bentleybot"
"""Of the entry point in ``pyproject.toml``."""
_TABLE_IN_STATEMENT = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE)\s+`?(\w+)", re.IGNORECASE)
_opened: WeakSet[Any] = WeakSet()
"""The connections of all such engines of this process: they are to one server."""
_opened_changes = Lock()
_LAST_WORD_SECONDS = 1


def engine_url(server: MySqlServer, purpose: str) -> str:
    """The address that makes any SQLAlchemy engine one of :class:`AwaitedServer`; it holds the password.

    Args:
        server: what it is the address of; a connection is opened, see :meth:`MySqlServer.settled`.
        purpose: what is kept there, for errors of which no statement says the table: ``of Dagster's history``.

    Raises:
        MySqlError: the server cannot be used.
    """
    for attempt in attempts(server):
        with attempt:
            settled = server.settled(purpose)
    query = {"plugin": _NAME, "purpose": purpose, **settled.options}
    return settled.sqlalchemy_url().update_query_dict(query).render_as_string(hide_password=False)


class AwaitedServer(CreateEnginePlugin):
    """Makes an engine wait for a server that is away, give one up that does not answer, and say which one it was.

    A connection is waited for, as opening it again changes nothing. A statement that was lost is not repeated: it may
    have been carried out.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        query = {name: str(value) for name, value in url.query.items()}
        self._purpose = query["purpose"]
        self._server = MySqlServer(
            host=query.get("unix_socket") or str(url.host),
            port=url.port or 0,
            user=str(url.username),
            password=str(url.password),
            database=str(url.database),
            options={name: query[name] for name in OPTIONS & query.keys()},
        )
        kwargs["connect_args"] = self._server.arguments()
        # Dagster's web server keeps a connection for an hour, whatever became of the server meanwhile.
        kwargs["pool_pre_ping"] = True

    def update_url(self, url: URL) -> URL:
        """The address that is left for the driver."""
        return url.difference_update_query([*OPTIONS, "purpose"])

    def engine_created(self, engine: Engine) -> None:
        """Take part in whatever the engine does."""
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "handle_error", self._explained, retval=True)
        event.listen(engine, "checkout", self._in_use)

    def _connect(self, _dialect: Dialect, _record: object, _positional: object, named: dict[str, Any]) -> Any:
        for attempt in attempts(self._server):
            with attempt:
                connection = self._server.opened(named, self._purpose)
        with _opened_changes:
            _opened.add(connection)
        return connection

    def _in_use(self, connection: Any, _record: object, _proxy: object) -> None:
        """A connection that a pool hands out has answered; it may take its time again."""
        connection._read_timeout = self._server.read_seconds  # noqa: SLF001

    def _explained(self, context: ExceptionContext) -> MySqlError | None:
        """Say server, table and remedy: instead of an error that says nothing of the data, beside any other.

        Dagster and MLflow look for others by their class: there may be a row already, or no table yet.
        """
        error = context.sqlalchemy_exception
        if not isinstance(error, DBAPIError) or context.is_pre_ping:
            return None
        found = _TABLE_IN_STATEMENT.search(context.statement or "")
        said = self._server.explained(context.original_exception, found[1] if found else self._purpose)
        if not isinstance(error, OperationalError):
            error.add_detail(str(said))
            return None
        if said.code in LOST and is_timed_out(context.original_exception):
            give_up(self._server, said)
            # Pools drop connections that do not answer; a ping or rollback on one need not wait as long again.
            with _opened_changes:
                for other in _opened:
                    other._read_timeout = _LAST_WORD_SECONDS  # noqa: SLF001
        return said
