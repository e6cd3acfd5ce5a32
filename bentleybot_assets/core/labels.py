"""What the models learn to predict: the return of an instrument bought one session after the decision.

Does not belong here: features (``matrix``), fitting (``walk_forward``).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.core._frames import require_sorted

HORIZONS = (5, 20)
"""Sessions a position is held, one label each."""

ENTRY_LAG = 1
"""Sessions from the decision to the close it is traded at: no trade at a price the decision has seen."""


BAR_COLUMNS = ("symbol", "session", "total_return_close", "available_at")
"""Columns of ``market/daily_bars`` that labels are computed from."""


def labels(bars: pl.DataFrame, instruments: pl.DataFrame, horizons: Sequence[int] = HORIZONS) -> pl.DataFrame:
    """Forward returns of the universe's members, as contract ``models/labels``.

    A label of session t runs from the close of t+1 to the close of t+1+horizon, total returns. It exists only
    if the instrument has a bar at every exchange session from t to the exit: a gap would silently stretch the
    horizon. Sessions whose outcome is not known yet have no row.

    Args:
        bars: :data:`BAR_COLUMNS` of ``market/daily_bars``, sorted by symbol and session, oldest first.
        instruments: ``market/instruments``; the memberships of a symbol must not overlap. Only instruments
            that are tradable members at the session of the decision are labelled and ranked.
        horizons: sessions held, each at least 1.

    Returns:
        One row per symbol, session and horizon, sorted by them. ``forward_rank`` is the rank of
        ``forward_return`` among the labelled members of the session, from -0.5 (worst) to 0.5; ties share
        their mean rank and a lone member has 0.

    Raises:
        ValueError: unsorted bars, or a horizon below 1.
    """
    require_sorted(bars, ("symbol", "session"), "market/daily_bars")
    if any(horizon < 1 for horizon in horizons):
        raise ValueError(f"Label horizons must be at least 1 session, not {list(horizons)}.")
    if bars.is_empty():
        return Labels.empty_frame()
    # An index value is known once all bars up to it are.
    known = bars.select(BAR_COLUMNS).with_columns(pl.col("available_at").cum_max().over("symbol"))
    numbered = _with_session_number(known)
    rows = pl.concat([_outcomes(numbered, horizon) for horizon in horizons])
    memberships = instruments.filter("is_tradable").select("symbol", "valid_from", "valid_to")
    is_member = pl.col("session").is_between("valid_from", pl.col("valid_to").fill_null(pl.col("session")))
    return (
        rows.join(memberships, on="symbol")
        .filter(is_member)
        .with_columns(forward_rank=_centred_rank("forward_return", ("session", "horizon_sessions")))
        .select(list(Labels.polars_schema()))
        .sort("symbol", "session", "horizon_sessions")
    )


def _with_session_number(bars: pl.DataFrame) -> pl.DataFrame:
    """Number the exchange's sessions, so that a gap shows as a jump."""
    calendar = pl.DataFrame({"session": sessions_between(bars["session"].min(), bars["session"].max())})  # type: ignore[arg-type]
    return bars.join(calendar.with_row_index("number"), on="session", how="inner", maintain_order="left")


def _outcomes(numbered: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Entry, exit and return of each row whose exit is exactly the right number of exchange sessions away.

    Numbers rise by at least one from row to row, so an exit that is k rows and k numbers away has no gap
    before it; that covers the entry too.
    """
    exit_lag = ENTRY_LAG + horizon

    def later(name: str, lag: int) -> pl.Expr:
        return pl.col(name).shift(-lag).over("symbol")

    has_outcome = (later("number", exit_lag) - pl.col("number")) == exit_lag
    exit_over_entry = later("total_return_close", exit_lag) / later("total_return_close", ENTRY_LAG)
    return (
        numbered.with_columns(
            horizon_sessions=pl.lit(horizon, dtype=pl.Int64),
            entry_session=later("session", ENTRY_LAG),
            exit_session=later("session", exit_lag),
            forward_return=exit_over_entry - 1,
            available_at=later("available_at", exit_lag),
            has_outcome=has_outcome,
        )
        .filter(pl.col("has_outcome"))
        .drop("has_outcome", "number", "total_return_close")
    )


def _centred_rank(name: str, within: Sequence[str]) -> pl.Expr:
    """Rank from -0.5 to 0.5 within a group; ties share their mean rank, a lone row has 0."""
    steps = pl.len().over(within) - 1
    position = pl.col(name).rank("average").over(within) - 1
    return pl.when(steps > 0).then(position / steps - 0.5).otherwise(0.0)
