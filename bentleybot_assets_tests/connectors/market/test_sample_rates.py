"""What the sample tells of currencies and bills is what the installed packages hold."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.market import sample_rates
from bentleybot_assets.connectors.market.sample import SampleFeed
from bentleybot_assets.contracts.raw.market import FxRates, HourlyBars, RiskFreeRates
from bentleybot_assets.contracts.sessions import close_at, sessions_between

FEED = SampleFeed([], date(1990, 1, 1))
BILL = "us_bill_3_months_discount_quarterly"


def packaged_rows(package: str, path: str) -> list[dict[str, str]]:
    """The file, read with nothing but the standard library."""
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    with Path(folder, path).open(newline="") as lines:
        return list(csv.DictReader(lines))


def packaged_hours() -> dict[datetime, dict[str, str]]:
    rows = packaged_rows("gym_anytrading", "datasets/data/FOREX_EURUSD_1H_ASK.csv")
    return {datetime.strptime(row["Time"][:19], "%d.%m.%Y %H:%M:%S").replace(tzinfo=UTC): row for row in rows}


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def hours() -> list[dict[str, Any]]:
    return list(FEED.hourly_bars("EURUSD=X", None)[0])


def rates() -> list[dict[str, Any]]:
    return list(FEED.fx_rates("EURUSD", None)[0])


def bills() -> list[dict[str, Any]]:
    return list(FEED.risk_free_rates(BILL, None)[0])


def test_hours_equal_the_packaged_file():
    told = {
        instant(bar["bar_at"]): (*(bar[name] for name in ("open", "high", "low", "close")), json.loads(bar["extra"]))
        for bar in hours()
    }
    assert told == {
        began: (*(float(row[name]) for name in ("Open", "High", "Low", "Close")), {"Volume": float(row["Volume"])})
        for began, row in packaged_hours().items()
    }
    assert len(hours()) == 6225


def test_an_hour_is_known_a_quarter_of_an_hour_after_it_ended():
    hour = timedelta(hours=1)
    for bar in hours():
        assert instant(bar["event_at"]) - instant(bar["bar_at"]) == hour
        assert instant(bar["available_at"]) - instant(bar["event_at"]) == timedelta(minutes=15)
    assert {(bar["is_modelled"], bar["fetched_at"], bar["volume"]) for bar in hours()} == {
        (True, "2017-12-29T22:15:00Z", None)
    }


def test_the_rate_of_a_session_is_the_close_of_the_hour_that_ended_with_it():
    packaged = packaged_hours()
    expected = {
        session.isoformat(): float(packaged[close_at(session) - timedelta(hours=1)]["Close"])
        for session in sessions_between(date(2017, 1, 1), date(2017, 12, 29))
    }
    assert {rate["rate_date"]: rate["rate"] for rate in rates()} == expected
    assert len(rates()) == 251


def test_a_rate_of_a_half_day_is_of_its_early_close():
    (rate,) = [rate for rate in rates() if rate["rate_date"] == "2017-11-24"]
    assert (rate["event_at"], rate["available_at"]) == ("2017-11-24T18:00:00Z", "2017-11-24T18:15:00Z")
    assert (rate["base_currency"], rate["quote_currency"]) == ("EUR", "USD")


def test_a_session_without_its_last_hour_has_no_rate(monkeypatch):
    whole = sample_rates.hourly_bars()
    monkeypatch.setattr(sample_rates, "hourly_bars", lambda: whole.filter(pl.col("bar_at") != "2017-11-22T20:00:00Z"))
    assert [rate["rate_date"] for rate in rates() if "2017-11-21" <= rate["rate_date"] <= "2017-11-24"] == [
        "2017-11-21",
        "2017-11-24",
    ]


def test_no_rate_of_a_bill_is_known_before_its_quarter_is_over():
    told = bills()
    packaged = [
        row for row in packaged_rows("statsmodels", "datasets/macrodata/macrodata.csv") if int(row["year"]) >= 1990
    ]
    assert [bill["rate_pct"] for bill in told] == [float(row["tbilrate"]) for row in packaged]
    first, last = told[0], told[-1]
    # The average of 1990's first quarter was 7.8 %; Saturday was its last day, Monday the next session.
    assert (first["rate_date"], first["rate_pct"]) == ("1990-01-01", 7.8)
    assert (first["event_at"], first["available_at"]) == ("1990-04-01T00:00:00Z", "1990-04-02T20:15:00Z")
    assert (last["rate_date"], last["available_at"]) == ("2009-07-01", "2009-10-01T20:15:00Z")
    assert {(bill["series"], bill["currency"], bill["fetched_at"]) for bill in told} == {
        (BILL, "USD", "2009-12-15T00:00:00Z")
    }


@pytest.mark.parametrize(
    ("told", "contract", "package"),
    [(hours, HourlyBars, "gym-anytrading"), (rates, FxRates, "gym-anytrading"), (bills, RiskFreeRates, "statsmodels")],
)
def test_records_have_exactly_the_columns_of_their_contract_and_say_where_they_come_from(told, contract, package):
    records = told()
    assert {frozenset(record) for record in records} == {frozenset(contract.polars_schema())}
    assert {record["source_version"] for record in records} == {importlib.metadata.version(package)}


def test_reading_goes_on_after_the_mark_and_ends_with_the_series():
    everything, mark = FEED.fx_rates("EURUSD", None)
    rest, again = FEED.fx_rates("EURUSD", {"rate_date": "2017-12-27"})
    assert [rate["rate_date"] for rate in rest] == ["2017-12-28", "2017-12-29"]
    assert mark == again == {"rate_date": "2017-12-29"}
    nothing, unchanged = FEED.fx_rates("EURUSD", mark)
    assert (list(nothing), unchanged) == ([], mark)
    assert list(everything)[-2:] == rates()[-2:]


def test_reading_starts_at_the_start_date():
    feed = SampleFeed([], date(2017, 12, 29))
    assert next(iter(feed.hourly_bars("EURUSD=X", None)[0]))["bar_at"] == "2017-12-29T00:00:00Z"
    assert list(feed.risk_free_rates(BILL, None)[0]) == []


@pytest.mark.parametrize(
    ("setting", "named", "recorded"),
    [
        ("hourly_symbols", "IBM", "EURUSD=X"),
        ("fx_pairs", "GBPUSD", "EURUSD"),
        ("risk_free_series", "us_bill_13_weeks_discount", BILL),
    ],
)
def test_what_is_not_recorded_is_refused_by_name(setting, named, recorded):
    feed = SampleFeed([], date(1990, 1, 1), **{setting: [named]})
    with pytest.raises(ConfigError, match=f"no {named}. Take it out of `{setting}`, or use {recorded}"):
        feed.check()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"macrodata\.csv.*pip install statsmodels"):
        FEED.risk_free_rates(BILL, None)
