"""The recorded sample is what the installed packages hold, told truthfully."""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import importlib.util
import itertools
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.market import sample
from bentleybot_assets.connectors.market.sample import SAMPLE_LAST_SESSION, SampleFeed
from bentleybot_assets.contracts.sessions import is_session

START = date(1990, 1, 1)

# IBM's declared quarterly dividends, by ex-date from May 2000 to February 2013 (its investor relations page).
IBM_DIVIDENDS = [
    amount
    for amount in (0.13, 0.14, 0.15, 0.16, 0.18, 0.20, 0.30, 0.40, 0.50, 0.55, 0.65, 0.75, 0.85)
    for _ in range(4)
]


def packaged_rows(package: str, path: str) -> list[dict[str, str]]:
    """The file, read with nothing but the standard library."""
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    with gzip.open(Path(folder, path), "rt") as lines:
        return list(csv.DictReader(lines))


def bars(symbol: str) -> list[dict]:
    return list(SampleFeed([symbol], START).daily_bars(symbol, None)[0])


def test_goog_equals_the_packaged_file():
    rows = [row for row in packaged_rows("bokeh_sampledata", "_data/stocks.csv.gz") if row["Ticker"] == "GOOG"]
    expected = [
        (
            row["Date"],
            *(float(row[name]) for name in ("Open", "High", "Low", "Close", "Adj Close", "Volume")),
        )
        for row in rows
    ]
    names = ("session", "open", "high", "low", "close", "adjusted_close", "volume")
    assert [tuple(bar[name] for name in names) for bar in bars("GOOG")] == expected
    assert {bar["price_basis"] for bar in bars("GOOG")} == {"unadjusted"}


@pytest.mark.parametrize(
    ("symbol", "path", "column"),
    [
        ("MSFT", "sp500_dataset", "MSFT"),
        ("^GSPC", "sp500_index", "SP500"),
        ("VLUE", "factors_dataset", "VLUE"),
    ],
)
def test_close_only_instruments_equal_the_packaged_file(symbol, path, column):
    rows = packaged_rows("skfolio", f"datasets/data/{path}.csv.gz")
    delivered = bars(symbol)
    assert [(bar["session"], bar["close"]) for bar in delivered] == [(row["Date"], float(row[column])) for row in rows]
    unknown = ("open", "high", "low", "volume", "adjusted_close")
    assert {bar[name] for bar in delivered for name in unknown} == {None}
    assert {(bar["price_basis"], bar["source"]) for bar in delivered} == {("fully_adjusted", f"skfolio/{path}")}


def test_the_whole_sample_is_twenty_nine_symbols_and_191507_bars():
    feed = SampleFeed([], START)
    counts = {symbol: len(list(feed.daily_bars(symbol, None)[0])) for symbol in feed.symbols}
    assert len(counts) == 29
    assert counts["AAPL"] == counts["^GSPC"] == 8313
    assert counts["MTUM"] == 2264
    assert (counts["IBM"], counts["GOOG"], counts["FB"]) == (3270, 2148, 196)
    assert sum(counts.values()) == 191_507


def test_a_symbol_has_one_source():
    assert {bar["source"] for symbol in ("AAPL", "MSFT") for bar in bars(symbol)} == {"skfolio/sp500_dataset"}


def test_bars_end_when_the_recording_ends():
    assert bars("AAPL")[-1]["session"] == SAMPLE_LAST_SESSION.isoformat()
    assert bars("GOOG")[-1]["session"] == "2013-03-01"


def test_a_bar_is_known_a_quarter_of_an_hour_after_the_close():
    by_session = {bar["session"]: bar for bar in bars("IBM")}
    summer, winter, half_day = (by_session[day] for day in ("2012-07-02", "2012-12-03", "2012-11-23"))
    assert (summer["event_at"], summer["available_at"]) == ("2012-07-02T20:00:00Z", "2012-07-02T20:15:00Z")
    assert (winter["event_at"], winter["available_at"]) == ("2012-12-03T21:00:00Z", "2012-12-03T21:15:00Z")
    assert (half_day["event_at"], half_day["available_at"]) == ("2012-11-23T18:00:00Z", "2012-11-23T18:15:00Z")
    assert all(bar["is_modelled"] is True for bar in by_session.values())


def test_the_recording_instant_is_stated_and_not_the_clock():
    assert {bar["fetched_at"] for bar in bars("FB")} == {"2013-03-01T21:15:00Z"}
    assert {bar["fetched_at"] for bar in bars("KO")} == {"2022-12-28T21:15:00Z"}


def test_the_source_version_is_the_installed_package():
    assert {bar["source_version"] for bar in bars("FB")} == {importlib.metadata.version("bokeh-sampledata")}


def test_every_recorded_day_is_a_session():
    feed = SampleFeed([], START)
    days = {bar["session"] for symbol in ("AAPL", "MTUM", "IBM") for bar in feed.daily_bars(symbol, None)[0]}
    assert all(is_session(date.fromisoformat(day)) for day in days)


def test_ibms_inferred_dividends_are_the_declared_ones_each_quarter():
    actions = list(SampleFeed(["IBM"], START).corporate_actions("IBM", None)[0])
    assert [action["value"] for action in actions] == IBM_DIVIDENDS
    assert [action["ex_date"][5:7] for action in actions] == ["05", "08", "11", "02"] * 13
    assert {action["action"] for action in actions} == {"dividend"}
    assert {action["source"] for action in actions} == {"bokeh_sampledata/stocks, inferred from adjusted close"}
    first = actions[0]
    assert (first["event_at"], first["available_at"]) == ("2000-05-08T13:30:00Z", "2000-05-08T20:15:00Z")


@pytest.mark.parametrize("symbol", ["GOOG", "FB", "AAPL", "^GSPC"])
def test_symbols_without_dividends_in_the_recording_have_no_actions(symbol):
    assert list(SampleFeed([symbol], START).corporate_actions(symbol, None)[0]) == []


@pytest.mark.parametrize("symbol", ["IBM", "GOOG", "FB"])
def test_noise_and_dividends_lie_far_from_the_threshold(symbol):
    factors = [bar["adjusted_close"] / bar["close"] for bar in bars(symbol)]
    steps = [abs(after / before - 1) for before, after in itertools.pairwise(factors)]
    assert all(step < sample._DIVIDEND_STEP / 1e6 or step > sample._DIVIDEND_STEP * 1e2 for step in steps)


def test_reading_goes_on_after_the_mark():
    feed = SampleFeed(["IBM"], START)
    everything, mark = feed.daily_bars("IBM", None)
    rest, new_mark = feed.daily_bars("IBM", {"session": "2013-02-26"})
    assert list(rest) == list(everything)[-3:]
    assert mark == new_mark == {"session": "2013-03-01"}
    nothing, unchanged = feed.daily_bars("IBM", mark)
    assert (list(nothing), unchanged) == ([], mark)


def test_reading_starts_at_the_start_date():
    delivered, _ = SampleFeed(["FB"], date(2013, 2, 28)).daily_bars("FB", None)
    assert [bar["session"] for bar in delivered] == ["2013-02-28", "2013-03-01"]


def test_an_unknown_symbol_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"no symbol TSLA.*AAPL, AMD"):
        SampleFeed(["AAPL", "TSLA"], START).check()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"_data/stocks.csv.gz.*pip install bokeh_sampledata"):
        SampleFeed(["IBM"], START).check()


def test_reading_the_sample_imports_neither_package_nor_the_cdk():
    program = (
        "import sys; from datetime import date; from bentleybot_assets.connectors.market.sample import SampleFeed\n"
        "feed = SampleFeed([], date(1990, 1, 1))\n"
        "for symbol in ('AAPL', 'IBM'): next(iter(feed.daily_bars(symbol, None)[0]))\n"
        "print({'skfolio', 'bokeh_sampledata', 'sklearn', 'airbyte_cdk'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
