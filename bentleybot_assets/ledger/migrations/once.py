"""Steps that may be taken again: MySQL commits each DDL statement, so a killed migration leaves the first ones done.

Does not belong here: any table of ours (``versions``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""Case and accents count, as in SQLite and Python; trailing blanks do not."""


def create_table(name: str, *items: Any, **options: Any) -> None:
    """Create a table that is not there yet."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *items, **options, **_MYSQL)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Create an index that is not there yet."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that is not there yet."""
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def rename_column(table: str, old: str, new: str) -> None:
    """Rename a column that still has its old name; its values stay."""
    if old in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}:
        # Written out: Alembic would copy the whole table on SQLite. Names are ours.
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
