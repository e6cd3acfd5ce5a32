"""Every statement that is sent to MySQL, written down as it goes. Does not belong here: what they should be."""

from __future__ import annotations

from typing import Any

import connectorx
import pymysql
import pytest


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by each statement of either driver, values filled in."""
    statements: list[str] = []
    query, read_sql = pymysql.connections.Connection.query, connectorx.read_sql

    def noted(self: pymysql.Connection[Any], sql: str | bytes, unbuffered: bool = False) -> int:  # noqa: FBT001, FBT002
        statements.append(sql if isinstance(sql, str) else sql.decode("utf-8", "surrogateescape"))
        return query(self, sql, unbuffered)

    def noted_read(url: str, sql: str, **options: Any) -> Any:
        statements.append(sql)
        return read_sql(url, sql, **options)

    monkeypatch.setattr(pymysql.connections.Connection, "query", noted)
    monkeypatch.setattr(connectorx, "read_sql", noted_read)
    return statements
