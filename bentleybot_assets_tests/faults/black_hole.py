"""A proxy on this machine that one day stops forwarding, but keeps its connections open."""

from __future__ import annotations

import contextlib
import socket
import threading


class BlackHole:
    """Forwards to a port until it swallows.

    Args:
        target: port of this machine.
    """

    def __init__(self, target: int) -> None:
        self._target = target
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
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._swallows.is_set():
                    sink.sendall(data)
            if not self._swallows.is_set():
                sink.shutdown(socket.SHUT_WR)
