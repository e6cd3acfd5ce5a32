"""Statements of brokers in OFX, and the securities that they refer to: what their elements mean.

Does not belong here: the file around them (``ofx``), values and what is ignored (``ofx_elements``).
"""

from __future__ import annotations

import re
from typing import Any

from bentleybot_assets.connectors.portfolio.ofx_banking import bank_transaction
from bentleybot_assets.connectors.portfolio.ofx_elements import Moment, Reader
from bentleybot_assets.connectors.portfolio.ofx_file import File, Security, account_of
from bentleybot_assets.contracts._base import SYMBOL_PATTERN
from bentleybot_assets.contracts.raw.portfolio import Balances, Positions, Transactions

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


def investment_statement(statement: Reader, file: File) -> None:
    """INVSTMTRS."""
    as_of = statement.moment("DTASOF", required=True)
    identity = account_of(statement, "INVACCTFROM", file)
    account, currency = identity or ("", "")
    rests = {}
    told = statement.aggregate("INVTRANLIST")
    if told is not None:
        for cash in told.aggregates(("INVBANKTRAN",)):
            transaction = cash.aggregate("STMTTRN", required=True)
            if transaction is not None:
                bank_transaction(transaction, account, currency, {cash.tag: cash.rest()}, file)
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


def _investment_transaction(told: Reader, account: str, currency: str, file: File) -> None:
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


def _position(told: Reader, account: str, currency: str, as_of: Moment | None, file: File) -> None:
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


def securities_of(message_set: Reader, file: File) -> None:
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
            file.securities[unique or ""] = Security(
                symbol, name, kind, {tag: rest for tag, rest in extra.items() if rest}
            )


def _security_of(source: Reader, file: File) -> tuple[str | None, Security | None]:
    """Identity of the security that is meant, and what SECLIST says of it. The kind of identity stays where it is."""
    element = source.child("SECID")
    if element is None:
        return None, None
    identity = source.within(element).text("UNIQUEID", required=True)
    return identity, file.securities.get(identity or "")
