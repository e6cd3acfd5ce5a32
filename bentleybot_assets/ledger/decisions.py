"""What is recorded with the orders of a session.

Does not belong here: keeping it (``ledger.ledger``). That loads a database library, which importing the code location
does not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Decision:
    """What names a decision, and for what kind of account and on what data it is made.

    Attributes:
        strategy: strategy that decides.
        session: session that is decided.
        revision: revision of the decision within the session.
        account_mode: paper or live.
        data_mode: sample or market data.
    """

    strategy: str
    session: date
    revision: str
    account_mode: str
    data_mode: str


@dataclass(frozen=True)
class Account:
    """What an account held when a session was decided.

    Attributes:
        cash_usd: cash before the session's orders.
        positions: shares held before the session's orders, per symbol.
    """

    cash_usd: float
    positions: Mapping[str, int]
