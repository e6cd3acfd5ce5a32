"""What a session's decision could know, where later deliveries have changed the tables since.

A table holds the newest version of everything. Until the cut-off of a session that is all there is; afterwards a
correction or a late dividend changes rows that the session's decision must not see. Belongs here: telling that such a
change has come, and undoing it. Does not belong here: which version of a record is the newest (``deliveries``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.sessions import cut_off
from bentleybot_assets.core.audit import audit
from bentleybot_assets.core.bars import ACTION_KEY, BAR_KEY, daily_bars
from bentleybot_assets.core.deliveries import as_of, known_at
from bentleybot_assets.core.matrix import matrix
from bentleybot_assets.core.technical import technical


@dataclass(frozen=True)
class Deliveries:
    """What was delivered, and for whom.

    Attributes:
        bars: contract ``raw/market/daily_bars``.
        actions: contract ``raw/market/corporate_actions``.
        instruments: contract ``market/instruments``.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    instruments: pl.DataFrame

    def members(self, session: date, matrix_rows: pl.LazyFrame) -> pl.DataFrame:
        """The session's rows of ``features/matrix`` as they stood at its cut-off.

        Args:
            session: session of the decision.
            matrix_rows: contract ``features/matrix`` as it stands now.
        """
        if self._were_changed_after(session):
            matrix_rows = matrix(technical(self._bars_of(session)), self.instruments).lazy()
        return _known(matrix_rows, session)

    def prices(self, session: date, bars: pl.LazyFrame) -> pl.DataFrame:
        """The session's rows of ``market/daily_bars`` as they stood at its cut-off.

        Args:
            session: session of the decision.
            bars: contract ``market/daily_bars`` as it stands now.
        """
        return _known(self._bars_of(session).lazy() if self._were_changed_after(session) else bars, session)

    def _were_changed_after(self, session: date) -> bool:
        """Whether anything about a session up to this one became known after its cut-off."""
        return any(
            log.select(((known_at(key) > cut_off(session)) & (pl.col(day) <= session)).any()).item()
            for log, key, day in ((self.bars, BAR_KEY, "session"), (self.actions, ACTION_KEY, "ex_date"))
        )

    def _bars_of(self, session: date) -> pl.DataFrame:
        bars = as_of(self.bars, BAR_KEY, cut_off(session))
        actions = as_of(self.actions, ACTION_KEY, cut_off(session))
        outcome = audit(DailyBars, daily_bars(bars, actions, self.instruments))
        if outcome.published is None:
            raise ValueError(
                f"What was known of market/daily_bars at the cut-off of session {session} breaks its contract: "
                f"{outcome.faults[0].message} The session cannot be decided after the fact."
            )
        return outcome.published


def _known(rows: pl.LazyFrame, session: date) -> pl.DataFrame:
    return rows.filter(pl.col("session") == session, pl.col("available_at") <= cut_off(session)).collect()
