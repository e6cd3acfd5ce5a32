"""How long a server that is away, or a lock, is waited for.

Belongs here: trying transactions again, remembering whom this process has given up. Does not belong here: what is
tried (whoever asks), servers that are there but silent (``heartbeat``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from bentleybot_assets.mysql.errors import CONTENDED, LOST, MySqlError, is_timed_out
from bentleybot_assets.mysql.server import MySqlServer

_GIVEN_UP_SECONDS = 3
_given_up: dict[tuple[str, int], tuple[float, tuple[str, int]]] = {}
"""When this process gave a server up, and with what message and code."""
_log = logging.getLogger(__name__)

Explained = Callable[[Exception], MySqlError | None]
"""An error as one of ours; None if it is none of the server's."""


def _as_it_is(error: Exception) -> MySqlError | None:
    return error if isinstance(error, MySqlError) else None


def attempts(server: MySqlServer, explained: Explained = _as_it_is) -> Iterable[AbstractContextManager[Any]]:
    """Attempts at a transaction that is whole or not done: more than one where the server was away or contended.

    A server that is away is tried for ``read_seconds`` from when it was found so, however long it had worked
    before; a lock for as long as the server waited for it, once more. An answer that did not come in time was
    waited for long enough. Whoever comes just after the server was given up does not wait as long again.

    Args:
        server: where it is carried out.
        explained: the error of an attempt as one of ours; None if it is none of the server's.

    Raises:
        MySqlError: the server was given up a moment ago.
    """
    import stamina

    place = server.host, server.port
    if place in _given_up and time.monotonic() - _given_up[place][0] < _GIVEN_UP_SECONDS:
        raise MySqlError(*_given_up[place][1])
    failed_at: list[float] = []

    def is_worth_it(error: Exception) -> bool:
        said = explained(error)
        if said is None or said.code not in LOST | CONTENDED:
            return False
        now = time.monotonic()
        failed_at.append(now)
        patience = server.lock_seconds if said.code in CONTENDED else server.read_seconds
        if now - failed_at[0] < patience and not is_timed_out(error):
            if len(failed_at) == 1:
                _log.warning("%s Trying again for %d seconds.", said, patience)
            return True
        if said.code in LOST:
            give_up(server, said)
        return False

    stamina.instrumentation.set_on_retry_hooks([])  # or it tells of every attempt
    return stamina.retry_context(
        on=is_worth_it, attempts=None, timeout=None, wait_initial=0.1, wait_max=1, wait_jitter=0.2
    )


def give_up(server: MySqlServer, said: MySqlError) -> None:
    """Let nobody in this process wait for the server again for some seconds; they are told what was said."""
    _given_up[server.host, server.port] = (time.monotonic(), (str(said), said.code))
