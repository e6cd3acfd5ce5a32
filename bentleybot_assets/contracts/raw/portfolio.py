"""The streams of the ``portfolio`` connection, as banks and brokers deliver them.

An institution is an entry of the connection's settings; accounts, securities and transactions are named as it names
them. Amounts are signed from the account's view: positive is money in.
"""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import CURRENCY_PATTERN, SYMBOL_PATTERN, TableRules, column
from bentleybot_assets.contracts.raw._base import RawContract

ACCOUNT_KINDS = ("checking", "savings", "credit_card", "loan", "brokerage", "retirement", "crypto", "other")
SECURITY_KINDS = ("equity", "etf", "fund", "bond", "option", "crypto", "cash", "index", "other")
SUB_ACCOUNTS = ("cash", "margin", "short", "other")
STATUSES = ("pending", "posted", "removed")
TRANSACTION_KINDS = (
    *("payment", "transfer", "interest", "dividend", "fee", "tax"),
    *("buy", "sell", "reinvestment", "split", "other"),
)


class Accounts(RawContract):
    """Accounts as delivered by the portfolio connection: an append-only log."""

    _rules = TableRules(grain=("institution", "account", "fetched_at"), is_log=True, may_be_empty=True)

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution identifies it")
    name: str = column("What the institution, or else the settings, call it", nullable=True)
    kind: str = column("Kind of account", isin=ACCOUNT_KINDS)
    currency: str = column("ISO 4217 currency of the account", str_matches=CURRENCY_PATTERN, nullable=True)


class Balances(RawContract):
    """Balances as delivered by the portfolio connection, each true at event_at: an append-only log."""

    _rules = TableRules(
        grain=("institution", "account", "currency", "event_at", "fetched_at"), is_log=True, may_be_empty=True
    )

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution identifies it")
    current: float = column(
        "Balance with all that is posted; what is owed is negative", unit="currency", nullable=True, finite=False
    )
    available: float = column("What may be spent or withdrawn now", unit="currency", nullable=True, finite=False)
    credit_limit: float = column("What may be owed at most", unit="currency", nullable=True, finite=False)
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN)


class Positions(RawContract):
    """Holdings as delivered by the portfolio connection, each true at event_at: an append-only log."""

    _rules = TableRules(
        grain=("institution", "account", "security", "sub_account", "event_at", "fetched_at"),
        is_log=True,
        may_be_empty=True,
    )

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution identifies it")
    security: str = column("Security as the institution identifies it")
    sub_account: str = column("Part of the account that holds it", isin=SUB_ACCOUNTS)
    symbol: str = column("Ticker, where the institution tells one", str_matches=SYMBOL_PATTERN, nullable=True)
    name: str = column("Name of the security", nullable=True)
    kind: str = column("Kind of security", isin=SECURITY_KINDS)
    quantity: float = column("Units held; negative if short", unit="shares", nullable=True, finite=False)
    price: float = column("Price of one unit", unit="currency", nullable=True, finite=False)
    value: float = column("Market value; negative if short", unit="currency", nullable=True, finite=False)
    cost_basis: float = column(
        "What was paid for all units; null if the institution does not tell",
        unit="currency",
        nullable=True,
        finite=False,
    )
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN)


class Transactions(RawContract):
    """Transactions as delivered by the portfolio connection: an append-only log.

    Pending and posted versions of one transaction carry one key; the newest version, told apart by ``fetched_at``,
    says what is true.
    """

    _rules = TableRules(grain=("institution", "account", "transaction", "fetched_at"), is_log=True, may_be_empty=True)

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution identifies it")
    transaction: str = column("Natural key within the account, the same while pending and when posted")
    status: str = column("How far it is; removed: the institution does not tell it any more", isin=STATUSES)
    kind: str = column("Kind of transaction", isin=TRANSACTION_KINDS)
    posted_date: pl.Date = column("Day of the institution on which it was posted", nullable=True)
    transacted_date: pl.Date = column("Day on which it was made, where that is told", nullable=True)
    amount: float = column(
        "Change of the account's cash, fees included; positive is money in",
        unit="currency",
        nullable=True,
        finite=False,
    )
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN, nullable=True)
    narrative: str = column("The institution's text", nullable=True, is_long=True)
    counterparty: str = column("Merchant, payer or payee, where told apart from the text", nullable=True)
    category: str = column("The institution's own category", nullable=True)
    security: str = column("Security as the institution identifies it", nullable=True)
    symbol: str = column("Its ticker, where the institution tells one", str_matches=SYMBOL_PATTERN, nullable=True)
    quantity: float = column("Units; positive is received", unit="shares", nullable=True, finite=False)
    price: float = column("Price of one unit", unit="currency", nullable=True, finite=False)
    fees: float = column(
        "Fees and commissions that amount includes; not negative", unit="currency", nullable=True, finite=False
    )
