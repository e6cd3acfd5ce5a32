"""PyMySQL's connection, but that it sends no file except the one that a LOAD DATA of ours names.

A server may ask for any file in answer to any statement. A server that is not who it seems would read whatever this
user may read.

Does not belong here: opening one (``server``). Importing this needs PyMySQL, which the embedded profile does without.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymysql.connections import Connection, MysqlPacket  # type: ignore[attr-defined]
from pymysql.err import OperationalError

from bentleybot_assets.mysql.errors import ROGUE


class GuardedConnection(Connection):
    """A connection whose server gets what it is to have; LOAD DATA LOCAL needs ``local_infile=True``."""

    # PyMySQL's own, of which its types do not tell.
    _sock: socket.socket | None
    _read_timeout: float
    _write_timeout: float

    _offered: bytes | None = None
    _is_answer = False

    @contextmanager
    def offering(self, file: Path) -> Iterator[None]:
        """The statement that is carried out meanwhile may have ``file`` sent."""
        self._offered = str(file).encode()
        try:
            yield
        finally:
            self._offered = None

    def _read_query_result(self, unbuffered: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyMySQL's own
        self._is_answer = True
        return super()._read_query_result(unbuffered)  # type: ignore[misc]

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        packet = super()._read_packet(packet_type)  # type: ignore[no-untyped-call]
        # Only as the first packet of an answer: a row whose first value is null begins in the same way.
        is_answer, self._is_answer = self._is_answer, False
        if is_answer and packet.is_load_local_packet() and packet.get_all_data()[1:] != self._offered:
            wanted = packet.get_all_data()[1:].decode(errors="replace")
            self._force_close()  # type: ignore[attr-defined]
            raise OperationalError(ROGUE, f"the server asked for the file {wanted}, which it was not sent")
        return packet
