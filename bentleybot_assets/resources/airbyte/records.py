"""From an Airbyte stream's records to the typed frame of its raw table: one step for all connections.

Belongs here: JSON values to polars types. Does not belong here: whether the values are good (``core.audit``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import polars as pl

from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.core.audit import Fault

Record = Mapping[str, Any]


@dataclass(frozen=True)
class _Form:
    """How JSON writes a polars type; ``pattern`` is the strptime pattern of a text that stands for a time."""

    accepted: frozenset[type]
    words: str
    pattern: str | None = None


_FORMS: dict[Any, _Form] = {
    pl.String: _Form(frozenset({str}), "a text"),
    pl.Float64: _Form(frozenset({float, int}), "a number"),
    pl.Boolean: _Form(frozenset({bool}), "true or false"),
    pl.Date: _Form(frozenset({str}), "an ISO date like 2022-12-28", "%Y-%m-%d"),
    pl.Datetime: _Form(
        frozenset({str}),
        "an ISO instant with its offset like 2022-12-28T21:00:00Z",
        "%Y-%m-%dT%H:%M:%S%.f%#z",
    ),
}
_NULL = frozenset({type(None)})


class MalformedRecordsError(ValueError):
    """Records that do not fit their table; ``faults`` says why, one fault per column."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(fault.message for fault in faults))
        self.faults = tuple(faults)


def normalise(contract: type[RawContract], records: Sequence[Record]) -> tuple[pl.DataFrame, set[str]]:
    """The records as a frame with the contract's columns and types, in their order, and fields it has no column for.

    What a record has beyond the contract's columns goes into ``extra``. A column that may be null may be left out, as
    the protocol's own writer does with nulls. Nothing is coerced: texts in ISO form become dates and UTC instants,
    JSON's whole numbers become floating point, and a null stays null in any column.

    Raises:
        MalformedRecordsError: a record lacks a column or has one too many, or a value is not of its column's
        type.
            Each fault names source, table, row key, column, value and rule.
    """
    schema = contract.polars_schema()
    undeclared: set[str] = set()
    if not all(record.keys() == schema.keys() for record in records):
        if lacking := _shape_faults(contract, records):
            raise MalformedRecordsError(lacking)
        undeclared = {name for record in records for name in record.keys() - schema.keys()}
        blank = dict.fromkeys(schema)
        records = [_with_extra({**blank, **record}, record.keys() - schema.keys()) for record in records]
    columns, faults = [], []
    for name, dtype in schema.items():
        values = [record[name] for record in records]
        column, unreadable = _typed(name, values, dtype)
        columns.append(column)
        if unreadable is not None:
            faults.append(_type_fault(contract, name, _FORMS[dtype.base_type()], records[unreadable]))
    if faults:
        raise MalformedRecordsError(faults)
    return pl.DataFrame(columns), undeclared


def _typed(name: str, values: list[Any], dtype: pl.DataType) -> tuple[pl.Series, int | None]:
    """The values as a column of ``dtype``, and the position of the first that cannot be, if any."""
    form = _FORMS[dtype.base_type()]
    accepted = form.accepted | _NULL
    if not set(map(type, values)) <= accepted:
        return pl.Series(name, dtype=dtype), [type(value) in accepted for value in values].index(False)
    if form.pattern is None:
        return pl.Series(name, values, dtype=dtype), None
    texts = pl.Series(name, values, dtype=pl.String)
    times = texts.str.strptime(dtype, form.pattern, strict=False)
    if times.null_count() > texts.null_count():
        return times, (times.is_null() & texts.is_not_null()).arg_max()
    return times, None


def _with_extra(record: Record, undeclared: AbstractSet[str]) -> Record:
    """The record with its undeclared fields, if it has any, in ``extra``, beside what the source put there."""
    if not undeclared:
        return record
    kept = json.loads(record["extra"]) if record["extra"] else {}
    extra = kept | {name: record[name] for name in sorted(undeclared)}
    declared = {name: value for name, value in record.items() if name not in undeclared}
    return {**declared, "extra": json.dumps(extra, ensure_ascii=False)}


def _shape_faults(contract: type[RawContract], records: Sequence[Record]) -> list[Fault]:
    """One fault per column that some record lacks and must have."""
    required = {name for name, column in contract.to_schema().columns.items() if not column.nullable}
    faults: dict[str, Fault] = {}
    for record in records:
        for column in required - record.keys() - faults.keys():
            faults[column] = Fault(
                "column_exists",
                column,
                f"{_where(contract, record)}: column {column} is missing, value none; the rule is that every "
                "record has every column that may not be null. Deliver it, or change the contract.",
            )
    return [faults[column] for column in sorted(faults)]


def _type_fault(contract: type[RawContract], column: str, form: _Form, record: Record) -> Fault:
    return Fault(
        "column_type",
        column,
        f"{_where(contract, record)}: column {column} = {record[column]!r}; the rule is that it is "
        f"{form.words}. Mend the source.",
    )


def _where(contract: type[RawContract], record: Record) -> str:
    """Table, row key and source of a record, as far as it tells them."""
    key = ", ".join(f"{name}={record.get(name)}" for name in contract.rules().grain)
    return f"{contract.table_name()} at {key} from {record.get('source', 'an unnamed source')}"
