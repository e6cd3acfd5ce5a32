"""Statements in OFX and QFX, as banks and brokers offer them for download.

Belongs here: what an element means. Does not belong here: tags and encodings (``ofx_tree``), values and what is ignored
(``ofx_elements``), folders (``files``).

Every element is mapped to a column, kept in ``extra`` under its own name, or listed in ``ofx_elements.IGNORED``. One
that must have a value and has none, or a wrong one, condemns its file: the message names its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

from bentleybot_assets.connectors.portfolio.files import Files, FilesInstitution
from bentleybot_assets.connectors.portfolio.ofx_elements import Moment, Reader, currency_of
from bentleybot_assets.connectors.portfolio.ofx_tree import OfxError, parse
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Period, Row, Statement, StatementError
from bentleybot_assets.contracts._base import SYMBOL_PATTERN
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import (
    Accounts,
    Balances,
    Positions,
    Transactions,
)

_ACCOUNT_KINDS = {
    "CHECKING": "checking",
    "SAVINGS": "savings",
    "MONEYMRKT": "savings",
    "CD": "savings",
    "CREDITLINE": "loan",
}
_TRANSACTION_KINDS = {
    "INT": "interest",
    "DIV": "dividend",
    "FEE": "fee",
    "SRVCHG": "fee",
    "XFER": "transfer",
    **dict.fromkeys(("POS", "PAYMENT", "CHECK", "DIRECTDEP", "DIRECTDEBIT", "REPEATPMT"), "payment"),
}
_INCOME_KINDS = {**dict.fromkeys(("DIV", "CGLONG", "CGSHORT"), "dividend"), "INTEREST": "interest"}
_INVESTMENT_KINDS = {
    **dict.fromkeys(("BUYDEBT", "BUYMF", "BUYOPT", "BUYOTHER", "BUYSTOCK"), "buy"),
    **dict.fromkeys(("SELLDEBT", "SELLMF", "SELLOPT", "SELLOTHER", "SELLSTOCK"), "sell"),
    **dict.fromkeys(("JRNLFUND", "JRNLSEC", "TRANSFER"), "transfer"),
    "CLOSUREOPT": "other",
    "INCOME": "other",
    "INVEXPENSE": "fee",
    "MARGININTEREST": "interest",
    "REINVEST": "reinvestment",
    "RETOFCAP": "other",
    "SPLIT": "split",
}
_MOVES_NO_CASH = {"CLOSUREOPT", "JRNLFUND", "JRNLSEC", "REINVEST", "TRANSFER"}
"""Of these, TOTAL is what was moved within the account or reinvested."""

_SECURITY_KINDS = {"STOCK": "equity", "MF": "fund", "DEBT": "bond", "OPT": "option", "OTHER": "other"}
_SUB_ACCOUNTS = {"CASH": "cash", "MARGIN": "margin", "SHORT": "short"}
_FEES = ("COMMISSION", "FEES", "LOAD")

_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class _Security:
    """What SECLIST says of a security."""

    symbol: str | None
    name: str | None
    kind: str
    extra: Mapping[str, Any]

    def name_as_extra(self) -> dict[str, Any]:
        """What a transaction, which has no column for it, keeps of the security."""
        unusual = {"TICKER": self.extra["TICKER"]} if "TICKER" in self.extra else {}
        return {**({"SECNAME": self.name} if self.name else {}), **unusual}


@dataclass
class _File:
    """A file while it is read.

    Attributes:
        rows: found so far.
        periods: found so far.
        problems: what is wrong.
        securities: of SECLIST, by their identity.
        shared: what is said of all accounts.
        keys: of transactions that have none.
    """

    rows: dict[type[RawContract], list[Row]] = field(
        default_factory=lambda: {contract: [] for contract in (Accounts, Balances, Positions, Transactions)}
    )
    periods: list[Period] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    securities: dict[str, _Security] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    keys: ContentKeys = field(default_factory=ContentKeys)

    def add(
        self,
        contract: type[RawContract],
        place: str,
        moment: Moment | None,
        extra: Mapping[str, Any],
        posted: Moment | None = None,
        **content: Any,
    ) -> None:
        """Note a row of a stream, and, where it was posted later than it was made, when."""
        columns = dict.fromkeys(name for name in contract.__annotations__ if name != "institution")
        at = moment.at if moment else None
        posted_at = posted.at if posted else None
        self.rows[contract].append(Row({**columns, **content}, extra, at, place, posted_at))


def read(content: bytes, encoding: str | None = None, *, is_keyed_by_content: bool = False) -> Statement:
    """What an OFX file says.

    Args:
        content: the file.
        encoding: of its text, instead of the one that its header declares.
        is_keyed_by_content: FITID is no lasting number: transactions are told apart by what they tell.

    Raises:
        StatementError: it cannot be read.
    """
    try:
        root = parse(content, encoding)
    except OfxError as error:
        raise StatementError(str(error)) from error
    file = _File()
    top = Reader(root, file.problems)
    made_at = _sign_on(top, file)
    for message_set in top.aggregates(("SECLISTMSGSRSV1",)):
        _securities(message_set, file)
    for name, wrapper, read_statement in (
        ("BANKMSGSRSV1", "STMT", _bank_statement),
        ("CREDITCARDMSGSRSV1", "CCSTMT", _bank_statement),
        ("INVSTMTMSGSRSV1", "INVSTMT", _investment_statement),
    ):
        for message_set in top.aggregates((name,)):
            for response in message_set.aggregates((f"{wrapper}TRNRS",)):
                _check_status(response)
                statement = response.aggregate(f"{wrapper}RS", required=True)
                if statement is not None:
                    read_statement(statement, file)
                file.shared.update(response.rest())
            file.shared.update(message_set.rest())
    file.shared.update(top.rest())
    if not file.rows[Accounts] and not file.problems:
        raise StatementError("there is no statement of an account in it. Download one, or take the file away.")
    if file.problems:
        more = len(file.problems) - _MOST_PROBLEMS
        raise StatementError(" ".join(file.problems[:_MOST_PROBLEMS]) + (f" And {more} more." if more > 0 else ""))
    accounts = [replace(row, extra={**row.extra, **file.shared}) for row in file.rows[Accounts]]
    transactions = file.rows[Transactions]
    transactions = _keyed_by_content(transactions) if is_keyed_by_content else _corrected(transactions)
    return Statement(
        {**file.rows, Accounts: accounts, Transactions: transactions}, file.periods, made_at.at if made_at else None
    )


def _sign_on(top: Reader, file: _File) -> Moment | None:
    """When the institution made the file. What else it says of itself is kept with its accounts."""
    message_set = top.aggregate("SIGNONMSGSRSV1", required=True)
    response = message_set and message_set.aggregate("SONRS", required=True)
    if not message_set or not response:
        return None
    _check_status(response)
    made_at = response.moment("DTSERVER", required=True)
    file.shared.update(response.rest())
    file.shared.update(message_set.rest())
    return made_at


def _check_status(response: Reader) -> None:
    """An institution that reports an error delivers no statement."""
    status = response.aggregate("STATUS")
    if status is not None and (status.text("SEVERITY") or "").upper() == "ERROR":
        code, message = status.text("CODE"), status.text("MESSAGE")
        response.problem("STATUS", f"reports error {code} ({message}). Download the statement again.")


def _account(statement: Reader, tag: str, file: _File) -> tuple[str, str] | None:
    """Identity and currency of the account that a statement is of, noted as a row of accounts."""
    currency = currency_of(statement, "CURDEF")
    source = statement.aggregate(tag, required=True)
    if source is None:
        return None
    account = source.text("ACCTID", required=True)
    kind = {"CCACCTFROM": "credit_card", "INVACCTFROM": "brokerage"}.get(tag)
    if kind is None:
        kind = _ACCOUNT_KINDS.get((source.text("ACCTTYPE", required=True, keep=True) or "").upper(), "other")
    extra = {tag: rest} if (rest := source.rest()) else {}
    file.add(Accounts, source.place, None, extra, account=account, kind=kind, currency=currency)
    return (account, currency) if account and currency else None


def _bank_statement(statement: Reader, file: _File) -> None:
    """STMTRS or CCSTMTRS."""
    identity = _account(statement, "CCACCTFROM" if statement.tag == "CCSTMTRS" else "BANKACCTFROM", file)
    account, currency = identity or ("", "")
    posted = statement.aggregate("BANKTRANLIST")
    if posted is not None:
        _note_period(posted, account, file)
        for told in posted.aggregates(("STMTTRN",)):
            _bank_transaction(told, account, currency, {}, file)
    pending = statement.aggregate("BANKTRANLISTP")
    if pending is not None:
        pending.moment("DTASOF", required=True)
        file.periods.append(Period(account, date.min, date.max))
        for told in pending.aggregates(("STMTTRNP",)):
            _pending_transaction(told, account, currency, file)
    rests = {told.tag: rest for told in (posted, pending) if told is not None and (rest := told.rest())}
    _bank_balances(statement, account, currency, rests, file)


def _note_period(told: Reader, account: str, file: _File) -> None:
    start, end = told.moment("DTSTART", required=True), told.moment("DTEND", required=True)
    if start and end:
        file.periods.append(Period(account, start.day, end.day))


def _bank_transaction(told: Reader, account: str, currency: str, wrapper: Mapping[str, Any], file: _File) -> None:
    """STMTTRN."""
    posted, made = told.moment("DTPOSTED", required=True), told.moment("DTUSER")
    kind = (told.text("TRNTYPE", required=True, keep=True) or "").upper()
    memo = told.text("MEMO")
    payee = next((child for child in told.aggregates(("PAYEE",))), None)
    counterparty = told.text("NAME") or (payee and payee.text("NAME"))
    content = {
        "transaction": told.text("FITID", required=True),
        "amount": told.number("TRNAMT", required=True),
        "currency": told.currency() or currency,
        "category": told.text("CATEGORY"),
    }
    extra = {**told.rest(), **({"PAYEE": rest} if payee and (rest := payee.rest()) else {}), **wrapper}
    file.add(
        Transactions,
        told.place,
        made or posted,
        extra,
        posted=posted,
        account=account,
        status="posted",
        kind=_TRANSACTION_KINDS.get(kind, "other"),
        posted_date=posted and posted.day.isoformat(),
        transacted_date=made and made.day.isoformat(),
        narrative=memo or counterparty,
        counterparty=counterparty,
        **content,
    )


def _pending_transaction(told: Reader, account: str, currency: str, file: _File) -> None:
    """STMTTRNP. OFX gives it no number: it goes when its posted twin comes, which has one."""
    made = told.moment("DTTRAN", required=True)
    kind = (told.text("TRNTYPE", required=True, keep=True) or "").upper()
    memo, counterparty = told.text("MEMO"), told.text("NAME")
    day = made.day.isoformat() if made else None
    amount = told.number("TRNAMT", required=True)
    currency = told.currency() or currency
    file.add(
        Transactions,
        told.place,
        made,
        told.rest(),
        account=account,
        transaction=file.keys.key(account, day, amount, memo or counterparty),
        status="pending",
        kind=_TRANSACTION_KINDS.get(kind, "other"),
        transacted_date=day,
        amount=amount,
        currency=currency,
        narrative=memo or counterparty,
        counterparty=counterparty,
    )


def _bank_balances(statement: Reader, account: str, currency: str, rests: Mapping[str, Any], file: _File) -> None:
    """LEDGERBAL and AVAILBAL: one row if they are of one instant. What else the statement tells goes with the first."""
    columns = {"LEDGERBAL": "current", "AVAILBAL": "available"}
    told = {tag: balance for tag in columns if (balance := statement.aggregate(tag)) is not None}
    places: dict[Moment | None, str] = {}
    rows: dict[Moment | None, dict[str, Any]] = {}
    for tag, balance in told.items():
        amount, moment = balance.number("BALAMT", required=True), balance.moment("DTASOF", required=True)
        rows.setdefault(moment, {})[columns[tag]] = amount
        places.setdefault(moment, balance.place)
    extra = {**rests, **statement.rest(), **{tag: rest for tag, balance in told.items() if (rest := balance.rest())}}
    if not rows:
        file.shared.update(extra)
    for moment, amounts in rows.items():
        file.add(Balances, places[moment], moment, extra, account=account, currency=currency, **amounts)
        extra = {}


def _investment_statement(statement: Reader, file: _File) -> None:
    """INVSTMTRS."""
    as_of = statement.moment("DTASOF", required=True)
    identity = _account(statement, "INVACCTFROM", file)
    account, currency = identity or ("", "")
    rests = {}
    told = statement.aggregate("INVTRANLIST")
    if told is not None:
        for cash in told.aggregates(("INVBANKTRAN",)):
            transaction = cash.aggregate("STMTTRN", required=True)
            if transaction is not None:
                _bank_transaction(transaction, account, currency, {cash.tag: cash.rest()}, file)
        for investment in told.aggregates(_INVESTMENT_KINDS):
            _investment_transaction(investment, account, currency, file)
        rests[told.tag] = told.rest()
    held = statement.aggregate("INVPOSLIST")
    if held is not None:
        for holding in held.aggregates(f"POS{kind}" for kind in _SECURITY_KINDS):
            _position(holding, account, currency, as_of, file)
        rests[held.tag] = held.rest()
    balance = statement.aggregate("INVBAL")
    if balance is None:
        file.shared.update({**rests, **statement.rest()})
        return
    current = balance.number("AVAILCASH", required=True)
    kept = {**rests, **statement.rest(), "INVBAL": balance.rest()}
    extra = {tag: rest for tag, rest in kept.items() if rest}
    file.add(Balances, balance.place, as_of, extra, account=account, current=current, currency=currency)


def _investment_transaction(told: Reader, account: str, currency: str, file: _File) -> None:
    """A child of INVTRANLIST other than INVBANKTRAN."""
    trade = told.aggregate("INVBUY", "INVSELL")
    source = trade or told
    about = source.aggregate("INVTRAN", required=True)
    if about is None:
        return
    made = about.moment("DTTRADE", required=True)
    security, named = _security_of(source, file)
    kind = _INVESTMENT_KINDS[told.tag]
    if told.tag == "INCOME":
        kind = _INCOME_KINDS.get((told.text("INCOMETYPE", required=True, keep=True) or "").upper(), kind)
    amount: float | None = 0.0
    if told.tag == "SPLIT":
        amount = source.number("FRACCASH") or 0.0
    elif told.tag not in _MOVES_NO_CASH:
        amount = source.number("TOTAL", required=True)
    fees = [fee for tag in _FEES if (fee := source.number(tag)) is not None]
    columns = {
        "transaction": about.text("FITID", required=True),
        "narrative": about.text("MEMO"),
        "price": source.number("UNITPRICE"),
        "currency": source.currency() or currency,
        "symbol": named and named.symbol,
    }
    kept = {**source.rest(), **({} if trade is None else told.rest()), "INVTRAN": about.rest()}
    extra = {told.tag: {tag: rest for tag, rest in kept.items() if rest}, **(named.name_as_extra() if named else {})}
    file.add(
        Transactions,
        told.place,
        made,
        extra,
        account=account,
        status="posted",
        kind=kind,
        posted_date=made and made.day.isoformat(),
        transacted_date=made and made.day.isoformat(),
        amount=amount,
        security=security,
        quantity=_units(told, source),
        fees=sum(fees) if fees else None,
        **columns,
    )


def _units(told: Reader, source: Reader) -> float | None:
    """What a transaction changes in the units of its security; ``source`` tells them."""
    if told.tag == "SPLIT":
        new, old = source.number("NEWUNITS", keep=True), source.number("OLDUNITS", keep=True)
        return new - old if new is not None and old is not None else None
    units = source.number("UNITS", keep=told.tag == "JRNLSEC")
    if units is None:
        return None
    if told.tag == "JRNLSEC":  # from one part of the account to another
        return 0.0
    if told.tag == "TRANSFER":
        is_out = (told.text("TFERACTION", keep=True) or "").upper() == "OUT"
        is_short = (told.text("POSTYPE", keep=True) or "").upper() == "SHORT"
        return -abs(units) if is_out != is_short else abs(units)
    return -abs(units) if _INVESTMENT_KINDS[told.tag] == "sell" else units


def _position(told: Reader, account: str, currency: str, as_of: Moment | None, file: _File) -> None:
    """A child of INVPOSLIST."""
    holding = told.aggregate("INVPOS", required=True)
    if holding is None:
        return
    security, named = _security_of(holding, file)
    if security is None:
        holding.problem("SECID", "is missing. Download the statement again.")
    held_in = (holding.text("HELDINACCT", keep=True) or "").upper()
    sign = -1 if (holding.text("POSTYPE", keep=True) or "").upper() == "SHORT" else 1
    quantity, value = holding.number("UNITS", required=True), holding.number("MKTVAL")
    columns = {"price": holding.number("UNITPRICE"), "currency": holding.currency() or currency}
    extra = {**holding.rest(), **told.rest(), **(named.extra if named else {})}
    file.add(
        Positions,
        told.place,
        as_of,
        extra,
        account=account,
        security=security,
        sub_account=_SUB_ACCOUNTS.get(held_in, "other"),
        symbol=named and named.symbol,
        name=named and named.name,
        kind=named.kind if named else _SECURITY_KINDS[told.tag.removeprefix("POS")],
        quantity=sign * abs(quantity) if sign < 0 and quantity is not None else quantity,
        value=sign * abs(value) if sign < 0 and value is not None else value,
        **columns,
    )


def _securities(message_set: Reader, file: _File) -> None:
    """SECLIST: what transactions and positions refer to."""
    for listed in message_set.aggregates(("SECLIST",)):
        for told in listed.aggregates(f"{kind}INFO" for kind in _SECURITY_KINDS):
            about = told.aggregate("SECINFO", required=True)
            identity = about and about.aggregate("SECID", required=True)
            if not about or not identity:
                continue
            ticker, name = (about.text("TICKER") or "").upper(), about.text("SECNAME")
            symbol = ticker if re.fullmatch(SYMBOL_PATTERN, ticker) else None
            unique = identity.text("UNIQUEID", required=True)
            extra: dict[str, Any] = {"SECINFO": about.rest(), told.tag: told.rest()}
            if ticker and symbol is None:
                extra["TICKER"] = ticker
            kind = _SECURITY_KINDS[told.tag.removesuffix("INFO")]
            file.securities[unique or ""] = _Security(
                symbol, name, kind, {tag: rest for tag, rest in extra.items() if rest}
            )


def _security_of(source: Reader, file: _File) -> tuple[str | None, _Security | None]:
    """Identity of the security that is meant, and what SECLIST says of it. The kind of identity stays where it is."""
    element = source.child("SECID")
    if element is None:
        return None, None
    identity = source.within(element).text("UNIQUEID", required=True)
    return identity, file.securities.get(identity or "")


def _corrected(rows: Iterable[Row]) -> list[Row]:
    """The transactions after corrections: one that is deleted or replaced is told as removed."""
    found: list[Row] = []
    removed: dict[tuple[str, str], Row] = {}
    for row in rows:
        corrected = row.extra.get("CORRECTFITID")
        if corrected is None:
            found.append(row)
            continue
        if str(row.extra.get("CORRECTACTION")).upper() != "DELETE":
            found.append(row)
        content = {**row.content, "transaction": corrected, "status": "removed"}
        removed[row.content["account"], corrected] = replace(row, content=content)
    kept = [row for row in found if (row.content["account"], row.content["transaction"]) not in removed]
    return [*kept, *removed.values()]


def _keyed_by_content(rows: Iterable[Row]) -> list[Row]:
    """The transactions with keys made of what they tell; FITID is kept."""
    keys = ContentKeys()
    found = []
    for row in rows:
        told = row.content
        day = told["posted_date"] or told["transacted_date"]
        trade = [told.get(name) for name in ("security", "kind", "quantity", "price")] if told.get("security") else ()
        key = keys.key(told["account"], day, told["amount"], told["narrative"], trade)
        extra = {**row.extra, "FITID": told["transaction"]}
        found.append(replace(row, content={**told, "transaction": key}, extra=extra))
    return found


class OfxInstitution(FilesInstitution):
    """An institution whose statements are OFX or QFX files.

    Args:
        settings: see :class:`Institution`.
        start: see :class:`Institution`.
        clock: see :class:`Institution`.
    """

    SETTINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "path": {
            "type": "string",
            "minLength": 1,
            "title": "Path",
            "description": "A file, a folder, or a folder and a pattern of names such as statements/*.qfx.",
        },
        "transaction_key": {
            "type": "string",
            "enum": ["fitid", "content"],
            "default": "fitid",
            "title": "Transaction key",
            "description": "What tells transactions apart: their number (FITID), or, where an institution numbers anew "
            "in each download, what they tell.",
        },
        "encoding": {
            "type": "string",
            "title": "Encoding",
            "description": "Of the files, if their header declares a wrong one; for instance cp1252.",
        },
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None:
        encoding = settings.get("encoding")
        is_keyed_by_content = settings.get("transaction_key", "fitid") == "content"

        def parse_file(_: str, content: bytes) -> Statement:
            return read(content, encoding, is_keyed_by_content=is_keyed_by_content)

        files = Files(Path(settings["path"]), (".ofx", ".qfx"), parse_file)
        super().__init__("ofx", settings, start, clock, [files])
