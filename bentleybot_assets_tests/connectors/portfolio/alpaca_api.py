"""Alpaca on loopback: an account with positions and activities of our own, in the shape that Alpaca documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bentleybot_assets_tests.connectors.api import Answer, Asked

SECRETS = {"key_id": "PKIDENTIFIER", "secret_key": "alpaca-says-hush"}
ENTRY = {"name": "Broker", "kind": "alpaca", **SECRETS}
PAGE = 100


def position(**more: Any) -> dict[str, Any]:
    return {
        "asset_id": "a1",
        "symbol": "FND",
        "asset_class": "us_equity",
        "side": "long",
        "qty": "3",
        "current_price": "10",
        "market_value": "30",
        "cost_basis": "24.5",
        **more,
    }


def fill(identity: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "activity_type": "FILL",
        "transaction_time": "2024-02-20T15:00:00.123456789Z",
        "type": "fill",
        "side": "buy",
        "symbol": "FND",
        "qty": "3",
        "price": "10.1",
        "order_id": "o",
        **more,
    }


def other(identity: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "activity_type": kind,
        "date": "2024-02-20",
        "net_amount": "5.5",
        "status": "executed",
        **more,
    }


@dataclass
class Account:
    """What the account shows, and how Alpaca answers about it; activities in the order of their ids."""

    account: dict[str, Any] = field(
        default_factory=lambda: {
            "id": "acc",
            "account_number": "PA1",
            "currency": "USD",
            "status": "ACTIVE",
            "cash": "-50.25",
            "equity": "1000",
            "buying_power": "2000",
        }
    )
    positions: list[dict[str, Any]] = field(default_factory=lambda: [position()])
    activities: list[dict[str, Any]] = field(default_factory=list)
    instead: dict[str, Answer] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Answer:
        """As Alpaca would."""
        if asked.path in self.instead:
            return self.instead[asked.path]
        if (asked.headers["apca-api-key-id"], asked.headers["apca-api-secret-key"]) != tuple(SECRETS.values()):
            return Answer({"code": 40110000, "message": "request is not authorized"}, 401)
        return Answer(
            {
                "/v2/account": lambda: self.account,
                "/v2/positions": lambda: self.positions,
                "/v2/account/activities": lambda: self._page(asked.query),
            }[asked.path]()
        )

    def _page(self, query: Any) -> list[dict[str, Any]]:
        ids = [activity["id"] for activity in self.activities]
        first = ids.index(query["page_token"]) + 1 if "page_token" in query else 0
        inside = [
            activity
            for activity in self.activities[first:]
            if activity.get("transaction_time", activity.get("date", "9999"))[:10] >= query["after"]
        ]
        assert query["direction"] == "asc"
        return inside[: int(query["page_size"])]
