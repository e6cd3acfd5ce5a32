"""Who is in the universe at a session, and what holds for its asset class.

Does not belong here: what to do with a member (``signals``, ``sizing``, ``orders``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import polars as pl


def the_session(frame: pl.DataFrame, what: str) -> date:
    """The one session that all rows of ``frame`` belong to.

    Raises:
        ValueError: there is none, or more than one.
    """
    sessions = frame["session"].unique().sort().to_list()
    if len(sessions) != 1:
        found = ", ".join(map(str, sessions[:3])) or "none"
        raise ValueError(f"{what} must be of one session, but hold {found}. Pass the rows of the session to decide.")
    session: date = sessions[0]
    return session


def by_symbol(
    per_class: Mapping[str, float], what: str, symbols: Iterable[str], instruments: pl.DataFrame, session: date
) -> dict[str, float]:
    """A choice made per asset class (a cost, a cap), looked up for each symbol.

    Args:
        per_class: asset class to value.
        what: what the value is; named in errors.
        symbols: symbols to look up.
        instruments: columns of ``market/instruments``.
        session: session at which the symbols must be tradable members.

    Raises:
        ValueError: a symbol is no tradable member at the session, or its asset class has no value.
    """
    is_member = (pl.col("valid_from") <= session) & (pl.col("valid_to") >= session).fill_null(value=True)
    members = instruments.filter("is_tradable", is_member)
    classes = dict(members.select("symbol", "asset_class").iter_rows())
    values = {}
    for symbol in symbols:
        if symbol not in classes:
            raise ValueError(
                f"{symbol} is not a tradable member of market/instruments at session {session}. Put it on the "
                "watchlist for that session, or take it out of what is decided."
            )
        if classes[symbol] not in per_class:
            raise ValueError(
                f"There is no {what} for asset class {classes[symbol]} of {symbol}, only for "
                f"{', '.join(sorted(per_class))}. State one."
            )
        values[symbol] = per_class[classes[symbol]]
    return values
