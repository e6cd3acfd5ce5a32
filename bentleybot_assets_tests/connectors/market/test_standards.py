"""The market source, in both modes, passes airbyte-cdk's own tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets_tests.connectors.market.yahoo_replay import NEW_YORK, chart, dividend_on, hourly_chart, replay_of
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests, scenario_of

__all__ = ["pytest_generate_tests"]


class TestSample(Standards):
    connector = MarketSource
    scenarios: ClassVar = {
        "small": ({"mode": "sample", "symbols": ["FB", "IBM"], "start_date": "2009-07-01"}, True),
        "unknown_symbol": ({"mode": "sample", "symbols": ["NOPE"]}, False),
    }


class OfYahoo(Standards):
    """Yahoo mode; the scenario names a server that runs only while its test does."""

    @staticmethod
    def connector() -> MarketSource:
        return MarketSource(clock=lambda: datetime(2024, 1, 22, tzinfo=UTC))


def test_yahoo_mode_passes_against_the_replay():
    dividend = dividend_on(datetime(2024, 1, 18, tzinfo=UTC).date(), 0.24)
    charts = {name: chart(events=dividend) for name in ("TEST", "EURUSD=X", "^IRX")}
    with replay_of(charts) as replay:
        replay.hourly["TEST"] = hourly_chart(
            [datetime(2024, 1, 19, 9, 30, tzinfo=NEW_YORK)],
            [(datetime(2024, 1, 19, 9, 30, tzinfo=NEW_YORK), datetime(2024, 1, 19, 16, tzinfo=NEW_YORK))],
        )
        config = {
            "mode": "yahoo",
            "symbols": ["TEST"],
            "hourly_symbols": ["TEST"],
            "fx_pairs": ["EURUSD"],
            "risk_free_series": ["us_bill_13_weeks_discount"],
            "start_date": "2024-01-01",
            "base_url": replay.url,
        }
        scenario = scenario_of("replay", config)
        suite = OfYahoo()
        suite.test_config_matches_spec(scenario)
        suite.test_check(scenario)
        suite.test_discover(scenario)
        suite.test_basic_read(scenario)
        suite.test_fail_read_with_bad_catalog(scenario)
