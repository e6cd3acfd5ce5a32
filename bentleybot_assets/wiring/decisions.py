"""Decisions are facts: what a decided session was decided on is not computed again.

Does not belong here: deciding (``core``), recording a decision (``ledger``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from bentleybot_assets.contracts._base import Contract
from bentleybot_assets.warehouse.base import Warehouse
from bentleybot_assets.wiring.partitions import sessions_of

if TYPE_CHECKING:
    from bentleybot_assets.ledger.ledger import Ledger


def each_undecided_session(
    context: dg.AssetExecutionContext,
    contract: type[Contract],
    compute: Callable[[date], pl.DataFrame],
    *,
    warehouse: Warehouse,
    ledger: Ledger,
    strategy: str,
) -> pl.DataFrame:
    """The rows of the run's sessions: computed, or as they stand where the strategy has decided the session."""
    days = sessions_of(context)
    decided = ledger.decided(days, strategy)
    frames = []
    for day in days:
        if day in decided and warehouse.row_count(contract, [day]):
            context.log.info("%s was decided before; its rows of %s stand.", day, contract.table_name())
            frames.append(warehouse.read(contract, [day]))
        else:
            frames.append(compute(day))
    return pl.concat(frames)
