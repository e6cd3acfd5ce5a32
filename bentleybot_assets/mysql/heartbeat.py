"""Watching a server while it works for long.

Belongs here: asking on another connection, ending what would not end. Does not belong here: trying again
(``patience``).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from bentleybot_assets.mysql.errors import DISK_FULL, LOST, MySqlError
from bentleybot_assets.mysql.server import MySqlServer

if TYPE_CHECKING:
    from bentleybot_assets.mysql.guarded import GuardedConnection

BEAT_SECONDS = 2
"""How often a server that works for long is asked whether it is still there."""
_WAITS_FOR_SPACE = "Waiting for someone to free space"
"""State of a MariaDB's connection that will write once its disk has room again, and says nothing until then."""
_COMMITS = "waiting for handler commit"
"""State of a MySQL's connection that commits, also while its binary log does the same."""


@contextmanager
def watched(server: MySqlServer, connection: GuardedConnection, table: str, *, gives_up: bool = True) -> Iterator[None]:
    """Let statements take their time, but end what will not end by itself.

    How long a load or a merge may take nobody knows; whether the server is still there can be asked. One whose
    binary log finds the disk full waits for space, with its locks held. On MariaDB the statement is ended, and the
    server says why; MySQL would end with it, so there the connection is given up.

    Args:
        server: the one that is watched.
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
        beats = _beats(server, connection, table)
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


def _beats(server: MySqlServer, working: GuardedConnection, table: str) -> Iterator[MySqlError | None]:
    """For each beat, why ``working`` is to be given up, if it is."""
    from pymysql.err import OperationalError

    seconds = 0
    while True:
        try:
            state = _state_of(server, working, table)
        except MySqlError as error:
            yield error if error.code in LOST else None  # a refusal is an answer too
            continue
        seconds = seconds + BEAT_SECONDS if state == _COMMITS else 0
        said = OperationalError(DISK_FULL, f"the server has been committing for {seconds} s")
        yield server.explained(said, table) if seconds > server.read_seconds else None


def _state_of(server: MySqlServer, working: GuardedConnection, table: str) -> str | None:
    """What the server says that ``working`` does, asked on a connection of its own; a wait for space is ended."""
    asking = server.connect(table=table)
    try:
        with server.named_errors(table), asking.cursor() as cursor:
            cursor.execute("SHOW PROCESSLIST")
            number = working.thread_id()  # type: ignore[no-untyped-call]
            state = {row[0]: row[6] for row in cursor.fetchall()}.get(number)
            if state == _WAITS_FOR_SPACE:
                cursor.execute(f"KILL QUERY {number}")
            return state
    finally:
        asking.close()
