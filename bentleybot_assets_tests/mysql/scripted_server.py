"""A server that speaks enough of MySQL's protocol to greet anybody and answer what a test wants.

Does not belong here: anything a real server can show (``mariadb``).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from bentleybot_assets.mysql import MySqlServer

_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_CAPABILITIES = 0x000AA28D
"""Among them the 4.1 protocol, databases, transactions, plugins and LOCAL files; no TLS."""


class ScriptedServer:
    """Listens on loopback; every login is welcome.

    Args:
        version: what it says it is.
        file_asked_for: the file it asks for in answer to a statement; None: it says OK.

    Attributes:
        received: what clients sent after they had been asked for a file.
    """

    def __init__(
        self, version: str = "8.4.0", file_asked_for: Callable[[bytes], bytes | None] = lambda statement: None
    ) -> None:
        self._version = version
        self._file_asked_for = file_asked_for
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def account(self) -> MySqlServer:
        """Anybody's."""
        return MySqlServer("127.0.0.1", self._listener.getsockname()[1], "desk", "hunter2", "desk")

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError, EOFError):
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        greeting = b"".join(
            (
                b"\x0a" + self._version.encode() + b"\x00",
                struct.pack("<I", 1) + b"salt" * 2 + b"\x00",
                struct.pack("<HBHH", _CAPABILITIES & 0xFFFF, 45, 2, _CAPABILITIES >> 16),  # 45: utf8mb4
                b"\x15" + bytes(10) + b"more salt..." + b"\x00",
                b"mysql_native_password\x00",
            )
        )
        _send(client, 0, greeting)
        _receive(client)
        _send(client, 2, _OK)
        while True:
            statement = _receive(client)
            file = self._file_asked_for(statement)
            if file is None:
                _send(client, 1, _OK)
                continue
            _send(client, 1, b"\xfb" + file)
            number = 2
            while part := _receive(client):
                self.received.append(part)
                number += 1
            _send(client, number + 1, _OK)


def _send(client: socket.socket, number: int, content: bytes) -> None:
    client.sendall(struct.pack("<I", len(content))[:3] + bytes([number]) + content)


def _receive(client: socket.socket) -> bytes:
    size = int.from_bytes(_exactly(client, 4)[:3], "little")
    return _exactly(client, size)


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = client.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found
