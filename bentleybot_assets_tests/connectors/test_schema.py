"""The stream's JSON schema says what the contract says."""

from __future__ import annotations

from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars, FxRates, HourlyBars, RiskFreeRates


def test_a_stream_has_the_columns_of_its_contract_in_their_order():
    for contract in (DailyBars, CorporateActions, HourlyBars, FxRates, RiskFreeRates):
        assert list(json_schema(contract)["properties"]) == list(contract.polars_schema())


def test_types_formats_and_nulls_follow_the_contract():
    columns = json_schema(DailyBars)["properties"]
    assert columns["symbol"] == {"type": "string", "description": "Instrument as the source names it"}
    assert columns["close"]["type"] == ["null", "number"]
    assert columns["is_modelled"]["type"] == "boolean"
    assert columns["session"]["format"] == "date"
    assert columns["event_at"]["airbyte_type"] == "timestamp_with_timezone"
    assert columns["volume"]["description"] == "Shares traded (shares)"


def test_only_a_column_that_is_never_null_is_required():
    schema = json_schema(DailyBars)
    assert {"symbol", "session", "price_basis", "available_at", "is_modelled"} <= set(schema["required"])
    assert not {"close", "volume", "extra"} & set(schema["required"])
