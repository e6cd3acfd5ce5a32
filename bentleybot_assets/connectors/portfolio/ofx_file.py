"""What is noted of an OFX file while its statements are read.

Does not belong here: what an element means (``ofx_banking``, ``ofx_investments``), values (``ofx_elements``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bentleybot_assets.connectors.portfolio.ofx_elements import Moment, Reader, currency_of
from bentleybot_assets.connectors.portfolio.statements import ContentKeys, Period, Row
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

_ACCOUNT_KINDS = {
    "CHECKING": "checking",
    "SAVINGS": "savings",
    "MONEYMRKT": "savings",
    "CD": "savings",
    "CREDITLINE": "loan",
}


@dataclass(frozen=True)
class Security:
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
class File:
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
    securities: dict[str, Security] = field(default_factory=dict)
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


def account_of(statement: Reader, tag: str, file: File) -> tuple[str, str] | None:
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
