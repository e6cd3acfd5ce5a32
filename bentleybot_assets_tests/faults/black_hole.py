"""A proxy on this machine that sees what is sent, and one day stops forwarding but keeps its connections open."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class BlackHole:
    """Forwards to a port until it swallows.

    Args:
        target: port of this machine.
        sees: is shown each piece that a client sends, one after the other, before it is forwarded.
    """

    def __init__(self, target: int, sees: Callable[[bytes], object] = bytes) -> None:
        self._target = target
        self._sees = sees
        self._one_sees = threading.Lock()
        self._swallows = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """From now on nothing comes through, in either direction."""
        self._swallows.set()

    def close(self) -> None:
        """Close every connection."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:
                    client.close()
                    continue
                self._sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server, self._shown), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, bytes), daemon=True).start()

    def _shown(self, data: bytes) -> None:
        with self._one_sees:
            self._sees(data)

    def _pump(self, source: socket.socket, sink: socket.socket, sees: Callable[[bytes], object]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sees(data)
                if not self._swallows.is_set():
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            if not self._swallows.is_set():
                sink.shutdown(socket.SHUT_WR)
