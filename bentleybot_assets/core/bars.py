"""From delivered bars to bars that can be trusted (table ``market/daily_bars``).

Belongs here: which delivery counts, adjusting for splits, total returns, flagging outliers. Does not belong here:
judging a bar (``contracts.market`` states the rules, ``core.audit`` applies them), features.
"""

from __future__ import annotations

import polars as pl

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE
from bentleybot_assets.core.audit import valid_rows
from bentleybot_assets.core.deliveries import newest_versions

OUTLIER_DEVIATIONS = 8
"""A return beyond this many trailing standard deviations is flagged."""

OUTLIER_WINDOW = 63
"""Sessions, not counting the judged one, over which that deviation is taken."""

BAR_KEY = ("symbol", "session")
"""What identifies a delivered bar."""

ACTION_KEY = ("symbol", "ex_date", "action")
"""What identifies a delivered corporate action."""

_PRICES = ("open", "high", "low", "close")
_IS_FULLY_ADJUSTED = pl.col("price_source") == "fully_adjusted_close"


def daily_bars(raw_bars: pl.DataFrame, corporate_actions: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Clean the bars of all instruments; columns of contract ``market/daily_bars``, sorted by symbol and session.

    - **Deliveries.** Of each bar the newest version counts (:func:`newest_versions`), known since the first one was.
      Different versions fetched at the same instant both stay: the audit refuses the table. An action that its
      source withdrew is none.
    - **Splits.** All prices of an instrument are brought to its newest basis: that of the last bar if it is
      unadjusted, of the last fetch if the source adjusts for splits. Each price is divided, and each volume
      multiplied, by the splits after its own basis: after its session, or after the day it was fetched. So a
      split-adjusted history fetched at once stays as it is, and a later split rescales all earlier rows.
    - **Close-only.** Of fully adjusted bars, and of instruments without usable highs, only the close is kept, as
      ``mark_price``.
    - **Total return** since the instrument's previous good bar: (close + dividends that went ex since) / previous
      close - 1; the ratio of closes where they are fully adjusted. Dividends come per share as split-adjusted on the
      day they were fetched and follow the prices from there. The index starts at the first ``mark_price`` and
      compounds forward, so later bars and dividends never change it. A return is not known before the action that
      entered it.
    - **Bad rows**, those that break a rule of the contract, pass through as delivered for the audit to set aside.
      They enter no return and no index of a good row; their own index is a neutral 1.0.

    The same records give the same bytes, in whatever order and however often they were delivered.

    Args:
        raw_bars: contract ``raw/market/daily_bars``, any order.
        corporate_actions: contract ``raw/market/corporate_actions``, any order.
        instruments: contract ``market/instruments``; bars of other symbols are ignored.

    Raises:
        ValueError: an instrument mixes fully adjusted prices with others, or an action of a followed instrument
            is ambiguous, has no positive value, or pays in another currency.
    """
    followed = instruments.group_by("symbol").agg(pl.col("is_close_only").any())
    versions = newest_versions(raw_bars.join(followed, on="symbol", how="semi"), BAR_KEY)
    bars = _as_delivered(versions.join(followed, on="symbol", maintain_order="left"))
    actions = _actions(corporate_actions.join(followed, on="symbol", how="semi"))
    columns = DailyBars.polars_schema().keys()

    is_good = valid_rows(DailyBars, bars.select(columns))
    good = bars.filter(is_good).sort("symbol", "session", maintain_order=True)
    _require_one_basis(good)
    good = _add_returns(_adjust_for_splits(good, actions), actions)
    bad = bars.filter(~is_good)
    # Stable, so that different versions of one bar keep the fixed order they come in.
    return pl.concat([good.select(columns), bad.select(columns)]).sort("symbol", "session", maintain_order=True)


def _as_delivered(delivered: pl.DataFrame) -> pl.DataFrame:
    """Contract columns with the delivered prices and no returns yet; splits up to ``basis_on`` are in the prices."""
    is_fully_adjusted = pl.col("price_basis") == "fully_adjusted"
    has_only_close = is_fully_adjusted | pl.col("is_close_only")
    return delivered.with_columns(
        *(pl.when(~has_only_close).then(pl.col(name)).alias(name) for name in (*_PRICES, "volume")),
        mark_price="close",
        price_source=pl.when(is_fully_adjusted)
        .then(pl.lit("fully_adjusted_close"))
        .otherwise(pl.lit("split_adjusted_close")),
        total_return=pl.lit(None, dtype=pl.Float64),
        total_return_close=pl.lit(1.0),
        is_outlier=pl.lit(value=False),
        basis_on=pl.when(pl.col("price_basis") == "unadjusted").then("session").otherwise(_fetched_on()),
    )


def _fetched_on() -> pl.Expr:
    """The exchange date of the fetch; a split that takes effect that day is in the price already."""
    return pl.col("fetched_at").dt.convert_time_zone(EXCHANGE_TIMEZONE).dt.date()


def _require_one_basis(bars: pl.DataFrame) -> None:
    """A return across two bases would be an invented gain or loss."""
    changed = bars.filter(pl.col("price_source") != pl.col("price_source").shift(1).over("symbol"))
    if not changed.is_empty():
        first = changed.row(0, named=True)
        raise ValueError(
            f"raw/market/daily_bars: {first['symbol']} changes to {first['price_source']} at {first['session']} "
            f"(source {first['source']}), but its return needs one price basis throughout. Deliver its whole "
            "history from one source, or start again with an empty home folder."
        )


def _actions(corporate_actions: pl.DataFrame) -> pl.DataFrame:
    """The current version of each action, oldest first.

    Raises:
        ValueError: an action is ambiguous or has no positive, finite value.
    """
    actions = newest_versions(corporate_actions, ACTION_KEY).filter(~pl.col("is_withdrawn"))
    actions = actions.sort(ACTION_KEY, maintain_order=True)
    wrong = actions.filter(
        pl.struct(ACTION_KEY).is_duplicated()
        | ~(pl.col("value").is_finite() & (pl.col("value") > 0)).fill_null(value=False)
    )
    if not wrong.is_empty():
        first = wrong.row(0, named=True)
        values = wrong.filter(*(pl.col(name) == first[name] for name in ACTION_KEY))["value"].to_list()
        raise ValueError(
            f"raw/market/corporate_actions: {first['action']} of {first['symbol']} with ex_date {first['ex_date']} "
            f"from {first['source']} has value {' and '.join(map(str, values))}; it should be one positive number. "
            "Deliver the right one: the newest delivery counts."
        )
    return actions


def _adjust_for_splits(bars: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Bring prices and volumes to the instrument's newest basis, which ``basis_on`` then names."""
    newest = bars.with_columns(pl.col("basis_on").max().over("symbol"))
    factor = _splits_until(newest, "basis_on", actions) / _splits_until(bars, "basis_on", actions)
    divisor = pl.when(_IS_FULLY_ADJUSTED).then(1.0).otherwise(factor)
    return newest.with_columns(pl.col(*_PRICES, "mark_price") / divisor, volume=pl.col("volume") * divisor)


def _splits_until(rows: pl.DataFrame, day: str, actions: pl.DataFrame) -> pl.Series:
    """New shares per original share of each row's symbol, all splits up to and including ``day``; in row order."""
    splits = actions.filter(action="split").select(
        "symbol", "ex_date", factor=pl.col("value").cum_prod().over("symbol")
    )
    if splits.is_empty():
        return pl.repeat(1.0, rows.height, eager=True)
    numbered = rows.select("symbol", pl.col(day).alias("day")).with_row_index().sort("day")
    joined = numbered.join_asof(
        splits.sort("ex_date"), left_on="day", right_on="ex_date", by="symbol", check_sortedness=False
    )
    return joined.sort("index")["factor"].fill_null(1.0)


def _add_returns(bars: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Total return, its index and the outlier flag."""
    price, total_return = pl.col("mark_price"), pl.col("total_return")
    deviation = total_return.rolling_std(OUTLIER_WINDOW).shift(1).over("symbol")
    is_large = total_return.abs() > OUTLIER_DEVIATIONS * deviation
    return (
        bars.join(_effects(bars, actions), on=["symbol", "session"], how="left", maintain_order="left")
        .with_columns(total_return=(price + pl.col("dividend").fill_null(0.0)) / price.shift(1).over("symbol") - 1)
        .with_columns(
            available_at=pl.max_horizontal("available_at", "action_available_at"),
            total_return_close=(price.first() * (1 + total_return.fill_null(0.0)).cum_prod()).over("symbol"),
            is_outlier=(is_large & pl.col("dividend").is_null()).fill_null(value=False),
        )
    )


def _effects(bars: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Per symbol and session with an action: the dividends per share on the prices' basis, 0 if there is none.

    An action takes effect at the first bar on or after its ex-date. ``action_available_at`` is when the last of them
    became known.
    """
    sessions = bars.select("symbol", "session", "basis_on", "price_source", price_currency="currency")
    effects = (
        actions.with_columns(_fetched_on().alias("fetched_on"))
        .sort("ex_date", "symbol", "action")
        .join_asof(
            sessions.sort("session"),
            left_on="ex_date",
            right_on="session",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(pl.col("session").is_not_null())
    )
    is_paid = (pl.col("action") == "dividend") & ~_IS_FULLY_ADJUSTED
    foreign = effects.filter(is_paid & (pl.col("currency") != pl.col("price_currency")))
    if not foreign.is_empty():
        first = foreign.row(0, named=True)
        raise ValueError(
            f"raw/market/corporate_actions: the dividend of {first['symbol']} with ex_date {first['ex_date']} from "
            f"{first['source']} is in {first['currency']}, but its prices are in {first['price_currency']}. "
            "Deliver it in the currency of the prices."
        )
    factor = _splits_until(effects, "basis_on", actions) / _splits_until(effects, "fetched_on", actions)
    return (
        effects.with_columns(pl.when(is_paid).then(pl.col("value") / factor).otherwise(0.0).alias("dividend"))
        .group_by("symbol", "session", maintain_order=True)
        .agg(pl.col("dividend").sum(), action_available_at=pl.col("available_at").max())
    )
