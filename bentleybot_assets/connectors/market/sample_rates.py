"""What the sample knows of currencies and Treasury bills.

==================================  ===================================================================
data set                            what it is
==================================  ===================================================================
gym_anytrading/FOREX_EURUSD_1H_ASK  hourly bars of EURUSD in 2017, ask side, hours in UTC
statsmodels/macrodata               rate of 3-month US bills, quarterly, 1959-2009; public domain
==================================  ===================================================================

The week of EURUSD begins on Sunday and ends on Friday at 17:00 in New York. Past a series' end there is no record.

Deliberately left out: the other series of macrodata (national accounts, prices, money, population; no rates of bills).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from bentleybot_assets.connectors.feeds import iso
from bentleybot_assets.connectors.market.calendars import AroundTheClock
from bentleybot_assets.connectors.market.recordings import Recording
from bentleybot_assets.connectors.market.records import ISO_UTC, bar_times, closed_hours
from bentleybot_assets.contracts.sessions import DATA_DELAY, FIRST_DAY, close_at, next_session, sessions_between

FX_SYMBOL, FX_PAIR = "EURUSD=X", "EURUSD"
BILL_SERIES = "us_bill_3_months_discount_quarterly"
"""The 3-month bill in the secondary market, discount basis, as the average of the quarter."""

_LAST_HOUR_ENDS = datetime(2017, 12, 29, 22, tzinfo=UTC)
_ACCESSED = datetime(2009, 12, 15, tzinfo=UTC)
"""When macrodata was compiled from FRED, as the data set says."""

FX = Recording(
    name="gym_anytrading/FOREX_EURUSD_1H_ASK",
    package="gym_anytrading",
    path="datasets/data/FOREX_EURUSD_1H_ASK.csv",
    fetched_at=iso(_LAST_HOUR_ENDS + DATA_DELAY),
)
BILLS = Recording(
    name="statsmodels/macrodata",
    package="statsmodels",
    path="datasets/macrodata/macrodata.csv",
    fetched_at=iso(_ACCESSED),
)


def hourly_bars() -> pl.DataFrame:
    """Each hour's bar. Its volume is what was offered, not what was traded, so it is kept as ``extra``."""
    table = FX.read()
    begins = table["Time"].str.to_datetime("%d.%m.%Y %H:%M:%S%.f", time_zone="UTC")
    times = closed_hours(begins, AroundTheClock("UTC"), _LAST_HOUR_ENDS + DATA_DELAY).drop("is_closed")
    prices = table.select(
        open="Open",
        high="High",
        low="Low",
        close="Close",
        extra=pl.struct("Volume").struct.json_encode(),
    )
    return times.hstack(prices)


def fx_rates() -> pl.DataFrame:
    """Each session's rate: the close of the hour that ended with New York's close, which is always a whole hour."""
    days = sessions_between(date(2017, 1, 1), _LAST_HOUR_ENDS.date())
    closes = pl.DataFrame({"rate_date": [f"{day}" for day in days], "event_at": [iso(close_at(day)) for day in days]})
    return closes.join(hourly_bars(), on="event_at", maintain_order="left").select(
        "rate_date", "event_at", "available_at", rate="close"
    )


def risk_free_rates() -> pl.DataFrame:
    """Each quarter's rate. It was true when the quarter ended, and known with the next session's close."""
    table = BILLS.read()
    quarters = table.select(
        rate_date=pl.date(pl.col("year").cast(pl.Int32), 3 * pl.col("quarter").cast(pl.Int32) - 2, 1),
        rate_pct="tbilrate",
    ).filter(pl.col("rate_date") >= FIRST_DAY)
    ends = quarters["rate_date"].dt.offset_by("3mo")
    known = bar_times(pl.Series([next_session(end - timedelta(days=1)) for end in ends], dtype=pl.Date))
    midnights = pl.Series([datetime.combine(end, time(), tzinfo=UTC) for end in ends])
    return quarters.select(
        pl.col("rate_date").dt.to_string("iso"),
        event_at=midnights.dt.strftime(ISO_UTC),
        available_at=known["available_at"],
        rate_pct="rate_pct",
    )
