"""Plaid on loopback: an Item with accounts, holdings and transactions of our own, in the shape that Plaid documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bentleybot_assets_tests.connectors.api import Answer, Asked

SECRETS = {"client_id": "id-of-a-client", "secret": "plaid-says-hush", "access_token": "access-sandbox-77"}
ENTRY = {"name": "Bank", "kind": "plaid", "products": ["transactions", "investments"], **SECRETS}

NOTHING: dict[str, Any] = {"added": [], "modified": [], "removed": []}
ITEM = {"item_id": "item", "institution_id": "ins_3", "error": None, "webhook": "https://example.com"}


def account(account_id: str = "checking", kind: str = "depository", subtype: str | None = "checking", **more: Any):
    balances = {
        "available": 90.5,
        "current": 100.25,
        "limit": None,
        "iso_currency_code": "USD",
        "unofficial_currency_code": None,
    }
    return {
        "account_id": account_id,
        "balances": balances | more.pop("balances", {}),
        "name": "Everyday",
        "official_name": "Everyday Account",
        "mask": "0001",
        "type": kind,
        "subtype": subtype,
        **more,
    }


def transaction(transaction_id: str, *, pending: bool = False, twin: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "account_id": "checking",
        "transaction_id": transaction_id,
        "pending": pending,
        "pending_transaction_id": twin,
        "amount": 12.5,
        "iso_currency_code": "USD",
        "date": "2024-02-10",
        "datetime": None,
        "authorized_date": "2024-02-09",
        "name": "Bakery",
        "original_description": "BAKERY 0042 CARD",
        "merchant_name": "Bakery",
        "counterparties": [{"name": "Bakery", "type": "merchant", "logo_url": "https://example.com/b.png"}],
        "personal_finance_category": {"primary": "FOOD_AND_DRINK", "detailed": "FOOD_AND_DRINK_GROCERIES"},
        "logo_url": "https://example.com/b.png",
        **more,
    }


def removal(transaction_id: str) -> dict[str, Any]:
    return {"account_id": "checking", "transaction_id": transaction_id}


def security(security_id: str = "fund", **more: Any) -> dict[str, Any]:
    return {
        "security_id": security_id,
        "name": "A fund",
        "ticker_symbol": "FND",
        "type": "mutual fund",
        "subtype": "mutual fund",
        "isin": "XX0000000001",
        **more,
    }


def holding(security_id: str = "fund", **more: Any) -> dict[str, Any]:
    return {
        "account_id": "broker",
        "security_id": security_id,
        "quantity": 3,
        "institution_price": 10,
        "institution_value": 30,
        "cost_basis": 24,
        "iso_currency_code": "USD",
        **more,
    }


def trade(trade_id: str, **more: Any) -> dict[str, Any]:
    return {
        "account_id": "broker",
        "investment_transaction_id": trade_id,
        "security_id": "fund",
        "date": "2024-02-20",
        "name": "BUY A fund",
        "type": "buy",
        "subtype": "buy",
        "amount": 31.0,
        "quantity": 3.0,
        "price": 10.0,
        "fees": 1.0,
        "iso_currency_code": "USD",
        **more,
    }


@dataclass
class Item:
    """What one login shows, and how Plaid answers about it.

    Attributes:
        updates: what happened, oldest first, as ``transactions/sync`` tells it: one per page.
        instead: path to what is answered there instead.
    """

    accounts: list[dict[str, Any]] = field(default_factory=lambda: [account()])
    holdings: list[dict[str, Any]] = field(default_factory=lambda: [holding()])
    securities: list[dict[str, Any]] = field(default_factory=lambda: [security()])
    trades: list[dict[str, Any]] = field(default_factory=list)
    updates: list[Mapping[str, Any]] = field(default_factory=list)
    instead: dict[str, Answer] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Answer:
        """As Plaid would."""
        if asked.path in self.instead:
            return self.instead[asked.path]
        sent = (
            asked.headers["plaid-client-id"],
            asked.headers["plaid-secret"],
            asked.body["access_token"],
            asked.headers["plaid-version"],
        )
        if sent != (*SECRETS.values(), "2020-09-14"):
            return Answer(error("INVALID_API_KEYS", "INVALID_INPUT"), 400)
        return Answer(getattr(self, asked.path.strip("/").replace("/", "_"))(asked.body) | {"request_id": "r"})

    def accounts_get(self, _: Any) -> dict[str, Any]:
        return {"accounts": self.accounts, "item": ITEM}

    accounts_balance_get = accounts_get

    def investments_holdings_get(self, _: Any) -> dict[str, Any]:
        return self.accounts_get(_) | {"holdings": self.holdings, "securities": self.securities}

    def investments_transactions_get(self, body: Any) -> dict[str, Any]:
        inside = [told for told in self.trades if body["start_date"] <= told["date"] <= body["end_date"]]
        first = body["options"].get("offset", 0)
        return self.accounts_get(body) | {
            "investment_transactions": inside[first : first + body["options"]["count"]],
            "total_investment_transactions": len(inside),
            "securities": self.securities,
        }

    def transactions_sync(self, body: Any) -> dict[str, Any]:
        done = int(body["cursor"] or 0)
        update = self.updates[done] if done < len(self.updates) else {}
        done = min(done + 1, len(self.updates))
        return {
            "accounts": self.accounts,
            **{change: update.get(change, []) for change in ("added", "modified", "removed")},
            "next_cursor": str(done),
            "has_more": done < len(self.updates),
            "transactions_update_status": "HISTORICAL_UPDATE_COMPLETE",
        }


def error(code: str, kind: str = "ITEM_ERROR", message: str = "so it is") -> dict[str, Any]:
    return {"error_code": code, "error_type": kind, "error_message": message, "request_id": "r"}
