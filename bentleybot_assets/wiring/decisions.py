"""Decisions are facts: what a decided session was decided on is not computed again.

Does not belong here: deciding (``core``), recording a decision (``ledger``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
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

    def standing(days: Collection[date]) -> dict[date, pl.DataFrame]:
        decided = [day for day in ledger.decided(days, strategy) if warehouse.row_count(contract, [day])]
        for day in decided:
            context.log.info("%s was decided before; its rows of %s stand.", day, contract.table_name())
        return {day: warehouse.read(contract, [day]) for day in decided}

    kept = standing(days)
    computed = {day: compute(day) for day in days if day not in kept}
    # Another run may have decided a session meanwhile; asked as late as possible, right before the frame is published.
    frames = kept | computed | standing(computed)
    return pl.concat([frames[day] for day in days])
