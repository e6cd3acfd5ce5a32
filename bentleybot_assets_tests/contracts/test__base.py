"""Which contract belongs to an asset key, and what other keys are told."""

from __future__ import annotations

import pytest

from bentleybot_assets.contracts._base import Contract, contract_for
from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.raw.market import DailyBars as RawDailyBars
from bentleybot_assets_tests.architecture.test_keys import EXPECTED


@pytest.mark.parametrize("contract", [DailyBars, RawDailyBars])
def test_a_key_leads_to_its_contract_and_back(contract: type[Contract]) -> None:
    assert contract_for(contract.asset_key()) is contract
    assert contract_for(list(contract.asset_key())) is contract


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("market/prices", r"^There is no table market/prices: contracts/market\.py has no contract Prices\."),
        ("prices/daily", r"^There is no table prices/daily: contracts/prices\.py has no contract Daily\."),
        ("raw/market", r"contracts/raw\.py has no contract Market"),
        ("market/contract", r"contracts/market\.py has no contract Contract"),  # imported there
        ("sessions/zone_info", r"contracts/sessions\.py has no contract ZoneInfo"),
        ("market/daily_bars/close", r"contracts/market/daily_bars\.py has no contract Close"),
        ("_base/contract", r"^There is no table '_base/contract': a table is named by words in lower case"),
        ("market/Instruments", r"^There is no table 'market/Instruments': a table is named by words in lower case"),
        ("market/daily__bars", r"^There is no table 'market/daily__bars'"),
        ("../etc/passwd", r"^There is no table '\.\./etc/passwd': a table is named by words in lower case"),
        ("market", r"^There is no table 'market': a table is named by words in lower case, joined by slashes"),
        ("", r"^There is no table ''"),
    ],
)
def test_a_key_without_a_contract_is_told_what_there_is(key: str, message: str) -> None:
    with pytest.raises(LookupError, match=message) as refused:
        contract_for(key.split("/"))
    assert str(refused.value).endswith(f" The tables are {', '.join(sorted(EXPECTED))}.")
