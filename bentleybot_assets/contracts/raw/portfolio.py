"""The streams of the ``portfolio`` connection, as banks and brokers deliver them.

An institution is an entry of the connection's settings; accounts, securities and transactions are named as it names
them, or else as the settings do. Amounts are signed from the account's view: positive is money in. A text of more than
255 characters is kept whole in ``extra``: its column is null, or a hash where it tells accounts, securities or
transactions apart. What is dated later than it was fetched has the time of fetching as its ``event_at``.
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
"""A fund's distribution of gains is a dividend, a return of capital is not. What has no kind here, or is not told, is
other: the institution's own word is in ``category`` or ``extra``."""


class Accounts(RawContract):
    """Accounts as delivered by the portfolio connection: an append-only log.

    An account is delivered when it is new or told in other words.
    """

    _rules = TableRules(grain=("institution", "account", "fetched_at"), is_log=True, may_be_empty=True)

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution, or else the settings, identify it")
    name: str = column("What the institution, or of CSV files the settings, call it", nullable=True)
    kind: str = column("Kind of account", isin=ACCOUNT_KINDS)
    currency: str = column(
        "ISO 4217 currency of the account; null if it has several, or none is told",
        str_matches=CURRENCY_PATTERN,
        nullable=True,
    )


class Balances(RawContract):
    """Balances as delivered by the portfolio connection, each true at event_at: an append-only log.

    They are cash, not what securities are worth. Files tell them of the end of a day or of an instant; the last one
    that a CSV file tells of a day counts. APIs tell them as they are at each sync.
    """

    _rules = TableRules(
        grain=("institution", "account", "currency", "event_at", "fetched_at"), is_log=True, may_be_empty=True
    )

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution, or else the settings, identify it")
    current: float = column(
        "Cash with all that is posted; what is owed is negative; null if the institution tells none, or another worth",
        unit="currency",
        nullable=True,
        finite=False,
    )
    available: float = column("What may be spent or withdrawn now", unit="currency", nullable=True, finite=False)
    credit_limit: float = column("What may be owed at most", unit="currency", nullable=True, finite=False)
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN)


class Positions(RawContract):
    """Holdings as delivered by the portfolio connection, each true at event_at: an append-only log.

    All that an account holds at one event_at is told together, and all again when something of it changed; what is not
    told then is not held. APIs besides tell once, with the quantity 0, what is not held any more.
    """

    _rules = TableRules(
        grain=("institution", "account", "security", "sub_account", "event_at", "fetched_at"),
        is_log=True,
        may_be_empty=True,
    )

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution, or else the settings, identify it")
    security: str = column("Security as the institution identifies it")
    sub_account: str = column("Part of the account that holds it; other: another, or not told", isin=SUB_ACCOUNTS)
    symbol: str = column(
        "Ticker, where the institution tells one that looks like one", str_matches=SYMBOL_PATTERN, nullable=True
    )
    name: str = column("Name of the security", nullable=True)
    kind: str = column("Kind of security", isin=SECURITY_KINDS)
    quantity: float = column(
        "Units held, of options contracts; negative if short", unit="shares", nullable=True, finite=False
    )
    price: float = column(
        "Price of one unit; of an option as quoted, per share", unit="currency", nullable=True, finite=False
    )
    value: float = column("Market value; negative if short", unit="currency", nullable=True, finite=False)
    cost_basis: float = column(
        "What was paid for all units, as told; null if the institution does not tell, as in OFX",
        unit="currency",
        nullable=True,
        finite=False,
    )
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN)


class Transactions(RawContract):
    """Transactions as delivered by the portfolio connection: an append-only log.

    Versions of one transaction carry one key; the newest, told apart by ``fetched_at``, says what is true. The key
    stays while a pending transaction becomes a posted one at Plaid, and in CSV files that number transactions or do not
    change their day, amount and text. Elsewhere, and always in OFX, which does not number pending ones, the pending one
    is told as removed and the posted one is another. Alpaca tells none that are pending.

    ``event_at`` is when it was made, where that is told, or else posted; before it was posted it was not known.
    Of one that Plaid removed no more is told than its key.
    """

    _rules = TableRules(grain=("institution", "account", "transaction", "fetched_at"), is_log=True, may_be_empty=True)

    institution: str = column("Entry of the settings that the account is read through")
    account: str = column("Account as the institution, or else the settings, identify it")
    transaction: str = column("Natural key within the account: the institution's number, or a hash of what is told")
    status: str = column("How far it is; removed: the institution does not tell it any more", isin=STATUSES)
    kind: str = column("Kind of transaction", isin=TRANSACTION_KINDS)
    posted_date: pl.Date = column(
        "Day of the institution on which it was posted; of trades in OFX and at Alpaca that of the trade", nullable=True
    )
    transacted_date: pl.Date = column("Day on which it was made, where that is told", nullable=True)
    amount: float = column(
        "Change of the account's cash, fees included; positive is money in; null if it is not told",
        unit="currency",
        nullable=True,
        finite=False,
    )
    currency: str = column("ISO 4217 currency of the amounts", str_matches=CURRENCY_PATTERN, nullable=True)
    narrative: str = column("The institution's text", nullable=True, is_long=True)
    counterparty: str = column("Merchant, payer or payee, where told apart from the text", nullable=True)
    category: str = column("The institution's own category", nullable=True)
    security: str = column("Security as the institution identifies it", nullable=True)
    symbol: str = column(
        "Its ticker, where the institution tells one that looks like one", str_matches=SYMBOL_PATTERN, nullable=True
    )
    quantity: float = column(
        "Change of the account's units, of options in contracts; positive is received",
        unit="shares",
        nullable=True,
        finite=False,
    )
    price: float = column(
        "Price of one unit; of an option as quoted, per share", unit="currency", nullable=True, finite=False
    )
    fees: float = column(
        "Fees and commissions that amount includes; null where they are transactions of their own, or not told",
        unit="currency",
        nullable=True,
        finite=False,
    )
