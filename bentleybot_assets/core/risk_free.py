"""What riskless money earned: the return of Treasury bills over each session.

Belongs here: from rates as they are told to returns, and which rate holds for which session. Does not belong here:
the ratios that are taken over them (``brief``).

A rate holds from its day until the series' next one, and no longer than the series has pauses. Past a series' end there
is none, and what needs one is null: as if money earned nothing would be false.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from bentleybot_assets.core.deliveries import as_of, newest_versions
from bentleybot_assets.core.evaluation import SESSIONS_PER_YEAR

UNAVAILABLE = "risk-free rate unavailable"

_KEY = ("series", "rate_date")
_DAYS_PER_YEAR = 365
_DAYS_OF_DISCOUNT_YEAR = 360


@dataclass(frozen=True)
class _Bill:
    """How a series is told, in percent of discount.

    Attributes:
        days: from purchase to maturity.
        holds: the longest time from one rate to the next.
    """

    days: int
    holds: timedelta


_BILLS = {
    "us_bill_13_weeks_discount": _Bill(91, timedelta(days=7)),  # daily but for holidays
    "us_bill_3_months_discount_quarterly": _Bill(91, timedelta(days=92)),
}


def session_returns(rates: pl.DataFrame, sessions: pl.Series, instant: datetime) -> pl.Series:
    """The riskless return over each session; null where no rate holds.

    Args:
        rates: contract ``raw/market/risk_free_rates``, of one series or of several.
        sessions: exchange dates, oldest first.
        instant: what became known later is not used.

    Raises:
        ValueError: a series whose terms are not known.
    """
    known = newest_versions(as_of(rates, _KEY, instant), _KEY)
    told = known.filter(pl.col("rate_pct").is_finite()).sort("rate_date", "series")
    if unknown := sorted(set(told["series"]) - _BILLS.keys()):
        raise ValueError(f"The terms of the bills {', '.join(unknown)} are not known. Add them in core/risk_free.py.")
    terms = pl.DataFrame(
        [(series, bill.days, bill.holds) for series, bill in _BILLS.items()],
        schema={"series": pl.String, "days": pl.Int64, "holds": pl.Duration("us")},
        orient="row",
    )
    price = 1 - pl.col("rate_pct") / 100 * pl.col("days") / _DAYS_OF_DISCOUNT_YEAR
    sessions_to_maturity = pl.col("days") * SESSIONS_PER_YEAR / _DAYS_PER_YEAR
    held = sessions.to_frame("session").join_asof(
        told.join(terms, on="series", maintain_order="left"), left_on="session", right_on="rate_date"
    )
    holds = pl.col("session") - pl.col("rate_date") < pl.col("holds")
    return held.select(pl.when(holds).then(price ** (-1 / sessions_to_maturity) - 1).alias("risk_free")).to_series()
