"""A trading account at Alpaca (``alpaca.yaml``): from its fields to the streams' columns.

The balance is the account's cash, which is negative on margin; what Alpaca says of equity, margin and buying power is
kept in ``extra``: none of it is money that could be withdrawn.

Activities are asked for again from some days before the last sync on, because a dividend or fee may be dated earlier
than it appears, and may be corrected; what is new or changed is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from bentleybot_assets.connectors.feeds import Mark
from bentleybot_assets.connectors.manifests import Manifest
from bentleybot_assets.connectors.payloads import Payload
from bentleybot_assets.connectors.portfolio.polled import PolledInstitution, Told, digest, ticker
from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE

_MANIFEST = Manifest(__package__, "alpaca.yaml")

_RELOOK = timedelta(days=14)
"""How far back activities are asked for again."""

_NEW_YORK = ZoneInfo(EXCHANGE_TIMEZONE)
"""Alpaca's dates are the exchange's."""

_ABOUT_ACCOUNT = (
    *("account_blocked", "created_at", "multiplier", "options_approved_level", "options_trading_level"),
    *("pattern_day_trader", "shorting_enabled", "status", "trade_suspended_by_user", "trading_blocked"),
    *("transfers_blocked", "crypto_status", "crypto_tier", "user_configurations", "admin_configurations"),
)
"""Fields that describe the account. All others, unknown ones too, are told with its balance."""

_OPTION = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}")
"""An option's symbol: root, expiry, call or put, strike."""

_SECURITY_KINDS = {"us_equity": "equity", "us_option": "option", "crypto": "crypto"}

_ACTIVITY_KINDS = {
    **dict.fromkeys(("ACATC", "ACATS", "CSD", "CSW", "JNL", "JNLC", "JNLS", "TRANS"), "transfer"),
    **dict.fromkeys(("DIV", "DIVCGL", "DIVCGS", "DIVTXEX"), "dividend"),
    **dict.fromkeys(("DIVFT", "DIVNRA", "DIVTW", "DIVWH", "INTNRA", "INTTW", "WH"), "tax"),
    **dict.fromkeys(("CFEE", "DIVFEE", "FEE", "PTC"), "fee"),
    **dict.fromkeys(("SPLIT", "SSP"), "split"),
    "DIVROC": "other",
    "INT": "interest",
}
_MOVES_NO_UNITS = {
    *(activity for activity, kind in _ACTIVITY_KINDS.items() if kind in ("dividend", "fee", "interest", "tax")),
    "DIVROC",
} - {"CFEE"}
"""Of these, the quantity is what was paid on; a fee on a trade in crypto is taken in its units."""

_STATUSES = {"executed": "posted", "correct": "posted", "canceled": "removed"}


class AlpacaInstitution(PolledInstitution):
    """A paper or live account at Alpaca."""

    SETTINGS = _MANIFEST.settings
    REQUIRED = _MANIFEST.required

    @property
    def source(self) -> str:
        """See :class:`PolledInstitution`."""
        return f"alpaca {self.settings.get('environment', 'paper')}"

    @property
    def source_version(self) -> str:
        """See :class:`PolledInstitution`."""
        return "v2"

    def ask_accounts(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        account = self._account()
        content = {
            "account": account.text("id"),
            "name": account.text("account_number"),
            "kind": "brokerage",
            "currency": account.text("currency"),
        }
        rest = account.rest()
        return [Told(content, {name: rest[name] for name in _ABOUT_ACCOUNT if name in rest})]

    def ask_balances(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        account = self._account()
        content = {
            "account": account.text("id"),
            "current": account.number("cash"),
            "currency": account.text("currency"),
        }
        account.ignore("account_number", *_ABOUT_ACCOUNT)
        return [Told(content, account.rest())]

    def ask_positions(self) -> Sequence[Told]:
        """See :class:`PolledInstitution`."""
        account = self._account()
        identity, currency = account.text("id"), account.text("currency")
        return [_position(position, identity, currency) for position in self._asked("positions")]

    def ask_transactions(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Told], Mark]:
        """See :class:`PolledInstitution`."""
        account = self._account()
        identity, currency = account.text("id"), account.text("currency")
        through = now.astimezone(_NEW_YORK).date()
        after = self.start
        if mark is not None:
            after = max(after, date.fromisoformat(mark["through"]) - _RELOOK)
        activities = [
            _activity(activity, identity, currency, is_history=mark is None)
            for activity in self._asked("activities", after=after.isoformat())
        ]
        latest = {told.content["transaction"]: told for told in activities if told.event_at.date() >= self.start}
        digests = {key: digest(told) for key, told in latest.items()}
        before: Mapping[str, str] = mark["told"] if mark else {}
        news = [told for key, told in latest.items() if before.get(key) != digests[key]]
        return news, {"through": through.isoformat(), "told": digests}

    def _account(self) -> Payload:
        (account,) = self._asked("account")
        return account

    def _asked(self, stream: str, **asked: str) -> list[Payload]:
        """The objects of a stream of the manifest."""
        objects = _MANIFEST.read(stream, {**self.settings, **asked})
        return [Payload(content, f"Alpaca {stream}[{position}]") for position, content in enumerate(objects)]


def _position(position: Payload, account: str, currency: str) -> Told:
    kind = position.text("asset_class")
    if kind not in _SECURITY_KINDS:
        position.keep("asset_class")
    is_short = position.text("side") == "short"
    quantity, value = position.number("qty"), position.number("market_value", optional=True)
    content = {
        "account": account,
        "security": position.text("asset_id"),
        "sub_account": "other",  # not told
        "symbol": ticker(position, "symbol"),
        "kind": _SECURITY_KINDS.get(kind, "other"),
        "quantity": -abs(quantity) if is_short else quantity,
        "price": position.number("current_price", optional=True),
        "value": -abs(value) if is_short and value is not None else value,
        "cost_basis": position.number("cost_basis", optional=True),
        "currency": currency,
    }
    if currency == "USD":
        position.ignore("usd")  # repeats the fields beside it
    return Told(content, position.rest())


def _activity(activity: Payload, account: str, currency: str, *, is_history: bool) -> Told:
    """A trade, or anything else that changed the account."""
    is_fill = activity.text("activity_type") == "FILL"
    security = activity.text("symbol", optional=not is_fill)
    content = {
        "account": activity.text("account_id", optional=True) or account,
        "transaction": activity.text("id"),
        "category": activity.text("activity_type"),
        "currency": currency,
        "security": security,
        "symbol": ticker(activity, "symbol"),
        "narrative": activity.text("description", optional=True),
    }
    content, happened_at = (_fill if is_fill else _other)(activity, content)
    return Told(content, activity.rest(), happened_at, is_history)


def _fill(activity: Payload, content: Mapping[str, Any]) -> tuple[dict[str, Any], datetime]:
    """A fill has no net amount: it is price times quantity, of options times a multiplier that Alpaca does not tell.

    The price of a pair is in its second currency; if the account has another one, it says nothing in that.
    """
    happened_at = activity.instant("transaction_time")
    is_bought = activity.text("side").startswith("buy")
    price, quantity = activity.number("price"), activity.number("qty")
    value = float(Decimal(repr(price)) * Decimal(repr(quantity)))
    is_option = _OPTION.fullmatch(content["security"]) is not None
    day = f"{happened_at.astimezone(_NEW_YORK).date()}"
    if not content["security"].endswith(f"/{content['currency']}") and "/" in content["security"]:
        activity.keep("price")
        price = None
    return {
        **content,
        "status": "posted",
        "kind": "buy" if is_bought else "sell",
        "posted_date": day,
        "transacted_date": day,
        "amount": None if is_option or price is None else -value if is_bought else value,
        "quantity": quantity if is_bought else -quantity,
        "price": price,
    }, happened_at


def _other(activity: Payload, content: Mapping[str, Any]) -> tuple[dict[str, Any], datetime]:
    day = activity.day("date")
    kind = _ACTIVITY_KINDS.get(content["category"], "other")
    status = activity.text("status", optional=True)
    if status not in _STATUSES:
        activity.keep("status")
    quantity = activity.number("qty", optional=True)
    if content["category"] in _MOVES_NO_UNITS:
        activity.keep("qty")
        quantity = None
    return {
        **content,
        "status": _STATUSES.get(status, "posted"),
        "kind": kind,
        "posted_date": f"{day}",
        "amount": activity.number("net_amount", optional=True),
        "quantity": quantity,
        "price": activity.number("price", optional=True),
    }, datetime.combine(day, time(), _NEW_YORK)
