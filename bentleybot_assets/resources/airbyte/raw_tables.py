"""The raw tables that Airbyte's MySQL destination fills: what they are called, and which of their rows are new.

The destination (1.x) appends each record as JSON to a raw table. Its typed tables round numbers to nine decimals, so
they are switched off (``disable_type_dedupe``) and the JSON is read.

Neither a record's random id nor the time it was extracted tells what is new. What does is ``_airbyte_loaded_at``: the
destination leaves it null and indexes it for whoever loads the rows further, which with typed tables off is this
module. It stamps a slice of the null rows with one instant, later than all before, and the newest instant whose
records were committed is kept with them in the log. So each row is taken once, however often this is interrupted and
in whatever order rows arrive.

Does not belong here: what records hold (``records``), the server that runs the destination (``client``).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.resources.airbyte.base import SyncError

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

SLICE_RECORDS = 20_000
"""Rows that are stamped at once: few enough for one transaction."""

_LONGEST_NAME = 44
"""The destination cuts longer names of tables in the middle."""
_DESTINATION_RIGHTS = "CREATE, DROP, INDEX, INSERT, SELECT"
"""What destination-mysql does in its database: tables, their indexes and rows; it empties and drops tables, too."""
_DESK_RIGHTS = "SELECT, UPDATE"
"""What this module does there: it reads rows and stamps them."""
_NEVER = datetime(1970, 1, 2, tzinfo=UTC)
_DENIED = frozenset({1044, 1142, 1143, 1227, 1370})


def raw_table_name(namespace: str, stream: str) -> str:
    """The raw table of a stream, as the destination names it.

    Args:
        namespace: the database that the connection writes its tables to.
        stream: the stream's name, the connection's prefix before it.
    """
    # One underscore more than any run of them, so that no two streams share a name.
    longest = max((len(run) for run in re.findall("_+", namespace + stream)), default=1)
    return identifier(f"{namespace}_raw{'_' * (longest + 1)}stream_{stream}")


def identifier(name: str) -> str:
    """A name of a database or table, as the destination writes it."""
    plain = unicodedata.normalize("NFKD", name)
    without_marks = "".join(letter for letter in plain if not unicodedata.combining(letter))
    written = re.sub(r"[^A-Za-z0-9_]", "_", re.sub(r"\s+", "_", without_marks)).lower()
    if len(written) <= _LONGEST_NAME:
        return written
    half = (_LONGEST_NAME - 2) // 2
    return f"{written[:half]}__{written[-half:]}"


def raw_database(database: str) -> str:
    """The database that Airbyte has to itself, beside that of the desk's tables."""
    return identifier(f"{database}_airbyte")


def set_up(database: str, *, destination: str, desk: str) -> list[str]:
    """What an administrator must run before Airbyte can write and the desk can read.

    Args:
        database: of the raw tables.
        destination: the user that Airbyte's destination logs in as, which is made.
        desk: the desk's own user.
    """
    return [
        f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4;",
        f"CREATE USER IF NOT EXISTS {_account(destination)} IDENTIFIED BY '<AIRBYTE_MYSQL_PASSWORD>';",
        _grant(_DESTINATION_RIGHTS, database, destination),
        _grant(_DESK_RIGHTS, database, desk),
    ]


@contextmanager
def raw_tables(server: MySqlServer, database: str, connection: str) -> Iterator[RawTables]:
    """The raw tables in ``database``, while nobody else takes rows of ``connection``.

    Raises:
        SyncError: the server cannot be used, or another process is at it.
    """
    database = identifier(database)
    with _explained(server, database, connection):
        session = server.connect(table=f"of {database}")
    try:
        with session.cursor() as cursor:
            with _explained(server, database, connection), server.named_errors(f"of {database}"):
                lock = hashlib.sha1(f"{database}/{connection}".encode(), usedforsecurity=False).hexdigest()[:20]
                cursor.execute("SELECT GET_LOCK(%s, %s)", (f"bentleybot_{lock}", server.lock_seconds))
                ((is_ours,),) = cursor.fetchall()
            if not is_ours:
                raise SyncError(
                    f"{connection}: another process is taking its rows from {database} on {server.shown}. Wait for it "
                    "to end, then run again."
                )
            yield RawTables(server, database, connection, cursor)
    finally:
        session.close()  # which ends the lock


class RawTables:
    """The raw tables of one connection; made by :func:`raw_tables`."""

    def __init__(self, server: MySqlServer, database: str, connection: str, cursor: Cursor) -> None:
        self._server = server
        self._database = database
        self._connection = connection
        self._cursor = cursor

    def unread(self, table: str, after: str | None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The records of a table that were not committed yet, slice by slice, each with its mark.

        Args:
            table: its name.
            after: the mark of the last slice that was committed; None if none was.

        Raises:
            SyncError: the table is not there or cannot be used as it is.
        """
        self._require(table)
        mark = _NEVER if after is None else datetime.fromisoformat(after)
        while True:
            found = self._next_mark(table, mark) or self._stamp(table, mark)
            if found is None:
                return
            mark = found
            yield f"{mark.isoformat(timespec='microseconds')}Z", self._records(table, mark)

    def _require(self, table: str) -> None:
        ask = (
            "SELECT IS_NULLABLE FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLUMN_NAME = '_airbyte_loaded_at'"
        )
        found = self._ask(table, ask, self._database, table)
        if not found:
            raise SyncError(
                f"{self._connection}: {self._server.shown} sees no raw table {self._database}.{table}. If the "
                "connection writes to another server or database, `bentleybot airbyte provision` mends it; if the "
                f"table is there, let this user read it (with its host in place of %): {self._grant()}"
            )
        if found[0][0] != "YES":
            raise SyncError(
                f"{self._connection}: in {self._database}.{table} the column _airbyte_loaded_at cannot be null, so "
                "that new rows cannot be told. Set explicit_defaults_for_timestamp = ON on the server, drop the table "
                "and refresh the connection's data in Airbyte."
            )

    def _next_mark(self, table: str, after: datetime) -> datetime | None:
        """The next slice that was stamped before, by somebody who was interrupted or for a log that is gone."""
        where = "WHERE _airbyte_loaded_at > %s"
        ((found,),) = self._ask(table, f"SELECT MIN(_airbyte_loaded_at) FROM {self._named(table)} {where}", after)  # noqa: S608
        return found  # type: ignore[no-any-return]

    def _stamp(self, table: str, after: datetime) -> datetime | None:
        """Stamp a slice of the rows that nobody took; its mark, None if there are no such rows."""
        named = self._named(table)  # of letters, digits and underscores
        tick = "INTERVAL 1 MICROSECOND"
        # Later than all before, also where the server's clock was set back.
        ((mark,),) = self._ask(
            table,
            f"SELECT GREATEST(NOW(6), COALESCE(MAX(_airbyte_loaded_at), %s) + {tick}, %s + {tick}) FROM {named}",  # noqa: S608
            after,
            after,
        )
        with self._errors(table):
            stamped = self._cursor.execute(
                f"UPDATE {named} SET _airbyte_loaded_at = %s WHERE _airbyte_loaded_at IS NULL "  # noqa: S608
                "ORDER BY _airbyte_extracted_at LIMIT %s",
                (mark, SLICE_RECORDS),
            )
        if not isinstance(mark, datetime):
            mark = datetime.fromisoformat(mark)
        return mark if stamped else None

    def _records(self, table: str, mark: datetime) -> list[dict[str, Any]]:
        where = "WHERE _airbyte_loaded_at = %s ORDER BY _airbyte_extracted_at, _airbyte_raw_id"
        rows = self._ask(table, f"SELECT _airbyte_data FROM {self._named(table)} {where}", mark)  # noqa: S608
        return [json.loads(data) for (data,) in rows]

    def _ask(self, table: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._errors(table):
            self._cursor.execute(statement, values)
            return list(self._cursor.fetchall())

    @contextmanager
    def _errors(self, table: str) -> Iterator[None]:
        with (
            _explained(self._server, self._database, self._connection),
            self._server.named_errors(f"{self._database}.{table}"),
        ):
            yield

    def _named(self, table: str) -> str:
        return f"`{self._database}`.`{table}`"

    def _grant(self) -> str:
        return _grant(_DESK_RIGHTS, self._database, self._server.user)


@contextmanager
def _explained(server: MySqlServer, database: str, connection: str) -> Iterator[None]:
    """Tell what is wrong with the raw tables as what is wrong with the connection."""
    try:
        yield
    except MySqlError as error:
        right = f" What it needs: {_grant(_DESK_RIGHTS, database, server.user)}" if error.code in _DENIED else ""
        raise SyncError(f"{connection}: {error}{right}") from error


def _grant(rights: str, database: str, user: str) -> str:
    # In a GRANT an underscore stands for any letter.
    pattern = database.replace("_", "\\_")
    return f"GRANT {rights} ON `{pattern}`.* TO {_account(user)};"


def _account(user: str) -> str:
    written = user.replace("\\", "\\\\").replace("'", "''")
    return f"'{written}'@'%'"
