"""Judges a frame against its contract: what may be published, what is set aside, what condemns it.

Belongs here: telling row faults from table faults, and saying so in words. Does not belong here: the rules
themselves (``contracts``), reporting them to Dagster (``wiring``), storing anything (``warehouse``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaError, SchemaErrorReason

from bentleybot_assets.contracts._base import Contract

QUARANTINE = {
    "table": pl.String,
    "source": pl.String,
    "row_key": pl.String,
    "column": pl.String,
    "value": pl.String,
    "rule": pl.String,
}
"""Columns of a quarantined row: one row per broken rule."""

MAX_QUARANTINED_SHARE = 0.5
"""With more bad rows than good ones, a table is not one that can live without them."""

MIN_SIZE_SHARE = 0.1
"""A table that lost more than 90 % of its rows is implausible."""

_EXAMPLES = 3
_RULE_TEXT = {
    "not_nullable": "is not null",
    "is_finite": "is a finite number",
}
_STRUCTURE = {
    SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME,
    SchemaErrorReason.COLUMN_NOT_IN_SCHEMA,
    SchemaErrorReason.COLUMN_NOT_ORDERED,
    SchemaErrorReason.WRONG_DATATYPE,
}


@dataclass(frozen=True)
class Fault:
    """Why a frame as a whole must not be published."""

    rule: str
    column: str | None
    message: str


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit.

    Attributes:
        published: the rows that may be published, sorted by grain; None if the frame is condemned.
        quarantined: one row per broken rule, columns of :data:`QUARANTINE`.
        quarantined_rows: how many rows of the frame were set aside.
        faults: why the frame is condemned; empty if it is not.
    """

    published: pl.DataFrame | None
    quarantined: pl.DataFrame
    quarantined_rows: int
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        """Whether the frame may be published."""
        return not self.faults


@dataclass(frozen=True)
class _BrokenRule:
    rule: str
    column: str
    is_kept: pl.Series


def valid_rows(contract: type[Contract], frame: pl.DataFrame) -> pl.Series:
    """Which rows break no row rule: a boolean per row of ``frame``, in its order.

    Raises:
        ValueError: the frame's structure (columns, types) is not the contract's.
    """
    faults, broken = _evaluate(contract, frame)
    if faults:
        raise ValueError(faults[0].message)
    return _kept(frame, broken)


def audit(contract: type[Contract], frame: pl.DataFrame, *, published_rows: int | None = None) -> Audit:
    """Judge ``frame``.

    Row faults (a broken value rule) are quarantined if the contract says that the table can live without such
    rows; otherwise they condemn the frame. Table faults always do: missing, unexpected or retyped columns, two
    different rows for one key, an empty or implausibly small table. Identical duplicates collapse, except in a log.

    Args:
        contract: the table's contract.
        frame: what is to be published; any row order.
        published_rows: rows of the version it would replace; None if there is none.
    """
    faults, broken = _evaluate(contract, frame)
    if faults:
        return Audit(None, pl.DataFrame(schema=QUARANTINE), 0, tuple(faults))
    kept = _kept(frame, broken)
    quarantined = _quarantine_rows(contract, frame, broken)
    good = frame if not broken else frame.filter(kept)
    bad_rows = frame.height - good.height
    faults = list(_row_faults_that_condemn(contract, frame, quarantined, bad_rows))
    good, conflicts = _one_row_per_key(contract, good)
    faults += conflicts
    if not contract.rules().is_log:
        faults += _size_faults(contract, good.height, published_rows)
    return Audit(None if faults else good, quarantined, bad_rows, tuple(faults))


def _evaluate(contract: type[Contract], frame: pl.DataFrame) -> tuple[list[Fault], list[_BrokenRule]]:
    """Run pandera; split its findings into faults of structure and broken row rules."""
    try:
        # Row rules can only be evaluated on the right columns and types, so structure comes first.
        faults = _structure_faults(contract, frame)
        if faults:
            return faults, []
        # Stated here, because the environment may tell pandera to look at less, or at nothing.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            contract.to_schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as found:
        return [], [_broken_rule(contract, frame, error) for error in found.schema_errors]
    return [], []


def _structure_faults(contract: type[Contract], frame: pl.DataFrame) -> list[Fault]:
    expected = contract.polars_schema()
    name = contract.table_name()
    faults = [
        Fault(
            "column_exists",
            column,
            f"{name}: column {column} ({dtype}) is missing; the frame has {', '.join(frame.columns)}. "
            "Deliver the column, or change the contract.",
        )
        for column, dtype in expected.items()
        if column not in frame.columns
    ]
    faults += [
        Fault(
            "column_is_declared",
            column,
            f"{name}: column {column} ({frame.schema[column]}) is not in the contract. Declare or drop it.",
        )
        for column in frame.columns
        if column not in expected
    ]
    faults += [
        Fault(
            "column_type",
            column,
            f"{name}: column {column} should be {dtype} but is {frame.schema[column]}, "
            f"for instance {_first_value(frame, column)!r} at {_row_key(contract, frame, 0)}. Mend the source.",
        )
        for column, dtype in expected.items()
        if column in frame.columns and frame.schema[column] != dtype
    ]
    if not faults and list(expected) != frame.columns:
        faults.append(
            Fault(
                "column_order",
                None,
                f"{name}: columns stand as {', '.join(frame.columns)}, not as {', '.join(expected)}. "
                "Select them in the contract's order.",
            )
        )
    return faults


def _broken_rule(contract: type[Contract], frame: pl.DataFrame, error: SchemaError) -> _BrokenRule:
    if error.reason_code in _STRUCTURE or error.check_output is None:
        # Structure was checked before, so this is a rule that cannot be evaluated: a bug, not bad data.
        raise RuntimeError(f"{contract.table_name()}: rule {error.check} cannot be evaluated: {error}") from error
    column = str(error.schema.name)
    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return _BrokenRule("not_nullable", column, frame[column].is_not_null())
    rule = error.check.name if not error.check.error else str(error.check.error)
    return _BrokenRule(rule or str(error.check), column, error.check_output.to_series().fill_null(value=True))


def _kept(frame: pl.DataFrame, broken: list[_BrokenRule]) -> pl.Series:
    kept = pl.repeat(value=True, n=frame.height, dtype=pl.Boolean, eager=True)
    for rule in broken:
        kept = kept & rule.is_kept
    return kept


def _quarantine_rows(contract: type[Contract], frame: pl.DataFrame, broken: list[_BrokenRule]) -> pl.DataFrame:
    grain = contract.rules().grain
    source = pl.col("source") if "source" in frame.columns else pl.lit(None, dtype=pl.String)
    parts = [
        frame.filter(~rule.is_kept).select(
            pl.lit(contract.table_name()).alias("table"),
            source.cast(pl.String).alias("source"),
            pl.concat_str(
                [pl.format(f"{key}={{}}", pl.col(key).cast(pl.String).fill_null("null")) for key in grain],
                separator=", ",
            ).alias("row_key"),
            pl.lit(rule.column).alias("column"),
            pl.col(rule.column).cast(pl.String).fill_null("null").alias("value"),
            pl.lit(_RULE_TEXT.get(rule.rule, rule.rule.replace("_", " "))).alias("rule"),
        )
        for rule in broken
    ]
    if not parts:
        return pl.DataFrame(schema=QUARANTINE)
    return pl.concat(parts).sort("row_key", "column", "rule")


def describe(quarantined: pl.DataFrame) -> Iterator[str]:
    """Each quarantined row as one line naming table, source, row key, column, value and rule."""
    for row in quarantined.iter_rows(named=True):
        yield (
            f"{row['table']}: {row['column']} = {row['value']} at {row['row_key']}"
            f" from {row['source'] or 'this table'} breaks the rule: {row['rule']}."
        )


def _row_faults_that_condemn(
    contract: type[Contract], frame: pl.DataFrame, quarantined: pl.DataFrame, bad_rows: int
) -> Iterator[Fault]:
    if bad_rows == 0:
        return
    first = quarantined.row(0, named=True)
    examples = " ".join(describe(quarantined.head(_EXAMPLES)))
    if not contract.rules().quarantines_rows:
        yield Fault(
            first["rule"],
            first["column"],
            f"{examples} ({bad_rows} of {frame.height} rows.) This table may not lose rows: mend what computes it.",
        )
    elif bad_rows > MAX_QUARANTINED_SHARE * frame.height:
        yield Fault(
            "most_rows_are_good",
            first["column"],
            f"{contract.table_name()}: {bad_rows} of {frame.height} rows are bad, more than "
            f"{MAX_QUARANTINED_SHARE:.0%}. {examples} Mend the source.",
        )


def _one_row_per_key(contract: type[Contract], frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Fault]]:
    """Sort by grain and collapse identical duplicates (not in a log); report keys with differing rows."""
    grain = list(contract.rules().grain)
    if _is_strictly_ascending(frame, grain):
        return frame, []
    ordered = frame.sort(grain)
    if not _repeats_previous(ordered, grain).any():
        return (frame if contract.rules().is_log else ordered), []
    duplicated = ordered.filter(pl.struct(grain).is_duplicated())
    distinct = duplicated.unique()
    conflicting = distinct.filter(pl.struct(grain).is_duplicated()).sort(distinct.columns)
    if conflicting.is_empty():
        if contract.rules().is_log:
            return frame, []
        return ordered.unique(subset=grain, keep="first", maintain_order=True), []
    first = conflicting.filter(
        pl.all_horizontal(
            pl.col(key).eq_missing(pl.lit(conflicting[key][0], dtype=conflicting.schema[key])) for key in grain
        )
    )
    differing = next(name for name in first.columns if first[name].n_unique() > 1)
    values = ", ".join(str(value) for value in first[differing].to_list())
    source = first["source"][0] if "source" in first.columns else "this table"
    keys = conflicting.select(grain).n_unique()
    message = (
        f"{contract.table_name()}: {keys} key(s) have rows that differ, first {_row_key(contract, first, 0)} from "
        f"{source} with {differing} = {values}; the rule is one row per {', '.join(grain)}. "
        "Find out which is right at the source."
    )
    return frame, [Fault("one_row_per_key", differing, message)]


def _is_strictly_ascending(frame: pl.DataFrame, grain: list[str]) -> bool:
    """Whether rows ascend by ``grain``: two cheap scans that usually spare the sort."""
    ascending = pl.lit(value=False)
    tied = pl.lit(value=True)
    for key in grain:
        ascending = ascending | (tied & (pl.col(key) > pl.col(key).shift(1)))
        tied = tied & (pl.col(key) == pl.col(key).shift(1))
    return bool(frame.select(ascending.slice(1).all()).item())


def _repeats_previous(ordered: pl.DataFrame, grain: list[str]) -> pl.Series:
    return ordered.select(
        pl.all_horizontal(pl.col(key).eq_missing(pl.col(key).shift(1)) for key in grain).slice(1)
    ).to_series()


def _size_faults(contract: type[Contract], rows: int, published_rows: int | None) -> list[Fault]:
    name = contract.table_name()
    if rows == 0 and not contract.rules().may_be_empty:
        return [
            Fault(
                "table_is_not_empty",
                None,
                f"{name}: no row is left to publish. Find out why its inputs are empty; the last version stands.",
            )
        ]
    if published_rows and not contract.rules().may_be_empty and rows < MIN_SIZE_SHARE * published_rows:
        return [
            Fault(
                "table_has_not_shrunk",
                None,
                f"{name}: {rows} rows would replace {published_rows}, a loss of more than "
                f"{1 - MIN_SIZE_SHARE:.0%}. If that is right, delete the table first; the last version stands.",
            )
        ]
    return []


def _row_key(contract: type[Contract], frame: pl.DataFrame, row: int) -> str:
    if frame.is_empty():
        return "no row"
    values = frame.row(row, named=True)
    return ", ".join(f"{key}={values.get(key)}" for key in contract.rules().grain)


def _first_value(frame: pl.DataFrame, column: str) -> object:
    return None if frame.is_empty() else frame[column][0]
