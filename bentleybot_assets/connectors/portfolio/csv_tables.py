"""Tables in CSV exports of banks and brokers, each read as its mapping declares.

Belongs here: lines to rows of the streams. Does not belong here: files and cells (``csv_lines``), what a mapping may
say (``csv_mapping``), folders (``csv_files``).

Every column of a file is mapped to a column, kept in ``extra`` under its own name, or listed in ``ignored``. A cell
that is not as declared condemns its file: the message names line and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from bentleybot_assets.connectors.portfolio.csv_lines import CellError, Line, day_of, lines
from bentleybot_assets.connectors.portfolio.csv_mapping import CsvMapping
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Period, Row, Statement, StatementError
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

_END_OF_DAY = time(23, 59, 59)
_MOST_PROBLEMS = 5

_MOVES_UNITS_ALONE = ("split", "transfer", "other")
"""Kinds of which an empty amount beside units means that no cash moves."""


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
        for line in lines(content, self._mapping):
            try:
                add(line)
            except CellError as problem:
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

    def _account_of(self, line: Line, currency: str) -> str:
        account = line.text("account") or self._account.account
        if account is None:
            raise CellError("the account is not told. Set `account` of the file's entry.")
        if account not in self._accounts:
            content = {"account": account, "name": self._account.name, "kind": self._account.kind, "currency": currency}
            self._accounts[account] = Row(content, {}, None, line.place)
        return account

    def _at(self, day: date, moment: time = time.min) -> datetime:
        return datetime.combine(day, moment, self._zone).astimezone(UTC)

    def _add_transaction(self, line: Line) -> None:
        currency = line.currency(self._account.currency)
        account = self._account_of(line, currency)
        status = line.meaning("status", "posted")
        posted, made = line.posted_and_made()
        if status == "pending":
            posted, made = None, made or posted
        day = posted or made
        columns = self._mapping.columns
        if day is None or (status == "posted" and posted is None and "posted_date" in columns):
            raise CellError(f"{columns.get('posted_date') or columns['transacted_date']} is empty. Write the date.")
        kind, quantity = line.meaning("kind", self._mapping.constants.get("kind", "other")), line.number_of("quantity")
        amount = self._amount(line, kind, quantity)
        narrative = line.text("narrative")
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

    def _add_balance(self, account: str, day: date, balance: float, currency: str, line: Line) -> None:
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

    def _add_position(self, line: Line) -> None:
        currency = line.currency(self._account.currency)
        security = line.text("security") or line.text("symbol")
        if security is None:
            raise CellError("the security is not told. Write its name or symbol into the cell.")
        quantity = line.number_of("quantity")
        if quantity is None:
            raise CellError(f"{self._mapping.columns['quantity']} is empty. Write how many are held.")
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
