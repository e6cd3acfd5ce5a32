"""The desk's choices: what it follows, what it owns, and how it trades. Values come from the settings."""

from __future__ import annotations

import dagster as dg


class WatchlistItem(dg.Config):
    """An instrument on the watchlist; dates are ISO."""

    symbol: str
    name: str
    asset_class: str
    sector: str
    currency: str = "USD"
    exchange: str = "XNYS"
    valid_from: str
    valid_to: str | None = None


class Desk(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Choices that assets read.

    Attributes:
        data_mode: whether the market connection delivers the recorded ``sample`` or market data.
        account_mode: ``paper``; orders are intents and nothing is sent anywhere.
        cash_usd: cash of the account, until the portfolio side knows it.
        holdings: shares held per symbol, until the portfolio side knows them.
        sessions_start: first session this deployment decides, ISO.
        strategy: name under which decisions are recorded.
        cost_bps: expected one-way cost per asset class, in basis points of traded value.
    """

    data_mode: str
    sessions_start: str
    account_mode: str
    watchlist: list[WatchlistItem]
    cash_usd: float
    holdings: dict[str, int]
    strategy: str
    horizon_sessions: int
    buy_at: float
    sell_at: float
    max_weight: dict[str, float]
    min_cash_weight: float
    min_trade_weight: float
    cost_bps: dict[str, float]
