"""Tables in CSV exports of banks and brokers, each read as its mapping declares.

Belongs here: lines to rows of the streams. Does not belong here: files and cells (``csv_lines``), what a mapping may
say (``csv_mapping``), folders (``csv_institution``).

Every column of a file is mapped to a column, kept in ``extra`` under its own name, or listed in ``ignored``. A cell
that is not as declared condemns its file: the message names line and column.

A file may go from the oldest day to the newest or the other way: its days say which, of a file of one day the mapping.
Both tell the same, in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from bentleybot_assets.connectors.portfolio.csv_lines import CellError, Line, day_of, lines
from bentleybot_assets.connectors.portfolio.csv_mapping import CsvMapping
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Period, Row, Statement, refuse
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

_END_OF_DAY = time(23, 59, 59)

_MOVES_UNITS_ALONE = ("split", "transfer", "other")
"""Kinds of which an empty amount beside units means that no cash moves."""

_T = TypeVar("_T")


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
class _Transaction:
    """A line of transactions.

    Attributes:
        line: it.
        content: its columns, but for a key that the file does not tell.
        posted: day on which it was posted, or, if it is pending, made.
        made: day on which it was made, or else posted.
        balance: of the account after it.
    """

    line: Line
    content: dict[str, Any]
    posted: date
    made: date
    balance: float | None


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
        self._currencies: dict[str, dict[str, str]] = {}  # account to its currencies and where they are first told
        self._days: dict[str, list[date]] = {}
        self._balances: dict[tuple[str, str, date], Row] = {}
        self._rows: list[Row] = []

    def statement(self, content: bytes) -> Statement:
        """What the file says.

        Raises:
            StatementError: it is not as declared.
        """
        told = lines(content, self._mapping)
        if self._mapping.stream == "positions":
            for held in _each(told, self._position):
                self._rows.append(held)
            stream: type[Positions | Transactions] = Positions
        else:
            for made in _oldest_first(_each(told, self._transaction), self._mapping):
                self._add(made)
            stream = Transactions
        return Statement(
            {Accounts: self._accounts(), Balances: list(self._balances.values()), stream: self._rows},
            [Period(account, min(days), max(days)) for account, days in self._days.items()],
        )

    def _accounts(self) -> list[Row]:
        """The accounts of all rows; one that has amounts in several currencies has none of its own."""
        rows = []
        for account, currencies in self._currencies.items():
            currency = self._account.currency or (next(iter(currencies)) if len(currencies) == 1 else None)
            content = {"account": account, "name": self._account.name, "kind": self._account.kind, "currency": currency}
            rows.append(Row(content, {}, None, next(iter(currencies.values()))))
        return rows

    def _account_of(self, line: Line) -> str:
        account = line.text("account") or self._account.account
        if account is None:
            raise CellError("the account is not told. Set `account` of the file's entry.")
        return account

    def _note_account(self, content: dict[str, Any], line: Line) -> None:
        self._currencies.setdefault(content["account"], {}).setdefault(content["currency"], line.place)

    def _at(self, day: date, moment: time = time.min) -> datetime:
        return datetime.combine(day, moment, self._zone).astimezone(UTC)

    def _transaction(self, line: Line) -> _Transaction:
        currency = line.currency(self._account.currency)
        status = line.meaning("status", "posted")
        posted, made = line.posted_and_made()
        if status == "pending":
            posted, made = None, made or posted
        day = posted or made
        columns = self._mapping.columns
        if day is None or (status == "posted" and posted is None and "posted_date" in columns):
            raise CellError(f"{columns.get('posted_date') or columns['transacted_date']} is empty. Write the date.")
        kind, quantity = line.meaning("kind", self._mapping.constants.get("kind", "other")), line.number_of("quantity")
        content = {
            "account": self._account_of(line),
            "transaction": line.text("transaction"),
            "status": status,
            "kind": kind,
            "posted_date": None if status == "pending" else day.isoformat(),
            "transacted_date": made.isoformat() if made else None,
            "amount": self._amount(line, kind, quantity),
            "currency": currency,
            "narrative": line.text("narrative"),
            "counterparty": line.text("counterparty"),
            "category": line.text("category"),
            "security": line.text("security"),
            "symbol": line.symbol(),
            "quantity": -abs(quantity) if kind == "sell" and quantity is not None else quantity,
            "price": line.number_of("price"),
            "fees": line.number_of("fees"),
        }
        return _Transaction(line, content, day, made or day, line.number_of("balance"))

    def _amount(self, line: Line, kind: str, quantity: float | None) -> float:
        columns = self._mapping.columns
        if "amount" in columns:
            names, are = columns["amount"], "is"
            amount = line.number_of("amount")
            if amount and self._mapping.positive_is == "money_out":
                amount = -amount
        else:
            names, are = f"{columns['debit']} and {columns['credit']}", "are"
            debit, credit = line.number_of("debit"), line.number_of("credit")
            if (debit or 0) < 0 or (credit or 0) < 0 or (debit and credit):
                raise CellError(f"{names}: one of them must tell an amount, without a sign. Mend the cells.")
            amount = None if debit is None and credit is None else (credit or 0.0) - (debit or 0.0)
        if amount is None and quantity is not None and kind in _MOVES_UNITS_ALONE:
            return 0.0
        if amount is None:
            raise CellError(f"{names} {are} empty. Write the amount, 0 if there is none.")
        return amount

    def _add(self, transaction: _Transaction) -> None:
        """Note the next transaction: the oldest first."""
        line, content = transaction.line, transaction.content
        security = content["security"] or content["symbol"]
        # Two securities may pay the same on one day, in the same words.
        trade = (security, content["kind"], line.number_of("quantity"), content["price"]) if security else ()
        by_content = self._keys.key(
            content["account"], transaction.made.isoformat(), content["amount"], content["narrative"], trade
        )
        content = {**content, "transaction": content["transaction"] or by_content}
        made_at, posted_at = self._at(transaction.made), self._at(transaction.posted)
        self._rows.append(Row(content, line.extra(), made_at, line.place, posted_at))
        self._days.setdefault(content["account"], []).append(transaction.made)
        self._note_account(content, line)
        if transaction.balance is not None and content["status"] == "posted":
            self._add_balance(content, transaction.posted, transaction.balance, line)

    def _add_balance(self, told: dict[str, Any], day: date, balance: float, line: Line) -> None:
        """The balance at the end of the day, as far as the file knows it: the last that it tells."""
        account, currency = told["account"], told["currency"]
        content = {
            "account": account,
            "current": balance,
            "available": None,
            "credit_limit": None,
            "currency": currency,
        }
        self._balances[account, currency, day] = Row(content, {}, self._at(day, _END_OF_DAY), line.place)

    def _position(self, line: Line) -> Row:
        currency = line.currency(self._account.currency)
        security = line.text("security") or line.text("symbol")
        if security is None:
            raise CellError("the security is not told. Write its name or symbol into the cell.")
        quantity = line.number_of("quantity")
        if quantity is None:
            raise CellError(f"{self._mapping.columns['quantity']} is empty. Write how many are held.")
        kind = line.meaning("kind", self._mapping.constants.get("kind", "other"))
        content = {
            "account": self._account_of(line),
            "security": security,
            "sub_account": line.meaning("sub_account", "other"),
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
        self._note_account(content, line)
        if kind == "cash":
            # A list of positions has no other place for the balance.
            self._add_balance(content, day, quantity, line)
        return Row(content, line.extra(), self._at(day, _END_OF_DAY), line.place)

    def _as_of(self, line: Line) -> date:
        if self._mapping.as_of_in_name is not None:
            return day_of(self._name, self._mapping.as_of_in_name, "the name of the file")
        day = line.day("as_of")
        if day is None:
            raise CellError(f"{self._mapping.columns['as_of']} is empty. Write the date.")
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


def _each(told: Iterable[Line], read_line: Callable[[Line], _T]) -> list[_T]:
    """What each line says.

    Raises:
        StatementError: some are not as declared; the message has the first of them.
    """
    found, problems = [], []
    for line in told:
        try:
            found.append(read_line(line))
        except CellError as problem:
            problems.append(f"{line.place}: {problem}")
    refuse(problems)
    return found


def _oldest_first(told: Sequence[_Transaction], mapping: CsvMapping) -> Sequence[_Transaction]:
    """The transactions of a file in the order in which they were posted; pending ones may stand anywhere."""
    days: dict[str, list[date]] = {}
    for transaction in told:
        if transaction.content["status"] == "posted":
            days.setdefault(transaction.content["account"], []).append(transaction.posted)
    steps = [later - earlier for listed in days.values() for earlier, later in itertools.pairwise(listed)]
    rising, falling = (sum(step.days * sign > 0 for step in steps) for sign in (1, -1))
    is_newest_first = falling > rising if falling != rising else mapping.row_order == "newest_first"
    return told[::-1] if is_newest_first else told
