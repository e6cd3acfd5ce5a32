"""Rates of bills become returns of sessions, where there is a rate that holds, and nowhere else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from bentleybot_assets.connectors.market.sample import SampleFeed
from bentleybot_assets.contracts.raw.market import RiskFreeRates
from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.core.risk_free import session_returns
from bentleybot_assets.resources.airbyte.records import normalise

DAILY, QUARTERLY = "us_bill_13_weeks_discount", "us_bill_3_months_discount_quarterly"
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def rates(*told: tuple[date, float | None], series: str = DAILY, fetched_at: datetime | None = None) -> pl.DataFrame:
    """Rates as the market connection delivers them, each known on the evening of its day unless fetched later."""
    rows = [
        {
            "series": series,
            "rate_date": day,
            "rate_pct": rate,
            "currency": "USD",
            "event_at": (evening := datetime(day.year, day.month, day.day, 21, tzinfo=UTC)),
            "available_at": fetched_at or evening,
            "is_modelled": fetched_at is None,
            "fetched_at": fetched_at or evening + timedelta(days=1),
            "source": "test",
            "source_version": "1",
            "extra": None,
        }
        for day, rate in told
    ]
    return pl.DataFrame(rows, schema=RiskFreeRates.polars_schema())


def returns(told: pl.DataFrame, first: date, last: date, instant: datetime = LATER) -> dict[date, float | None]:
    sessions = pl.Series(sessions_between(first, last), dtype=pl.Date)
    return dict(zip(sessions, session_returns(told, sessions, instant), strict=True))


def test_a_discount_is_what_the_treasury_says_it_yields() -> None:
    # 13 weeks at a discount of 5.10 %: the Treasury's price is 98.710833 for 100.
    (earned,) = returns(rates((date(2024, 1, 10), 5.10)), date(2024, 1, 10), date(2024, 1, 10)).values()
    assert earned is not None
    assert (1 + earned) ** (252 * 91 / 365) == pytest.approx(100 / 98.710833, rel=1e-8)


def test_a_rate_holds_until_the_next_one_and_not_before_its_day() -> None:
    earned = returns(rates((date(2024, 1, 10), 5.0), (date(2024, 1, 12), 4.0)), date(2024, 1, 9), date(2024, 1, 16))
    before, first, second, changed, after = earned.values()
    assert before is None
    assert first == second
    assert first is not None
    assert changed is not None
    assert changed < first
    assert after == changed


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_day_without_a_rate_has_that_of_the_day_before(nothing: float | None) -> None:
    earned = returns(
        rates((date(2024, 1, 10), 5.0), (date(2024, 1, 11), nothing)), date(2024, 1, 10), date(2024, 1, 11)
    )
    assert len(set(earned.values())) == 1
    assert None not in earned.values()


def test_past_a_daily_series_end_there_is_no_rate() -> None:
    earned = returns(rates((date(2024, 1, 10), 5.0)), date(2024, 1, 10), date(2024, 2, 1))
    assert [day.day for day, value in earned.items() if value is not None] == [10, 11, 12, 16]


def test_the_samples_series_has_a_rate_for_each_session_until_its_last_quarter_ends_and_none_after() -> None:
    records, _ = SampleFeed((), date(2008, 1, 1)).risk_free_rates(QUARTERLY, None)
    log, undeclared = normalise(RiskFreeRates, list(records))
    assert not undeclared
    earned = returns(log, date(2008, 1, 2), date(2022, 12, 28))
    known = [day for day, value in earned.items() if value is not None]
    assert known == sessions_between(date(2008, 1, 2), date(2009, 9, 30))


def test_zero_and_negative_rates_are_rates() -> None:
    zero, negative = returns(
        rates((date(2024, 1, 10), 0.0), (date(2024, 1, 11), -0.1)), date(2024, 1, 10), date(2024, 1, 11)
    ).values()
    assert zero == 0
    assert negative is not None
    assert negative < 0


def test_no_rate_at_all_is_no_return_at_all() -> None:
    assert set(returns(RiskFreeRates.empty_frame(), date(2024, 1, 10), date(2024, 1, 12)).values()) == {None}


def test_what_became_known_later_is_not_used() -> None:
    day = date(2024, 1, 10)
    corrected = rates((day, 9.0), fetched_at=datetime(2024, 3, 1, tzinfo=UTC))
    log = pl.concat([rates((day, 5.0)), corrected])
    told_first = returns(rates((day, 5.0)), day, day)
    assert returns(log, day, day, datetime(2024, 1, 12, tzinfo=UTC)) == told_first
    assert returns(log, day, day) == returns(rates((day, 9.0)), day, day) != told_first
    assert returns(log, day, day, datetime(2024, 1, 10, 20, tzinfo=UTC)) == {day: None}


def test_a_series_of_unknown_terms_is_named() -> None:
    with pytest.raises(ValueError, match=r"bills uk_bill are not known\. Add them in core/risk_free\.py"):
        returns(rates((date(2024, 1, 10), 5.0), series="uk_bill"), date(2024, 1, 10), date(2024, 1, 10))
