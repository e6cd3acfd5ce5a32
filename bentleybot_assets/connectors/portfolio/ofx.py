"""Statements in OFX and QFX, as banks and brokers offer them for download.

Belongs here: a file and its statements. Does not belong here: what a statement's elements mean (``ofx_banking``,
``ofx_investments``), tags and encodings (``ofx_tree``), values and what is ignored (``ofx_elements``), folders
(``ofx_institution``).

Every element is mapped to a column, kept in ``extra`` under its own name, or listed in ``ofx_elements.IGNORED``. One
that must have a value and has none, or a wrong one, condemns its file: the message names its line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bentleybot_assets.connectors.portfolio.ofx_banking import bank_statement
from bentleybot_assets.connectors.portfolio.ofx_elements import Moment, Reader
from bentleybot_assets.connectors.portfolio.ofx_file import File
from bentleybot_assets.connectors.portfolio.ofx_investments import investment_statement, securities_of
from bentleybot_assets.connectors.portfolio.ofx_tree import OfxError, parse
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Row, Statement, StatementError, refuse
from bentleybot_assets.contracts.raw.portfolio import Accounts, Transactions


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
    file = File()
    top = Reader(root, file.problems)
    made_at = _sign_on(top, file)
    for message_set in top.aggregates(("SECLISTMSGSRSV1",)):
        securities_of(message_set, file)
    for name, wrapper, read_statement in (
        ("BANKMSGSRSV1", "STMT", bank_statement),
        ("CREDITCARDMSGSRSV1", "CCSTMT", bank_statement),
        ("INVSTMTMSGSRSV1", "INVSTMT", investment_statement),
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
    refuse(file.problems)
    accounts = [replace(row, extra={**row.extra, **file.shared}) for row in file.rows[Accounts]]
    transactions = file.rows[Transactions]
    transactions = _keyed_by_content(transactions) if is_keyed_by_content else _corrected(transactions)
    return Statement(
        {**file.rows, Accounts: accounts, Transactions: transactions}, file.periods, made_at.at if made_at else None
    )


def _sign_on(top: Reader, file: File) -> Moment | None:
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
