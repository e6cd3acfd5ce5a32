"""Banks and brokers through Plaid (``plaid.yaml``): from its fields to the streams' columns.

Plaid's amounts are positive when money leaves the account; ours are the other way.

Bank transactions come from ``/transactions/sync``: what was added, modified and removed since a cursor. A posted
transaction has another id than its pending twin, which Plaid removes; here both keep the pending one's as their key.
The mark remembers which posted id has which key, because of a removal Plaid tells the id alone.

Investment transactions have no cursor: the last weeks are asked for again, and what changed is told. One that was told
and is not there any more is told as removed.

An investment account's current balance is at Plaid the value of all it holds. Here a balance is cash, so it stays null;
Plaid's value is kept in ``extra``.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from bentleybot_assets.connectors.feeds import ConfigError, Mark, TransientError
from bentleybot_assets.connectors.manifests import Manifest
from bentleybot_assets.connectors.payloads import Payload
from bentleybot_assets.connectors.portfolio.polled import PolledInstitution, Told, digest, ticker

_MANIFEST = Manifest(__package__, "plaid.yaml")

_RELOOK = timedelta(days=30)
"""How far back investment transactions are asked for again."""

_FIRST_DAY = date(2000, 1, 1)
"""Before anything that Plaid has: it keeps two years."""

_ANSWERED = {
    *("accounts", "holdings", "securities", "investment_transactions", "total_investment_transactions"),
    *("added", "modified", "removed", "next_cursor", "has_more", "transactions_update_status"),
    *("item", "request_id", "is_investments_fallback_item"),
}
"""Fields of answers: what is read here or by the manifest, and, last, what is about the answer and ignored."""

_IMAGES = ("logo_url", "personal_finance_category_icon_url")

_ACCOUNT_KINDS: Mapping[tuple[str, str], str] = {
    **{("depository", subtype): "checking" for subtype in ("checking", "cash management")},
    **{("depository", subtype): "savings" for subtype in ("savings", "money market", "cd", "hsa")},
    **{
        ("investment", subtype): "retirement"
        for subtype in (
            *("401a", "401k", "403B", "403b", "457b", "ira", "keogh", "lif", "lira", "lrif", "lrsp", "pension"),
            *("prif", "profit sharing plan", "qshr", "retirement", "rlif", "roth", "roth 401k", "rrif", "rrsp"),
            *("sarsep", "sep ira", "simple ira", "sipp", "thrift savings plan"),
        )
    },
    **{("investment", subtype): "crypto" for subtype in ("crypto exchange", "non-custodial wallet")},
}
_ACCOUNT_TYPES = {"credit": "credit_card", "loan": "loan", "investment": "brokerage", "brokerage": "brokerage"}
_OWED = ("credit", "loan")
_INVESTED = ("investment", "brokerage")

_SECURITY_KINDS = {
    "cash": "cash",
    "cryptocurrency": "crypto",
    "equity": "equity",
    "etf": "etf",
    "fixed income": "bond",
    "mutual fund": "fund",
}

_TRANSACTION_KINDS = {"TRANSFER_IN": "transfer", "TRANSFER_OUT": "transfer", "BANK_FEES": "fee"}
_DETAILED_KINDS = {
    "INCOME_DIVIDENDS": "dividend",
    "INCOME_INTEREST_EARNED": "interest",
    "GOVERNMENT_AND_NON_PROFIT_TAX_PAYMENT": "tax",
}
_INVESTMENT_KINDS = {
    **dict.fromkeys(
        (
            *("dividend", "qualified dividend", "non-qualified dividend"),
            *("long-term capital gain", "short-term capital gain"),
        ),
        "dividend",
    ),
    **dict.fromkeys(("interest", "interest receivable"), "interest"),
    **dict.fromkeys(
        (
            *("dividend reinvestment", "interest reinvestment", "long-term capital gain reinvestment"),
            "short-term capital gain reinvestment",
        ),
        "reinvestment",
    ),
    **dict.fromkeys(("tax", "tax withheld", "non-resident tax"), "tax"),
    **dict.fromkeys(
        (
            *("account fee", "fund fee", "legal fee", "management fee", "margin expense", "miscellaneous fee"),
            *("transfer fee", "trust fee"),
        ),
        "fee",
    ),
    **dict.fromkeys(("contribution", "deposit", "withdrawal", "transfer", "send", "request"), "transfer"),
    **dict.fromkeys(("split", "stock distribution"), "split"),
}
_INVESTMENT_TYPES = {"buy": "buy", "sell": "sell", "fee": "fee"}
"""Plaid's type ``transfer`` is whatever moves units without a trade: an option that expires, too."""

_logger = logging.getLogger("airbyte.portfolio")


class PlaidInstitution(PolledInstitution):
    """An Item of Plaid: what one login at a bank or broker shows."""

    SETTINGS = _MANIFEST.settings
    REQUIRED = _MANIFEST.required

    @property
    def source(self) -> str:
        """See :class:`PolledInstitution`."""
        return f"plaid {self.settings.get('environment', 'production')}"

    @property
    def source_version(self) -> str:
        """See :class:`PolledInstitution`."""
        return "2020-09-14"

    def ask_accounts(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        (answer,) = self._answers("accounts")
        return [_account(account) for account in answer.list("accounts")]

    def ask_balances(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        (answer,) = self._answers("balances")
        return [_balance(account) for account in answer.list("accounts")]

    def ask_positions(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        if "investments" not in self.settings["products"]:
            return []
        (answer,) = self._answers("holdings")
        securities = _securities(answer)
        return [_holding(holding, securities) for holding in answer.list("holdings")]

    def ask_transactions(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Told], Mark]:
        """See :class:`PolledInstitution`. A product that is not read any more keeps its part of the mark."""
        news: list[Told] = []
        marks = {name: part for name, part in (mark or {}).items() if name in ("transactions", "investments")}
        if "transactions" in self.settings["products"]:
            told, marks["transactions"] = self._bank_transactions(marks.get("transactions"))
            news += told
        if "investments" in self.settings["products"]:
            told, marks["investments"] = self._investment_transactions(marks.get("investments"), now.date())
            news += told
        return news, marks

    def _bank_transactions(self, mark: Mark | None) -> tuple[list[Told], Mark]:
        """What was added, modified and removed since the mark's cursor; the last that is told of each key."""
        cursor = mark["cursor"] if mark else ""
        keys: dict[str, str] = dict(mark["keys"]) if mark else {}  # of posted ones, where it is not their id
        twins = set(keys.values())
        latest: dict[tuple[str, str], Told] = {}
        for answer in self._answers("transactions", cursor=cursor):
            for transaction in (*answer.list("added"), *answer.list("modified")):
                plaid_id = transaction.text("transaction_id")
                told = _bank_transaction(transaction, is_history=mark is None)
                account, key = told.content["account"], told.content["transaction"]
                if key != plaid_id:
                    keys[plaid_id] = key
                    twins.add(key)
                if told.content["status"] == "posted" or key not in twins:
                    latest[account, key] = told
            for removal in answer.list("removed"):
                account, plaid_id = removal.text("account_id"), removal.text("transaction_id")
                if plaid_id in twins:  # a pending one, which has become a posted one
                    continue
                key = keys.pop(plaid_id, plaid_id)
                twins.discard(key)
                latest[account, key] = _removed(account, key)
            cursor = answer.text("next_cursor", optional=True) or cursor
        news = [told for told in latest.values() if told.posted_at is None or told.posted_at.date() >= self.start]
        return news, {"cursor": cursor, "keys": keys}

    def _investment_transactions(self, mark: Mark | None, today: date) -> tuple[list[Told], Mark]:
        """What is new, changed or gone in the last weeks; all there is if nothing was told yet."""
        first = max(self.start, _FIRST_DAY)
        if mark is not None:
            first = max(first, date.fromisoformat(mark["through"]) - _RELOOK)
        latest: dict[str, Told] = {}
        expected = 0.0
        records = _MANIFEST.read(
            "investment_transactions", {**self.settings, "start_date": f"{first}", "end_date": f"{today}"}
        )
        for _, page in itertools.groupby(records, lambda record: id(record.get("securities"))):
            transactions = [Payload(record, "Plaid investment_transactions") for record in page]
            securities = _securities(transactions[0])
            expected = transactions[0].number("total_investment_transactions")
            for transaction in transactions:
                transaction.ignore(*_ANSWERED)
                told = _investment_transaction(transaction, securities, is_history=mark is None)
                latest[told.content["transaction"]] = told
        if len(latest) != expected:
            raise TransientError(
                f"Plaid told {len(latest)} of {expected:.0f} investment transactions: they changed while they were "
                "read. Sync again later."
            )
        now = {
            key: [told.content["account"], told.content["posted_date"], digest(told)] for key, told in latest.items()
        }
        before: Mapping[str, Sequence[str]] = mark["told"] if mark else {}
        news = [told for key, told in latest.items() if before.get(key) != now[key]]
        gone = [
            _removed(account, key)
            for key, (account, day, _) in before.items()
            if key not in now and f"{first}" <= day <= f"{today}"
        ]
        return news + gone, {"through": f"{today}", "told": now}

    def _answers(self, stream: str, **asked: str) -> list[Payload]:
        """All answers of a stream whose records are answers."""
        answers = _MANIFEST.read(stream, {**self.settings, **asked})
        if unknown := {name for answer in answers for name in answer} - _ANSWERED:
            _logger.warning("Plaid %s has what is not read: %s.", stream, ", ".join(sorted(unknown)))
        return [Payload(answer, f"Plaid {stream}") for answer in answers]


def _account(account: Payload) -> Told:
    content = {
        "account": account.text("account_id"),
        "name": account.text("name", optional=True),
        "kind": _account_kind(account),
        "currency": account.inner("balances").text("iso_currency_code", optional=True),
    }
    account.keep("type")
    account.keep("subtype")
    account.ignore("balances")  # a stream of its own
    return Told(content, account.rest())


def _balance(account: Payload) -> Told:
    kind = account.text("type")
    balances = account.inner("balances")
    current = balances.number("current", optional=True)
    if kind in _INVESTED:
        balances.keep("current")
        current = None
    elif kind in _OWED and current is not None:
        current = -current
    content = {
        "account": account.text("account_id"),
        "current": current,
        "available": balances.number("available", optional=True),
        "credit_limit": balances.number("limit", optional=True),
        "currency": balances.text("iso_currency_code", optional=True),
    }
    return Told(content, balances.rest())  # the rest of the account is told by the accounts


def _account_kind(account: Payload) -> str:
    kind, subtype = account.text("type"), account.text("subtype", optional=True)
    return _ACCOUNT_KINDS.get((kind, subtype)) or _ACCOUNT_TYPES.get(kind, "other")


def _securities(answer: Payload) -> Mapping[str, Mapping[str, Any]]:
    """Plaid's id of a security to its columns, and what has none (``rest``)."""
    securities = {}
    for security in answer.list("securities"):
        kind, subtype = security.text("type", optional=True), security.text("subtype", optional=True)
        is_option = kind == "derivative" and subtype == "option"
        security.keep("type")
        security.keep("subtype")
        securities[security.text("security_id")] = {
            "name": security.text("name", optional=True),
            "symbol": ticker(security, "ticker_symbol"),
            "kind": "option" if is_option else _SECURITY_KINDS.get(kind, "other"),
            "rest": security.rest(),
        }
    return securities


def _holding(holding: Payload, securities: Mapping[str, Mapping[str, Any]]) -> Told:
    identity = holding.text("security_id")
    security = _the(securities, identity)
    content = {
        "account": holding.text("account_id"),
        "security": identity,
        "sub_account": "other",
        "symbol": security["symbol"],
        "name": security["name"],
        "kind": security["kind"],
        "quantity": holding.number("quantity"),
        "price": holding.number("institution_price", optional=True),
        "value": holding.number("institution_value", optional=True),
        "cost_basis": holding.number("cost_basis", optional=True),
        "currency": holding.text("iso_currency_code", optional=True),
    }
    return Told(content, {**holding.rest(), "security": security["rest"]})


def _bank_transaction(transaction: Payload, *, is_history: bool) -> Told:
    is_pending = transaction.flag("pending")
    day = transaction.day("date")
    authorized = transaction.day("authorized_date", optional=True)
    authorized_at = transaction.instant("authorized_datetime", optional=True)
    posted_at = transaction.instant("datetime", optional=True) or _start_of(day)
    made_at = authorized_at or (_start_of(authorized) if authorized else posted_at)
    if made_at != posted_at:
        transaction.keep("datetime")
        if is_pending:
            transaction.keep("date")
    narrative = transaction.text("original_description", optional=True)
    name = transaction.text("name", optional=True)
    if narrative is not None:
        transaction.keep("name")
    category = transaction.inner("personal_finance_category", optional=True)
    primary, detailed = category.text("primary", optional=True), category.text("detailed", optional=True)
    for counterparty in transaction.list("counterparties", optional=True):
        counterparty.ignore(*_IMAGES)
    transaction.ignore(*_IMAGES)
    plaid_id, pending_id = transaction.text("transaction_id"), transaction.text("pending_transaction_id", optional=True)
    if pending_id is not None:
        transaction.keep("transaction_id")
    content = {
        "account": transaction.text("account_id"),
        "transaction": pending_id or plaid_id,
        "status": "pending" if is_pending else "posted",
        "kind": _DETAILED_KINDS.get(detailed) or _TRANSACTION_KINDS.get(primary, "payment"),
        "posted_date": None if is_pending else f"{day}",
        "transacted_date": f"{authorized or day}" if is_pending or authorized else None,
        "amount": _money_in(transaction.number("amount")),
        "currency": transaction.text("iso_currency_code", optional=True),
        "narrative": narrative or name,
        "counterparty": transaction.text("merchant_name", optional=True),
        "category": detailed or primary,  # the detailed one begins with the primary one
    }
    return Told(content, transaction.rest(), made_at, is_history, posted_at)


def _investment_transaction(
    transaction: Payload, securities: Mapping[str, Mapping[str, Any]], *, is_history: bool
) -> Told:
    kind, subtype = transaction.text("type"), transaction.text("subtype", optional=True)
    transaction.keep("type")
    day = transaction.day("date")
    happened_at = transaction.instant("transaction_datetime", optional=True)
    identity = transaction.text("security_id", optional=True)
    security = _the(securities, identity) if identity else {}
    content = {
        "account": transaction.text("account_id"),
        "transaction": transaction.text("investment_transaction_id"),
        "status": "posted",
        "kind": _INVESTMENT_KINDS.get(subtype) or _INVESTMENT_TYPES.get(kind, "other"),
        "posted_date": f"{day}",
        "amount": _money_in(transaction.number("amount")),
        "currency": transaction.text("iso_currency_code", optional=True),
        "narrative": transaction.text("name", optional=True),
        "category": subtype,
        "security": identity,
        "symbol": security.get("symbol"),
        "quantity": transaction.number("quantity"),
        "price": transaction.number("price", optional=True),
        "fees": transaction.number("fees", optional=True),
    }
    extra = transaction.rest()
    if security:
        extra["security"] = {"name": security["name"], **security["rest"]}
    return Told(content, extra, happened_at or _start_of(day), is_history)


def _removed(account: str, key: str) -> Told:
    """What Plaid does not tell any more; it does not say since when."""
    return Told({"account": account, "transaction": key, "status": "removed", "kind": "other"})


def _the(securities: Mapping[str, Mapping[str, Any]], identity: str) -> Mapping[str, Any]:
    if identity not in securities:
        raise ConfigError(f"Plaid refers to the security {identity}, which it does not tell. Report it.")
    return securities[identity]


def _money_in(amount: float) -> float:
    """Plaid's amount is positive when money leaves; zero has no sign."""
    return -amount if amount else 0.0


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
