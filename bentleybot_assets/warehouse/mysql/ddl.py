"""From a contract to MySQL's table, and from MySQL's table back to what differs.

Belongs here: identifiers, column types, CREATE and ALTER statements. Does not belong here: rows (``transfer``), when a
table is made (``warehouse``). The SQL is valid on MySQL 8 and MariaDB alike (a test parses it as MySQL's dialect).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.core.audit import QUARANTINE
from bentleybot_assets.warehouse.base import SchemaMismatchError

NON_FINITE = "_non_finite"
"""Hidden column of tables that may hold NaN or infinities: a JSON object, column to ``NaN``, ``inf`` or ``-inf``."""

DELIVERY, ROW = "_delivery", "_row"
"""Hidden columns of a log: number of the delivery, position in it."""

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_TEXT, _LONG_TEXT = "varchar(255)", "longtext"
_TYPES: dict[Any, str] = {
    pl.Float64: "double",
    pl.Int64: "bigint",
    pl.Boolean: "tinyint(1)",
    pl.Date: "date",
    pl.Datetime: "datetime(6)",
}


@dataclass(frozen=True)
class Column:
    """A column as MySQL keeps it."""

    name: str
    type: str
    is_nullable: bool
    comment: str = ""

    def sql(self) -> str:
        """Its definition in a CREATE or ALTER statement."""
        null = "NULL" if self.is_nullable else "NOT NULL"
        return f"{quoted(self.name)} {self.type} {null} COMMENT '{_literal(self.comment)}'"


@dataclass(frozen=True)
class Table:
    """A table as MySQL keeps it: a contract's, or the quarantine of one."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    index: tuple[str, ...] = ()
    comment: str = ""

    def create(self, name: str) -> str:
        """The CREATE statement, for a table called ``name``."""
        parts = [column.sql() for column in self.columns]
        if self.primary_key:
            parts.append(f"PRIMARY KEY ({_list(self.primary_key)})")
        if self.index:
            parts.append(f"KEY {quoted('by_' + self.index[0])} ({_list(self.index)})")
        return (
            f"CREATE TABLE {quoted(name)} (\n  " + ",\n  ".join(parts) + "\n) ENGINE=InnoDB "
            f"DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='{_literal(self.comment)}'"
        )

    def upgrades(self, existing: Mapping[str, Column], key: Collection[str]) -> list[str]:
        """ALTER statements that add what the table lacks.

        Args:
            existing: the columns the database has.
            key: those of its primary key there.

        Raises:
            SchemaMismatchError: it differs in another way; the message has the statements an administrator may run.
        """
        wanted = {column.name: column for column in self.columns}
        added = [column for column in self.columns if column.name not in existing]
        statements = [f"ALTER TABLE {quoted(self.name)} ADD COLUMN {column.sql()}" for column in added]
        other = [step for column in added if not column.is_nullable for step in self._filled(column)]
        other += [
            f"ALTER TABLE {quoted(self.name)} MODIFY COLUMN {column.sql()}"
            for name, column in wanted.items()
            if name in existing and not _is_same(existing[name], column)
        ]
        other += [
            f"ALTER TABLE {quoted(self.name)} DROP COLUMN {quoted(name)}" for name in existing if name not in wanted
        ]
        if set(key) != set(self.primary_key):
            drop = ["DROP PRIMARY KEY"] if key else []
            add = [f"ADD PRIMARY KEY ({_list(self.primary_key)})"] if self.primary_key else []
            other.append(f"ALTER TABLE {quoted(self.name)} {', '.join(drop + add)}")
        if other:
            raise SchemaMismatchError(
                f"table {self.name} is not what its contract declares, and more than a nullable column is new. Look at "
                f"the data, then run: {'; '.join(other)}; or, if it can be computed again: DROP TABLE "
                f"{quoted(self.name)}."
            )
        return statements

    def _filled(self, column: Column) -> list[str]:
        """Statements that add a column of which every row must have a value, which only a person can say."""
        optional = replace(column, is_nullable=True)
        return [
            f"ALTER TABLE {quoted(self.name)} ADD COLUMN {optional.sql()}",
            f"UPDATE {quoted(self.name)} SET {quoted(column.name)} = <what is true of each row>",  # noqa: S608 - shown, not run
            f"ALTER TABLE {quoted(self.name)} MODIFY COLUMN {column.sql()}",
        ]


def table_of(contract: type[Contract]) -> Table:
    """The table of a contract: date-leading key, so that a session is one stretch of it."""
    declared = contract.to_schema().columns
    grain = contract.rules().grain
    columns = [
        Column(
            name,
            _type(spec.dtype.type, is_long=(spec.metadata or {}).get("long", False)),
            bool(spec.nullable) or not (spec.metadata or {}).get("finite", True),
            _comment(spec),
        )
        for name, spec in declared.items()
    ]
    if may_hold_non_finite(contract):
        columns.append(Column(NON_FINITE, _LONG_TEXT, is_nullable=True, comment="Values that DOUBLE cannot hold"))
    days = tuple(name for name in grain if declared[name].dtype.type == pl.Date)
    if contract.rules().is_log:
        log = (
            Column(DELIVERY, "bigint", is_nullable=False, comment="Number of the delivery"),
            Column(ROW, "bigint", is_nullable=False, comment="Position in the delivery"),
        )
        return Table(contract.table_name(), (*log, *columns), (DELIVERY, ROW), days[:1], contract.description())
    key = (*(days if "session" in days else ()), *(name for name in grain if name not in days or "session" not in days))
    return Table(contract.table_name(), tuple(columns), key, (), contract.description())


def quarantine_of(contract: type[Contract]) -> Table:
    """The table of a contract's quarantined rows."""
    columns = tuple(Column(name, _LONG_TEXT, is_nullable=True) for name in QUARANTINE)
    return Table(f"quarantine__{contract.table_name()}", columns, (), (), f"Set aside from {contract.table_name()}")


def may_hold_non_finite(contract: type[Contract]) -> bool:
    """Whether a column of the contract keeps NaN and infinities."""
    return bool(non_finite_columns(contract))


def non_finite_columns(contract: type[Contract]) -> list[str]:
    """The floating point columns that keep NaN and infinities."""
    return [
        name
        for name, spec in contract.to_schema().columns.items()
        if spec.dtype.type == pl.Float64 and not (spec.metadata or {}).get("finite", True)
    ]


def quoted(identifier: str) -> str:
    """An identifier in backticks.

    Raises:
        ValueError: it is not made of lower-case letters, digits and underscores.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"{identifier!r} cannot name a table or column: use a-z, 0-9 and _, at most 64 of them.")
    return f"`{identifier}`"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, names))


def _type(dtype: Any, *, is_long: bool) -> str:
    if dtype == pl.String:
        return _LONG_TEXT if is_long else _TEXT
    return _TYPES[dtype.base_type()]


def _comment(spec: Any) -> str:
    unit = (spec.metadata or {}).get("unit")
    return f"{spec.description} ({unit})" if unit else str(spec.description)


def _is_same(existing: Column, wanted: Column) -> bool:
    return (existing.type, existing.is_nullable) == (wanted.type, wanted.is_nullable)


def _literal(text: str) -> str:
    """Text inside single quotes; a table's comment has at most 2,048 characters."""
    return text[:1024].replace("\\", "\\\\").replace("'", "''")
