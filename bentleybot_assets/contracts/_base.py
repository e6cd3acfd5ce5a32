"""The base every contract shares: how a pandera model states key, grain and what happens to bad rows.

Does not belong here: any table's own columns.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

Utc = Annotated[pl.Datetime, "us", "UTC"]
"""A column type: an instant, microseconds, UTC."""

SYMBOL_PATTERN = r"^[A-Z0-9.\-^=]{1,15}$"
"""What a symbol may look like, wherever one enters (it also reaches SQL and file names)."""

CURRENCY_PATTERN = r"^[A-Z]{3}$"
"""A code of ISO 4217."""

_PACKAGE = __package__
_KEY_PART = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def _is_finite(data: PolarsData) -> pl.LazyFrame:
    """Neither NaN nor infinite. Null is left to ``nullable``."""
    return data.lazyframe.select(pl.col(data.key).is_finite().fill_null(value=True))


@functools.cache
def _with_finite_rule(contract: type[Contract]) -> pa.DataFrameSchema:
    """The pandera schema with ``is_finite`` on each floating point column that asks for it.

    Polars sorts NaN above every number, so ``gt=0`` alone would let it pass.
    """
    schema = super(Contract, contract).to_schema()
    for declared in schema.columns.values():
        if declared.dtype.type == pl.Float64 and (declared.metadata or {}).get("finite"):
            declared.checks.insert(0, pa.Check(_is_finite, name="is_finite"))
    return schema


@dataclass(frozen=True)
class TableRules:
    """What holds of a table beyond its columns.

    Attributes:
        grain: columns that together identify a row; the table is stored sorted by them.
        quarantines_rows: a row that breaks a rule is set aside and the rest published. Where False
            (the default: derived tables, orders) one bad row condemns the whole frame.
        may_be_empty: zero rows are a legitimate content.
        is_log: rows are kept as delivered. Identical duplicates stay, nothing is sorted and the size
            rule does not apply; two different rows of one delivery with equal grain still conflict.
    """

    grain: tuple[str, ...]
    quarantines_rows: bool = False
    may_be_empty: bool = False
    is_log: bool = False


class Contract(pa.DataFrameModel):
    """Base of all contracts: strict columns, fixed order, no coercion.

    A subclass states ``_rules`` and one annotated :func:`column` per column. Its docstring is the table's
    description; its module and name give its asset key.
    """

    _rules: TableRules

    class Config:
        strict = True
        ordered = True
        coerce = False

    @classmethod
    def to_schema(cls) -> pa.DataFrameSchema:
        """The pandera schema, floating point columns refusing NaN unless declared otherwise."""
        return _with_finite_rule(cls)

    @classmethod
    def rules(cls) -> TableRules:
        """The table's rules."""
        return cls._rules

    @classmethod
    def asset_key(cls) -> tuple[str, ...]:
        """``contracts/market.py::DailyBars`` -> ``("market", "daily_bars")``."""
        module = cls.__module__.removeprefix(f"{_PACKAGE}.")
        return (*module.split("."), re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower())

    @classmethod
    def table_name(cls) -> str:
        """The asset key as one name for messages and SQL views, for instance ``market__daily_bars``."""
        return "__".join(cls.asset_key())

    @classmethod
    def description(cls) -> str:
        """The docstring, unindented."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def polars_schema(cls) -> dict[str, pl.DataType]:
        """Column name to polars type, in order."""
        return {name: column.dtype.type for name, column in cls.to_schema().columns.items()}

    @classmethod
    def empty_frame(cls) -> pl.DataFrame:
        """A frame with the contract's columns and no rows."""
        return pl.DataFrame(schema=cls.polars_schema())

    @classmethod
    def is_by_session(cls) -> bool:
        """Whether rows belong to an exchange session: such tables are stored split by year."""
        return "session" in cls._rules.grain


def column(
    description: str,
    *,
    unit: str | None = None,
    finite: bool = True,
    is_long: bool = False,
    isin: Sequence[str] | None = None,
    **constraints: Any,
) -> Any:
    """Declare a column: what it means, its unit, its constraints (pandera's own names).

    Args:
        description: one line that a reader of the Columns tab understands.
        unit: ``USD``, ``fraction``, ``shares``...; None where a unit makes no sense.
        finite: refuse NaN and infinities; applied to floating point columns by the contract check. Raw
            columns that keep what was delivered switch it off.
        is_long: a text that may have more than 255 characters.
        isin: allowed values.
        **constraints: ``nullable``, ``gt``, ``ge``, ``lt``, ``le``, ``str_matches``.
    """
    if isin is not None:
        constraints["isin"] = list(isin)
    return pa.Field(description=description, metadata={"unit": unit, "finite": finite, "long": is_long}, **constraints)


def contract_for(asset_key: Sequence[str]) -> type[Contract]:
    """The contract of an asset key: the inverse of :meth:`Contract.asset_key`.

    Raises:
        LookupError: no such contract; the message names the file and class that were looked for, and the tables
            there are.
    """
    key = tuple(asset_key)
    shown = "/".join(key)
    # Looked at before anything is imported by it: a key may come from the command line.
    if len(key) > 1 and all(_KEY_PART.fullmatch(part) for part in key):
        *modules, table = key
        class_name = "".join(word.capitalize() for word in table.split("_"))
        found = _class_in(".".join([_PACKAGE, *modules]), class_name)
        # A module also holds what it imports.
        if found is not None and issubclass(found, Contract) and found.asset_key() == key:
            return found
        looked_for = f"contracts/{'/'.join(modules)}.py has no contract {class_name}"
    else:
        looked_for = "a table is named by words in lower case, joined by slashes"
        shown = repr(shown)
    there_are = ", ".join("/".join(contract.asset_key()) for contract in contracts())
    raise LookupError(f"There is no table {shown}: {looked_for}. The tables are {there_are}.")


def _class_in(module: str, name: str) -> type | None:
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        return None
    return found if isinstance(found, type) else None


def contracts() -> list[type[Contract]]:
    """Every contract there is, sorted by key."""
    package = importlib.import_module(_PACKAGE)
    modules = [found.name for found in pkgutil.walk_packages(package.__path__, f"{_PACKAGE}.")]
    classes = [value for name in modules for value in vars(importlib.import_module(name)).values()]
    found = {value for value in classes if isinstance(value, type) and issubclass(value, Contract)}
    tables = {value for value in found if "_rules" in vars(value)}
    return sorted(tables, key=lambda contract: contract.asset_key())
