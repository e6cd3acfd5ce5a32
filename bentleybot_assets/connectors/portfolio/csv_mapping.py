"""How a table of a CSV export is to be read: all that such a file does not say of itself.

Does not belong here: reading one (``csv_lines``, ``csv_tables``). The mappings that ship are in ``mappings/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.contracts.raw.portfolio import SECURITY_KINDS, STATUSES, SUB_ACCOUNTS, TRANSACTION_KINDS

ANY_OTHER = "*"
"""Among ``values``: what all others mean."""

_ALLOWED = {
    "transactions": {
        *("account", "transaction", "status", "kind", "posted_date", "transacted_date", "amount", "debit", "credit"),
        *("currency", "narrative", "counterparty", "category", "security", "symbol", "quantity", "price", "fees"),
        "balance",
    },
    "positions": {
        *("account", "security", "sub_account", "symbol", "name", "kind", "quantity", "price", "value", "cost_basis"),
        *("currency", "as_of"),
    },
}
_MEANINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "transactions": {"status": STATUSES[:2], "kind": TRANSACTION_KINDS},
    "positions": {"kind": SECURITY_KINDS, "sub_account": SUB_ACCOUNTS},
}
_MAY_BE_SEVERAL = ("narrative", "fees")


class CsvMapping(BaseModel):
    """A declared table.

    Attributes:
        description: whose export it is.
        stream: what its rows are.
        encoding: of the text.
        delimiter: between cells.
        quote: around cells.
        skip_lines: before the line with the names of the columns.
        ends_before: a row whose first cell begins like this is no longer part of the table.
        date_format: as strptime has it.
        made_after: words in a cell of ``posted_date`` after which stands the day on which the transaction was made.
        as_of_in_name: of positions without a column ``as_of``: the name of the file, as strptime has it.
        timezone: of the days.
        decimal: mark before the fraction.
        thousands: mark between groups of digits; empty if there is none.
        currency_signs: that may stand beside an amount.
        negative: how an amount below zero is written.
        positive_is: what a positive ``amount`` means.
        row_order: of the rows of one day, if the file has no other, which would tell. Needed for ``balance``, which is
            delivered as it was at the end of each day.
        columns: column of the contract to that of the file. ``debit`` and ``credit`` together stand for ``amount``;
            ``narrative`` and ``fees`` may be several.
        values: of ``kind``, ``status`` and ``sub_account``: what the file writes to what it means.
        constants: column of the contract to its value, where the file has none.
        ignored: columns of the file that are not wanted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    stream: Literal["transactions", "positions"] = "transactions"
    encoding: str = "utf-8-sig"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    skip_lines: int = Field(0, ge=0)
    ends_before: str | None = None
    date_format: str = "%Y-%m-%d"
    made_after: str | None = None
    as_of_in_name: str | None = None
    timezone: str = "UTC"
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", "'", " "] = ""
    currency_signs: tuple[str, ...] = ()
    negative: Literal["minus", "parentheses"] = "minus"
    positive_is: Literal["money_in", "money_out"] = "money_in"
    row_order: Literal["oldest_first", "newest_first"] | None = None
    columns: dict[str, str | tuple[str, ...]]
    values: dict[str, dict[str, str]] = {}
    constants: dict[str, str] = {}
    ignored: tuple[str, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; write one like America/New_York") from None
        return name

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError(f"{name!r} is no encoding; write one like utf-8 or cp1252") from None
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        allowed = _ALLOWED[self.stream]
        for name, columns in self.columns.items():
            if name not in allowed:
                raise ValueError(f"columns: {name} is not one of {', '.join(sorted(allowed))}")
            if not isinstance(columns, str) and name not in _MAY_BE_SEVERAL:
                raise ValueError(f"columns: {name} must be one column")
        if unknown := self.constants.keys() - {"currency", "kind"}:
            raise ValueError(f"constants: {', '.join(sorted(unknown))} cannot be one; currency and kind can")
        meanings = _MEANINGS[self.stream]
        for name, values in self.values.items():
            for meaning in values.values():
                if meaning not in meanings.get(name, ()):
                    raise ValueError(f"values: {meaning!r} is none of {name}, which has {meanings.get(name, ())}")
        if self.constants.get("kind") not in {None, *meanings["kind"]}:
            raise ValueError(f"constants: kind must be one of {', '.join(meanings['kind'])}")
        self._refuse_gaps()
        return self

    def _refuse_gaps(self) -> None:
        has = self.columns.keys()
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same mark")
        for name in has & _MEANINGS[self.stream].keys() - self.values.keys():
            raise ValueError(f"values: {name} has a column; say what its values mean")
        if self.stream == "positions":
            if "quantity" not in has or not has & {"security", "symbol"}:
                raise ValueError("columns: positions need quantity, and security or symbol")
            if ("as_of" in has) == (self.as_of_in_name is not None):
                raise ValueError("positions need either a column as_of or as_of_in_name")
            return
        if ("amount" in has) == bool(has & {"debit", "credit"}) or len(has & {"debit", "credit"}) == 1:
            raise ValueError("columns: either amount, or debit and credit")
        if not has & {"posted_date", "transacted_date"}:
            raise ValueError("columns: posted_date or transacted_date")
        if self.made_after and ("posted_date" not in has or "transacted_date" in has):
            raise ValueError("made_after: there must be a column for posted_date and none for transacted_date")
        if "balance" in has and self.row_order is None:
            raise ValueError("row_order says which balance of a day is its last; it must be given with balance")


def mapping_of(settings: str | Mapping[str, Any], place: str) -> CsvMapping:
    """The mapping that a configuration means: the name of one that ships, or one of the user's own.

    Raises:
        ConfigError: there is none, or it is wrong; the message says what to mend.
    """
    if isinstance(settings, str):
        shipped = shipped_mappings()
        if settings not in shipped:
            raise ConfigError(
                f"{place}: there is no mapping {settings}. Name one of {', '.join(sorted(shipped))}, or write your own."
            )
        settings = shipped[settings]
    try:
        return CsvMapping.model_validate(settings)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"{place}: the mapping is wrong. {said}. Mend it.") from error


def shipped_mappings() -> dict[str, dict[str, Any]]:
    """The mappings in ``mappings/`` by name."""
    folder = files(f"{__package__}.mappings")
    return {
        entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
