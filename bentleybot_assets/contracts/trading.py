"""Trading tables: what to own, and the orders that lead there."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import SYMBOL_PATTERN, Contract, TableRules, column

ACCOUNT_MODES = ("paper", "live")
DATA_MODES = ("sample", "yahoo")


class TargetWeights(Contract):
    """What the account should own after the session's orders: long-only, capped, in whole shares."""

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    session: pl.Date = column("Session of the decision")
    weight: float = column("Share of equity aimed at", unit="fraction", ge=0, le=1)
    reference_price_usd: float = column("Price the target was sized at", unit="USD", gt=0)
    price_source: str = column("Where the reference price comes from")
    position_quantity: int = column("Shares held before", unit="shares", ge=0)
    target_quantity: int = column("Shares to hold, rounded down", unit="shares", ge=0)
    target_value_usd: float = column("target_quantity at the reference price", unit="USD", ge=0)


class Orders(Contract):
    """Paper order intents of a session. An id is the hash of what was decided, so a re-run finds its own."""

    _rules = TableRules(grain=("order_id", "session"), may_be_empty=True)

    order_id: str = column("Hash of strategy, session, symbol, target and revision", str_matches=r"^[0-9a-f]{32}$")
    session: pl.Date = column("Session of the decision")
    symbol: str = column("Instrument", str_matches=SYMBOL_PATTERN)
    side: str = column("Direction", isin=("BUY", "SELL"))
    quantity: int = column("Shares to trade", unit="shares", gt=0)
    position_quantity: int = column("Shares held before", unit="shares", ge=0)
    target_quantity: int = column("Shares to hold after", unit="shares", ge=0)
    reference_price_usd: float = column("Price the order was sized at", unit="USD", gt=0)
    estimated_value_usd: float = column("quantity at the reference price", unit="USD", gt=0)
    estimated_cost_usd: float = column("Expected spread, slippage and commission", unit="USD", ge=0)
    state: str = column("Where the order stands", isin=("PENDING",))
    # The column hides pandera's generator of test data of that name, which the contracts do not use.
    strategy: str = column("Strategy that decided")  # type: ignore[assignment]
    revision: str = column("Revision of the decision within the session")
    account_mode: str = column("Paper or live account", isin=ACCOUNT_MODES)
    data_mode: str = column("Recorded sample or market data", isin=DATA_MODES)
