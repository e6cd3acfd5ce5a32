"""Report tables: what people read."""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts._base import Contract, TableRules, column
from bentleybot_assets.contracts.trading import ACCOUNT_MODES, DATA_MODES


class DailyBrief(Contract):
    """The page that says what to do at a session and why, or what stopped it."""

    _rules = TableRules(grain=("session",))

    session: pl.Date = column("Session the brief is about")
    verdict: str = column(
        "TRADE: orders stand. HOLD: nothing to do. HALT: a check stopped it", isin=("TRADE", "HOLD", "HALT")
    )
    order_count: int = column("Orders of the session", ge=0)
    refusal_count: int = column("Open refusals of the session", ge=0)
    account_mode: str = column("Paper or live account", isin=ACCOUNT_MODES)
    data_mode: str = column("Recorded sample or market data", isin=DATA_MODES)
    html: str = column("The page, self-contained", is_long=True)
