"""Statements of banks and credit cards in OFX: what their elements mean.

Does not belong here: the file around them (``ofx``), values and what is ignored (``ofx_elements``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from bentleybot_assets.connectors.portfolio.ofx_elements import Moment, Reader
from bentleybot_assets.connectors.portfolio.ofx_file import File, account_of
from bentleybot_assets.connectors.portfolio.statements import Period
from bentleybot_assets.contracts.raw.portfolio import Balances, Transactions

_TRANSACTION_KINDS = {
    "INT": "interest",
    "DIV": "dividend",
    "FEE": "fee",
    "SRVCHG": "fee",
    "XFER": "transfer",
    **dict.fromkeys(("POS", "PAYMENT", "CHECK", "DIRECTDEP", "DIRECTDEBIT", "REPEATPMT"), "payment"),
}


def bank_statement(statement: Reader, file: File) -> None:
    """STMTRS or CCSTMTRS."""
    identity = account_of(statement, "CCACCTFROM" if statement.tag == "CCSTMTRS" else "BANKACCTFROM", file)
    account, currency = identity or ("", "")
    posted = statement.aggregate("BANKTRANLIST")
    if posted is not None:
        _note_period(posted, account, file)
        for told in posted.aggregates(("STMTTRN",)):
            bank_transaction(told, account, currency, {}, file)
    pending = statement.aggregate("BANKTRANLISTP")
    if pending is not None:
        pending.moment("DTASOF", required=True)
        file.periods.append(Period(account, date.min, date.max))
        for told in pending.aggregates(("STMTTRNP",)):
            _pending_transaction(told, account, currency, file)
    rests = {told.tag: rest for told in (posted, pending) if told is not None and (rest := told.rest())}
    _bank_balances(statement, account, currency, rests, file)


def _note_period(told: Reader, account: str, file: File) -> None:
    start, end = told.moment("DTSTART", required=True), told.moment("DTEND", required=True)
    if start and end:
        file.periods.append(Period(account, start.day, end.day))


def bank_transaction(told: Reader, account: str, currency: str, wrapper: Mapping[str, Any], file: File) -> None:
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


def _pending_transaction(told: Reader, account: str, currency: str, file: File) -> None:
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


def _bank_balances(statement: Reader, account: str, currency: str, rests: Mapping[str, Any], file: File) -> None:
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
