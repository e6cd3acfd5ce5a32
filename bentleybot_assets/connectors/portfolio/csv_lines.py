"""From the bytes of a CSV export to its lines, whose cells are read as the mapping declares.

Belongs here: encoding, header, cells and their faults. Does not belong here: what a mapping may say (``csv_mapping``),
what a line means for the streams (``csv_tables``).
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from bentleybot_assets.connectors.portfolio.csv_mapping import ANY_OTHER, CsvMapping
from bentleybot_assets.connectors.portfolio.statements import StatementError
from bentleybot_assets.contracts._base import CURRENCY_PATTERN, SYMBOL_PATTERN


class CellError(ValueError):
    """A cell is not as declared; the message says what it is and what to do."""


@dataclass(frozen=True)
class Line:
    """One row of the table. Everything that reads it raises :class:`CellError` if it is not as declared.

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
                return day_of(cell, self.mapping.date_format, column)
        return None

    def posted_and_made(self) -> tuple[date | None, date | None]:
        """The days on which a transaction was posted and made, as far as they are told."""
        words = self.mapping.made_after
        for column, cell in self._of("posted_date"):
            if words and words in cell:
                posted, made = (day_of(part, self.mapping.date_format, column) for part in cell.split(words, 1))
                return posted, made
        return self.day("posted_date"), self.day("transacted_date")

    def meaning(self, name: str, default: str) -> str:
        """What a cell stands for; ``default`` if the mapping has no column for it."""
        for column, cell in self._of(name):
            values = self.mapping.values[name]
            if cell in values:
                return values[cell]
            if ANY_OTHER in values:
                return values[ANY_OTHER]
            raise CellError(
                f"{column} is {cell!r}, of which the mapping does not say what it means. Add it to `values.{name}`."
            )
        return default

    def currency(self, of_account: str | None) -> str:
        """ISO 4217 code of the amounts."""
        code = self.text("currency") or self.mapping.constants.get("currency") or of_account
        if code is None:
            raise CellError("the currency is not told. Set `currency` of the file's entry.")
        if not re.fullmatch(CURRENCY_PATTERN, code):
            raise CellError(f"the currency is {code!r}, which is none. Write an ISO 4217 code like USD.")
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


def lines(content: bytes, mapping: CsvMapping) -> Iterator[Line]:
    """The rows of a file's table, in their order.

    Args:
        content: the file.
        mapping: declares the table.

    Raises:
        StatementError: the file has no such table.
    """
    text = _decoded(content, mapping)
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
                header = _checked_header(told, number, mapping)
                continue
            if mapping.ends_before and told[0].startswith(mapping.ends_before):
                break
            yield _line(header, told, number, mapping)
    except csv.Error as error:
        raise StatementError(f"line {begins_at}: {error}. Mend the quotes, or download the file again.") from error
    if header is None:
        raise StatementError("it has no line with the names of the columns. Mend `skip_lines` of the mapping.")


def day_of(text: str, pattern: str, what: str) -> date:
    """A day.

    Args:
        text: tells it.
        pattern: as strptime has it.
        what: is read, for the message.

    Raises:
        CellError: it is none.
    """
    try:
        day = datetime.strptime(text, pattern).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise CellError(f"{what} is {text!r}, which is no date like {pattern}. Mend it, or the mapping.") from None
    if not 1900 <= day.year <= 2199:  # noqa: PLR2004 - what no statement is about
        raise CellError(f"{what} is {text!r}, which is in the year {day.year}. Mend it, or the mapping's format.")
    return day


def _decoded(content: bytes, mapping: CsvMapping) -> str:
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
    return text


def _checked_header(header: list[str], number: int, mapping: CsvMapping) -> list[str]:
    named = [name for name in header if name]
    if twice := {name for name in named if named.count(name) > 1}:
        raise StatementError(f"line {number}: two columns are named {', '.join(sorted(twice))}. Rename one.")
    columns = mapping.columns.values()
    wanted = [name for names in columns for name in ((names,) if isinstance(names, str) else names)]
    if missing := [name for name in wanted if name not in named]:
        raise StatementError(
            f"line {number}: there is no column {', '.join(missing)}; there are {', '.join(named)}. "
            "Mend `columns` or `skip_lines` of the mapping."
        )
    return header


def _line(header: Sequence[str], cells: Sequence[str], number: int, mapping: CsvMapping) -> Line:
    if len(cells) != len(header):
        raise StatementError(
            f"line {number}: it has {len(cells)} cells for {len(header)} columns. Mend the line; if the table "
            "ended before it, say so with `ends_before` of the mapping."
        )
    if any(cell and not name for name, cell in zip(header, cells, strict=True)):
        raise StatementError(f"line {number}: a cell stands in a column without a name. Name the column.")
    return Line(number, {name: cell for name, cell in zip(header, cells, strict=True) if name}, mapping)


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
        raise CellError(f"{column} is {cell!r}, which is no number like {like}. Mend the cell, or the mapping.")
    value = Decimal(text.replace(mapping.thousands, "").replace(mapping.decimal, "."))
    return -value if is_negative else value
