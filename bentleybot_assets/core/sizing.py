"""From signals to whole shares, within limits.

Does not belong here: what to buy (``signals``), order identity and cost (``orders``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.core.universe import by_symbol, the_session


@dataclass(frozen=True)
class Limits:
    """What no target may exceed; fractions of equity.

    Attributes:
        max_weight: the largest weight to buy up to, per asset class.
        min_cash_weight: what stays cash.
        min_trade_weight: a smaller change is not worth its cost.
    """

    max_weight: Mapping[str, float] = field(default_factory=lambda: {"equity": 0.10, "etf": 0.25})
    min_cash_weight: float = 0.05
    min_trade_weight: float = 0.01

    def __post_init__(self) -> None:
        stated = {f"max_weight of {name}": value for name, value in self.max_weight.items()}
        stated |= {"min_cash_weight": self.min_cash_weight, "min_trade_weight": self.min_trade_weight}
        for name, value in stated.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it must be a fraction of equity, from 0 to 1.")


def target_weights(
    signals: pl.DataFrame,
    prices: pl.DataFrame,
    instruments: pl.DataFrame,
    *,
    positions: Mapping[str, int],
    cash_usd: float,
    limits: Limits,
) -> pl.DataFrame:
    """What the account should own after one session's orders, as contract ``trading/target_weights``.

    Equity is cash plus positions at their mark price; all but ``min_cash_weight`` of it may be invested. SELL goes to
    zero and HOLD keeps its shares. What these leave of the investable weight is shared by the BUY names: equally, up
    to each name's cap, and what a capped name cannot take is shared by the others. Shares are whole, rounded down.

    As long as a BUY name's trade would be smaller than ``min_trade_weight``, the lowest-ranked such name is left as
    it is and the others share again; so a budget too small for all serves the best-ranked. Leaving a position
    (SELL) and trimming one that outgrew its cap happen at any size.

    The targets together are worth at most the investable weight, except where names that are left alone (HOLD, or
    too small a trade) are already worth more; then nothing is bought. A HOLD may stand above its cap: caps bound what
    is bought, not what a rising price makes of it.

    Args:
        signals: rows of ``signals/trading_signals`` of one session.
        prices: rows of ``market/daily_bars`` of that session; rows of other symbols are ignored.
        instruments: columns of ``market/instruments``.
        positions: shares held per symbol, whole and not negative.
        cash_usd: cash at hand, not negative.
        limits: what no target may exceed.

    Returns:
        One row per signal, sorted by symbol. ``weight`` is what was aimed at before rounding to whole shares.

    Raises:
        ValueError: names the symbol that has no signal, no price, a price that is not positive or not in USD, or a
            negative position; or cash that is negative, or no equity at all.
    """
    session = the_session(signals, "Signals")
    actions = dict(signals.sort("symbol").select("symbol", "action").iter_rows())
    held = _held(positions, actions, session)
    bars = _usable_bars(prices, actions, session)
    price = {symbol: float(bar["mark_price"]) for symbol, bar in bars.items()}
    equity = _equity(held, price, cash_usd)
    caps = by_symbol(limits.max_weight, "max_weight", actions, instruments, session)

    value = {symbol: held[symbol] * price[symbol] if action == "HOLD" else 0.0 for symbol, action in actions.items()}
    shares = {symbol: held[symbol] if action == "HOLD" else 0 for symbol, action in actions.items()}
    sharing = signals.filter(action="BUY").sort("percentile", "symbol")["symbol"].to_list()  # lowest-ranked first
    while sharing:
        budget = max(0.0, (1 - limits.min_cash_weight) * equity - math.fsum(value.values()))
        shared = _share(budget, {symbol: caps[symbol] * equity for symbol in sharing})
        bought = {symbol: math.floor(shared[symbol] / price[symbol]) for symbol in sharing}
        too_small = next(
            (
                symbol
                for symbol in sharing
                if 0 < abs(bought[symbol] - held[symbol]) * price[symbol] < limits.min_trade_weight * equity
                and held[symbol] * price[symbol] <= caps[symbol] * equity
            ),
            None,
        )
        if too_small is None:
            value |= shared
            shares |= bought
            break
        sharing.remove(too_small)
        value[too_small] = held[too_small] * price[too_small]
        shares[too_small] = held[too_small]

    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "session": session,
                "weight": value[symbol] / equity,
                "reference_price_usd": price[symbol],
                "price_source": bars[symbol]["price_source"],
                "position_quantity": held[symbol],
                "target_quantity": shares[symbol],
                "target_value_usd": shares[symbol] * price[symbol],
            }
            for symbol in actions
        ],
        schema=TargetWeights.polars_schema(),
    )


def _share(budget: float, caps: Mapping[str, float]) -> dict[str, float]:
    """Equal parts of ``budget`` up to each cap; what a capped name leaves is shared by the others (water-filling)."""
    parts = {}
    for taken, (symbol, cap) in enumerate(sorted(caps.items(), key=lambda item: (item[1], item[0]))):
        parts[symbol] = min(cap, budget / (len(caps) - taken))
        budget -= parts[symbol]
    return parts


def _held(positions: Mapping[str, int], actions: Mapping[str, str], session: date) -> dict[str, int]:
    for symbol, quantity in positions.items():
        if quantity < 0:
            raise ValueError(f"The position in {symbol} is {quantity} shares; short positions are not supported.")
        if quantity and symbol not in actions:
            raise ValueError(
                f"{symbol} is held ({quantity} shares) but has no signal in session {session}, so nobody says what "
                "to do with it. Keep it on the watchlist with bars up to the session, or take it out of the holdings."
            )
    return {symbol: positions.get(symbol, 0) for symbol in actions}


def _usable_bars(prices: pl.DataFrame, actions: Mapping[str, str], session: date) -> dict[str, dict[str, Any]]:
    """The bar of each symbol, checked: it exists, is of the session, positive and in USD."""
    bars = {bar["symbol"]: bar for bar in prices.filter(session=session).iter_rows(named=True)}
    for symbol in actions:
        if symbol not in bars:
            raise ValueError(
                f"{symbol} has a signal but no bar in market/daily_bars at session {session}, so it cannot be valued. "
                "Sync the market connection and materialise market/daily_bars."
            )
        bar = bars[symbol]
        mark = bar["mark_price"]
        if mark is None or not math.isfinite(mark) or mark <= 0:
            raise ValueError(
                f"The mark_price of {symbol} in market/daily_bars at session {session} is {mark}; a positive price "
                "is needed to size a position."
            )
        if bar["currency"] != "USD":
            raise ValueError(
                f"{symbol} is priced in {bar['currency']} and there are no exchange rates yet. Follow instruments in "
                "USD only, or take it off the watchlist."
            )
    return {symbol: bars[symbol] for symbol in actions}


def _equity(held: Mapping[str, int], price: Mapping[str, float], cash_usd: float) -> float:
    if not math.isfinite(cash_usd) or cash_usd < 0:
        raise ValueError(f"cash_usd is {cash_usd}; the account's cash must be a number of dollars, 0 or more.")
    equity = math.fsum([cash_usd, *(held[symbol] * price[symbol] for symbol in held)])
    if equity == 0:
        raise ValueError("The account has neither cash nor positions, so there is nothing to size. State its cash_usd.")
    return equity
