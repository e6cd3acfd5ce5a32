"""Tables in CSV exports of banks and brokers, each read as its mapping declares.

Belongs here: cells to rows of the streams. Does not belong here: what a mapping may say (``csv_mapping``), folders
(``files``).

Every column of a file is mapped to a column, kept in ``extra`` under its own name, or listed in ``ignored``. A cell
that is not as declared condemns its file: the message names line and column.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.portfolio.csv_mapping import ANY_OTHER, CsvMapping, mapping_of
from bentleybot_assets.connectors.portfolio.files import Files, FilesInstitution
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Period, Row, Statement, StatementError
from bentleybot_assets.contracts._base import SYMBOL_PATTERN
from bentleybot_assets.contracts.raw.portfolio import (
    ACCOUNT_KINDS,
    CURRENCY_PATTERN,
    Accounts,
    Balances,
    Positions,
    Transactions,
)

_END_OF_DAY = time(23, 59, 59)
_MOST_PROBLEMS = 5


class _CellError(ValueError):
    """A cell is not as declared; the message says what it is and what to do."""


@dataclass(frozen=True)
class Account:
    """What the configuration says of the account that a file is of.

    Attributes:
        account: its identity, where the file has no column for it.
        name: what the user calls it.
        kind: see ACCOUNT_KINDS.
        currency: of files that have neither a column nor a constant for it.
    """

    account: str | None
    name: str | None
    kind: str
    currency: str | None


@dataclass(frozen=True)
class _Line:
    """One row of the table, read as the mapping declares.

    Attributes:
        number: its line in the file.
        cells: column of the file to its cell, without surrounding blanks.
        mapping: declares the table.
    """

    number: int
    cells: Mapping[str, str]
    mapping: CsvMapping

    @property
    def place(self) -> str:
        """The row, for messages."""
        return f"line {self.number}"

    def text(self, name: str) -> str | None:
        """The cells of a column of the contract, joined; None if it has none or they are empty."""
        return " ".join(filter(None, (cell for _, cell in self._of(name)))) or None

    def number_of(self, name: str) -> float | None:
        """An amount; None if there is none."""
        told = [_number(cell, self.mapping, column) for column, cell in self._of(name) if cell]
        return float(sum(map(abs, told))) if name == "fees" and told else float(told[0]) if told else None

    def day(self, name: str) -> date | None:
        """A day; None if there is none."""
        for column, cell in self._of(name):
            if cell:
                return _day(cell, self.mapping.date_format, column)
        return None

    def meaning(self, name: str, default: str) -> str:
        """What a cell stands for; ``default`` if the mapping has no column for it."""
        for column, cell in self._of(name):
            values = self.mapping.values[name]
            if cell in values:
                return values[cell]
            if ANY_OTHER in values:
                return values[ANY_OTHER]
            raise _CellError(
                f"{column} is {cell!r}, of which the mapping does not say what it means. Add it to `values.{name}`."
            )
        return default

    def currency(self, of_account: str | None) -> str:
        """ISO 4217 code of the amounts."""
        code = self.text("currency") or self.mapping.constants.get("currency") or of_account
        if code is None:
            raise _CellError("the currency is not told. Set `currency` of the file's entry.")
        if not re.fullmatch(CURRENCY_PATTERN, code):
            raise _CellError(f"the currency is {code!r}, which is none. Write an ISO 4217 code like USD.")
        return code

    def symbol(self) -> str | None:
        """The ticker, if it looks like one."""
        told = (self.text("symbol") or "").upper()
        return told if re.fullmatch(SYMBOL_PATTERN, told) else None

    def extra(self) -> dict[str, str]:
        """What is not mapped and not ignored; also what a kind is called, and a ticker that does not look like one."""
        mapped = {column for name in self.mapping.columns if name != "kind" for column, _ in self._of(name)}
        if self.text("symbol") and self.symbol() is None and "security" not in self.mapping.columns:
            mapped -= {column for column, _ in self._of("symbol")}
        dropped = mapped | set(self.mapping.ignored)
        return {column: cell for column, cell in self.cells.items() if column not in dropped and cell}

    def _of(self, name: str) -> list[tuple[str, str]]:
        columns = self.mapping.columns.get(name, ())
        return [(column, self.cells[column]) for column in ((columns,) if isinstance(columns, str) else columns)]


def _number(cell: str, mapping: CsvMapping, column: str) -> Decimal:
    text = cell
    for sign in mapping.currency_signs:
        text = text.replace(sign, "", 1)
    text = text.strip()
    is_negative = False
    if mapping.negative == "parentheses":
        is_negative = text.startswith("(") and text.endswith(")")
        text = text[1:-1] if is_negative else text
    elif text[:1] in {"-", "+", "\N{MINUS SIGN}"}:
        is_negative, text = text[0] != "+", text[1:].strip()
    groups = rf"\d{{1,3}}(?:{re.escape(mapping.thousands)}\d{{3}})+|" if mapping.thousands else ""
    if not re.fullmatch(rf"(?:{groups}\d+)(?:{re.escape(mapping.decimal)}\d+)?", text, re.ASCII):
        like = f"1{mapping.thousands}234{mapping.decimal}56"
        raise _CellError(f"{column} is {cell!r}, which is no number like {like}. Mend the cell, or the mapping.")
    value = Decimal(text.replace(mapping.thousands, "").replace(mapping.decimal, "."))
    return -value if is_negative else value


def _day(text: str, pattern: str, what: str) -> date:
    try:
        day = datetime.strptime(text, pattern).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise _CellError(f"{what} is {text!r}, which is no date like {pattern}. Mend it, or the mapping.") from None
    if not 1900 <= day.year <= 2199:  # noqa: PLR2004 - what no statement is about
        raise _CellError(f"{what} is {text!r}, which is in the year {day.year}. Mend it, or the mapping's format.")
    return day


class _Table:
    """A file while it is read.

    Args:
        name: of the file.
        mapping: declares it.
        account: what the configuration says of it.
    """

    def __init__(self, name: str, mapping: CsvMapping, account: Account) -> None:
        self._name = name
        self._mapping = mapping
        self._account = account
        self._zone = ZoneInfo(mapping.timezone)
        self._keys = ContentKeys()
        self._accounts: dict[str, Row] = {}
        self._days: dict[str, list[date]] = {}
        self._balances: dict[tuple[str, date], Row] = {}
        self._rows: list[Row] = []

    def statement(self, content: bytes) -> Statement:
        """What the file says.

        Raises:
            StatementError: it is not as declared.
        """
        add = self._add_position if self._mapping.stream == "positions" else self._add_transaction
        problems = []
        for line in self._lines(content):
            try:
                add(line)
            except _CellError as problem:
                problems.append(f"{line.place}: {problem}")
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            raise StatementError(" ".join(problems[:_MOST_PROBLEMS]) + (f" And {more} more." if more > 0 else ""))
        stream = Positions if self._mapping.stream == "positions" else Transactions
        return Statement(
            {
                Accounts: list(self._accounts.values()),
                Balances: list(self._balances.values()),
                stream: self._rows,
            },
            [Period(account, min(days), max(days)) for account, days in self._days.items()],
        )

    def _lines(self, content: bytes) -> Iterator[_Line]:
        mapping = self._mapping
        try:
            text = content.decode(mapping.encoding)
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise StatementError(
                f"line {line}: byte {error.start} is not {mapping.encoding}. Mend `encoding` of the mapping."
            ) from None
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise StatementError(f"line {line}: it has a NUL character, which no text has. Download the file again.")
        physical = io.StringIO(text, newline="")
        skipped = len(list(itertools.islice(physical, mapping.skip_lines)))
        reader = csv.reader(physical, delimiter=mapping.delimiter, quotechar=mapping.quote, strict=True)
        header: list[str] | None = None
        begins_at = skipped + 1
        try:
            for cells in reader:
                number, begins_at = begins_at, skipped + reader.line_num + 1
                told = [cell.strip() for cell in cells]
                if not any(told):
                    continue
                if header is None:
                    header = self._checked_header(told, number)
                    continue
                if mapping.ends_before and told[0].startswith(mapping.ends_before):
                    break
                yield self._line(header, told, number)
        except csv.Error as error:
            raise StatementError(f"line {begins_at}: {error}. Mend the quotes, or download the file again.") from error
        if header is None:
            raise StatementError("it has no line with the names of the columns. Mend `skip_lines` of the mapping.")

    def _checked_header(self, header: list[str], number: int) -> list[str]:
        named = [name for name in header if name]
        if twice := {name for name in named if named.count(name) > 1}:
            raise StatementError(f"line {number}: two columns are named {', '.join(sorted(twice))}. Rename one.")
        columns = self._mapping.columns.values()
        wanted = [name for names in columns for name in ((names,) if isinstance(names, str) else names)]
        if missing := [name for name in wanted if name not in named]:
            raise StatementError(
                f"line {number}: there is no column {', '.join(missing)}; there are {', '.join(named)}. "
                "Mend `columns` or `skip_lines` of the mapping."
            )
        return header

    def _line(self, header: Sequence[str], cells: Sequence[str], number: int) -> _Line:
        if len(cells) != len(header):
            raise StatementError(
                f"line {number}: it has {len(cells)} cells for {len(header)} columns. Mend the line; if the table "
                "ended before it, say so with `ends_before` of the mapping."
            )
        if any(cell and not name for name, cell in zip(header, cells, strict=True)):
            raise StatementError(f"line {number}: a cell stands in a column without a name. Name the column.")
        return _Line(number, {name: cell for name, cell in zip(header, cells, strict=True) if name}, self._mapping)

    def _account_of(self, line: _Line, currency: str) -> str:
        account = line.text("account") or self._account.account
        if account is None:
            raise _CellError("the account is not told. Set `account` of the file's entry.")
        if account not in self._accounts:
            content = {"account": account, "name": self._account.name, "kind": self._account.kind, "currency": currency}
            self._accounts[account] = Row(content, {}, None, line.place)
        return account

    def _at(self, day: date, moment: time = time.min) -> datetime:
        return datetime.combine(day, moment, self._zone).astimezone(UTC)

    def _add_transaction(self, line: _Line) -> None:
        currency = line.currency(self._account.currency)
        account = self._account_of(line, currency)
        status = line.meaning("status", "posted")
        posted, made = line.day("posted_date"), line.day("transacted_date")
        if status == "pending":
            posted, made = None, made or posted
        day = posted or made
        columns = self._mapping.columns
        if day is None or (status == "posted" and posted is None and "posted_date" in columns):
            raise _CellError(f"{columns.get('posted_date') or columns['transacted_date']} is empty. Write the date.")
        amount = self._amount(line)
        narrative = line.text("narrative")
        kind, quantity = line.meaning("kind", self._mapping.constants.get("kind", "other")), line.number_of("quantity")
        security = line.text("security") or line.symbol()
        # Two securities may pay the same on one day, in the same words.
        trade = (security, kind, quantity, line.number_of("price")) if security else ()
        by_content = self._keys.key(account, (made or day).isoformat(), amount, narrative, trade)
        content = {
            "account": account,
            "transaction": line.text("transaction") or by_content,
            "status": status,
            "kind": kind,
            "posted_date": None if status == "pending" else (posted or day).isoformat(),
            "transacted_date": made.isoformat() if made else None,
            "amount": amount,
            "currency": currency,
            "narrative": narrative,
            "counterparty": line.text("counterparty"),
            "category": line.text("category"),
            "security": line.text("security"),
            "symbol": line.symbol(),
            "quantity": -abs(quantity) if kind == "sell" and quantity is not None else quantity,
            "price": line.number_of("price"),
            "fees": line.number_of("fees"),
        }
        self._rows.append(Row(content, line.extra(), self._at(made or day), line.place, self._at(day)))
        self._days.setdefault(account, []).append(made or day)
        balance = line.number_of("balance")
        if balance is not None and status == "posted":
            self._add_balance(account, posted or day, balance, currency, line)

    def _amount(self, line: _Line) -> float:
        if "amount" in self._mapping.columns:
            amount = line.number_of("amount")
            if amount is None:
                raise _CellError(f"{self._mapping.columns['amount']} is empty. Write the amount, 0 if there is none.")
            return -amount if self._mapping.positive_is == "money_out" and amount else amount
        debit, credit = line.number_of("debit") or 0.0, line.number_of("credit") or 0.0
        names = f"{self._mapping.columns['debit']} and {self._mapping.columns['credit']}"
        if debit < 0 or credit < 0 or (debit and credit):
            raise _CellError(f"{names}: one of them must tell an amount, without a sign. Mend the cells.")
        return credit - debit

    def _add_balance(self, account: str, day: date, balance: float, currency: str, line: _Line) -> None:
        """The balance at the end of the day, as far as the file knows it."""
        if self._mapping.row_order == "newest_first" and (account, day) in self._balances:
            return
        content: dict[str, Any] = {
            "account": account,
            "current": balance,
            "available": None,
            "credit_limit": None,
            "currency": currency,
        }
        self._balances[account, day] = Row(content, {}, self._at(day, _END_OF_DAY), line.place)

    def _add_position(self, line: _Line) -> None:
        currency = line.currency(self._account.currency)
        security = line.text("security") or line.text("symbol")
        if security is None:
            raise _CellError("the security is not told. Write its name or symbol into the cell.")
        quantity = line.number_of("quantity")
        if quantity is None:
            raise _CellError(f"{self._mapping.columns['quantity']} is empty. Write how many are held.")
        kind = line.meaning("kind", self._mapping.constants.get("kind", "other"))
        account = self._account_of(line, currency)
        content = {
            "account": account,
            "security": security,
            "sub_account": line.meaning("sub_account", "cash"),
            "symbol": None if kind == "cash" else line.symbol(),
            "name": line.text("name"),
            "kind": kind,
            "quantity": quantity,
            "price": line.number_of("price"),
            "value": line.number_of("value"),
            "cost_basis": line.number_of("cost_basis"),
            "currency": currency,
        }
        day = self._as_of(line)
        self._rows.append(Row(content, line.extra(), self._at(day, _END_OF_DAY), line.place))
        if kind == "cash":
            # A list of positions has no other place for the balance.
            self._add_balance(account, day, quantity, currency, line)

    def _as_of(self, line: _Line) -> date:
        if self._mapping.as_of_in_name is not None:
            return _day(self._name, self._mapping.as_of_in_name, "the name of the file")
        day = line.day("as_of")
        if day is None:
            raise _CellError(f"{self._mapping.columns['as_of']} is empty. Write the date.")
        return day


def read(name: str, content: bytes, mapping: CsvMapping, account: Account) -> Statement:
    """What a CSV file says.

    Args:
        name: of the file.
        content: of the file.
        mapping: declares it.
        account: what the configuration says of the account.

    Raises:
        StatementError: it is not as declared.
    """
    return _Table(name, mapping, account).statement(content)


class CsvInstitution(FilesInstitution):
    """An institution whose exports are CSV files.

    Args:
        settings: see :class:`Institution`.
        start: see :class:`Institution`.
        clock: see :class:`Institution`.
    """

    SETTINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "files": {
            "type": "array",
            "minItems": 1,
            "title": "Files",
            "description": "The exports: transactions, positions, one or more accounts.",
            "items": {
                "type": "object",
                "required": ["path", "mapping", "account_kind"],
                "additionalProperties": False,
                "properties": {
                    "path": {
                        "type": "string",
                        "minLength": 1,
                        "title": "Path",
                        "description": "A file, a folder, or a folder and a pattern of names such as exports/*.csv.",
                    },
                    "mapping": {
                        "type": ["string", "object"],
                        "title": "Mapping",
                        "description": "How the files are to be read: bank, broker_us, broker_us_positions, broker_eu, "
                        "or a mapping of your own.",
                    },
                    "account": {
                        "type": "string",
                        "minLength": 1,
                        "title": "Account",
                        "description": "Its number, if the files do not tell it.",
                    },
                    "account_name": {"type": "string", "title": "Account name", "description": "What you call it."},
                    "account_kind": {"type": "string", "enum": list(ACCOUNT_KINDS), "title": "Kind of account"},
                    "currency": {
                        "type": "string",
                        "pattern": CURRENCY_PATTERN,
                        "title": "Currency",
                        "description": "Of the amounts, if the files do not tell it.",
                    },
                },
            },
        },
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None:
        files = [_files(entry, f"files[{position}]") for position, entry in enumerate(settings["files"])]
        super().__init__("csv", settings, start, clock, files)


def _files(entry: Mapping[str, Any], place: str) -> Files:
    mapping = mapping_of(entry["mapping"], place)
    if "account" not in mapping.columns and "account" not in entry:
        raise ConfigError(f"{place}: its mapping has no column for the account. Set `account`.")
    account = Account(entry.get("account"), entry.get("account_name"), entry["account_kind"], entry.get("currency"))

    def parse(name: str, content: bytes) -> Statement:
        return read(name, content, mapping, account)

    return Files(Path(entry["path"]), (".csv",), parse)
