"""A stream that is read part by part: what it says of parts that cannot be read, and of fields beyond the columns."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from airbyte_cdk.models import FailureType, SyncMode
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.feeds import ConfigError, IncompleteError, Mark, Record, UnavailableError
from bentleybot_assets.connectors.streams import PartedStream
from bentleybot_assets.connectors.undeclared import MOST_FIELDS
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets_tests.resources.airbyte.raw_bars import bar


class Provider:
    """Delivers, for each part, one record for each ``extra`` that a test puts here."""

    def __init__(self) -> None:
        self.extras: dict[str, list[dict[str, Any] | None]] = {}
        self.refused: set[str] = set()
        self.is_away = False
        self.ends_in: IncompleteError | None = None

    def read(self, part: str, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        if self.is_away:
            raise UnavailableError("It is away.")
        if part in self.refused:
            raise ConfigError(f"There is no {part}.")

        def records() -> Iterable[Record]:
            for extra in self.extras.get(part, []):
                yield bar(symbol=part, extra=json.dumps(extra) if extra else None)
            if self.ends_in is not None:
                raise self.ends_in

        return records(), {"session": "2022-12-28"}


@pytest.fixture
def provider() -> Provider:
    return Provider()


def state_after(provider: Provider, state: Mapping[str, Any], *parts: str) -> dict[str, Any]:
    """The STATE that reading all parts ends with."""
    stream = PartedStream(
        DailyBars, "session", parts or ("KO", "PEP"), provider.read, mode="yahoo", start_date="2020-01-01"
    )
    stream.state = dict(state)
    for part in stream.stream_slices():
        list(stream.read_records(SyncMode.incremental, stream_slice=part))
    return dict(stream.state)


def test_a_stream_of_which_no_part_can_be_read_says_of_each_why(provider: Provider) -> None:
    provider.refused = {"KO", "PEP"}
    with pytest.raises(AirbyteTracedException) as failed:
        state_after(provider, {})
    assert failed.value.message == "There is no KO. There is no PEP."


def test_of_many_parts_the_first_are_told(provider: Provider) -> None:
    parts = [f"P{number}" for number in range(8)]
    provider.refused = set(parts)
    with pytest.raises(AirbyteTracedException) as failed:
        state_after(provider, {}, *parts)
    assert (
        failed.value.message
        == "There is no P0. There is no P1. There is no P2. There is no P3. There is no P4. And 3 more."
    )


def test_a_feed_that_does_not_answer_is_told_with_the_part_that_was_asked_for(provider: Provider) -> None:
    provider.is_away = True
    with pytest.raises(AirbyteTracedException) as failed:
        state_after(provider, {}, "It", "KO")
    assert failed.value.message == "It is away."
    with pytest.raises(AirbyteTracedException) as failed:
        state_after(provider, {}, "a", "KO")
    assert (failed.value.message, failed.value.failure_type) == ("a: It is away.", FailureType.transient_error)


def test_what_a_part_delivers_at_first_is_how_it_is(provider: Provider) -> None:
    provider.extras = {"KO": [{"vwap": 1}, None], "PEP": [None]}
    state = state_after(provider, {})
    assert (state["fields"], state["new_fields"]) == ({"KO": ["vwap"], "PEP": []}, {})


def test_a_field_that_comes_later_is_new_at_that_part_until_the_next_read(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.extras = {"KO": [{"vwap": 1}], "PEP": [None]}
    first = state_after(provider, {})
    provider.extras = {"KO": [{"vwap": 1, "trades": 7}], "PEP": [{"vwap": 2}]}
    with caplog.at_level(logging.WARNING):
        second = state_after(provider, first)
    assert second["new_fields"] == {"KO": ["trades"], "PEP": ["vwap"]}
    assert second["fields"] == {"KO": ["trades", "vwap"], "PEP": ["vwap"]}
    assert "daily_bars: KO has fields that it did not have before: trades. They are kept in `extra`." in caplog.text
    assert state_after(provider, second)["new_fields"] == {}


def test_a_part_that_had_no_record_yet_has_no_new_field(provider: Provider) -> None:
    empty = state_after(provider, {})
    assert empty["fields"] == {}
    provider.extras = {"KO": [{"vwap": 1}]}
    state = state_after(provider, empty)
    assert (state["fields"], state["new_fields"]) == ({"KO": ["vwap"]}, {})


def test_a_read_without_records_forgets_no_field(provider: Provider) -> None:
    provider.extras = {"KO": [{"vwap": 1}]}
    first = state_after(provider, {})
    provider.extras = {}
    assert state_after(provider, first)["fields"] == {"KO": ["vwap"]}


def test_a_state_from_before_fields_were_kept_is_no_drift(provider: Provider) -> None:
    provider.extras = {"KO": [{"vwap": 1}]}
    old = {"mode": "yahoo", "marks": {"KO": {"start_date": "2020-01-01", "session": "2022-12-27"}}, "problems": {}}
    assert state_after(provider, old)["new_fields"] == {}


def test_a_part_that_is_not_read_any_more_has_no_fields(provider: Provider) -> None:
    provider.extras = {"KO": [{"vwap": 1}], "PEP": [{"vwap": 1}]}
    first = state_after(provider, {})
    provider.extras["PEP"] = [{"trades": 1}]
    assert state_after(provider, first, "PEP")["fields"] == {"PEP": ["trades", "vwap"]}


def test_the_fields_of_a_part_that_is_read_but_for_something_are_kept(provider: Provider) -> None:
    provider.extras = {"KO": [None]}
    first = state_after(provider, {}, "KO")
    provider.extras = {"KO": [{"vwap": 1}]}
    provider.ends_in = IncompleteError("Bar 3 is broken.", {"session": "2022-12-28"})
    state = state_after(provider, first, "KO")
    assert (state["new_fields"], state["problems"]) == ({"KO": ["vwap"]}, {"KO": "Bar 3 is broken."})


def test_a_part_that_is_left_out_is_not_told_again_to_have_new_fields(provider: Provider) -> None:
    provider.extras = {"KO": [None], "PEP": [None]}
    first = state_after(provider, {})
    provider.extras = {"KO": [{"vwap": 1}], "PEP": [{"vwap": 1}]}
    second = state_after(provider, first)
    provider.refused = {"KO"}
    third = state_after(provider, second)
    assert (third["new_fields"], third["fields"]) == ({}, {"KO": ["vwap"], "PEP": ["vwap"]})


def test_a_state_stays_small_whatever_a_provider_calls_its_fields(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    state: dict[str, Any] = {}
    for sync in range(3):
        provider.extras = {"KO": [{f"{sync}-{number}-{'x' * 500}": 1 for number in range(MOST_FIELDS)}]}
        state = state_after(provider, state, "KO")
    assert len(state["fields"]["KO"]) == MOST_FIELDS
    assert len(json.dumps(state)) < 150 * MOST_FIELDS
    assert f"KO has more than {MOST_FIELDS} fields without a column" in caplog.text


def test_a_secret_that_a_provider_makes_a_name_of_is_not_kept(provider: Provider) -> None:
    update_secrets(["hunter2-hunter2"])
    provider.extras = {"KO": [{f"{'x' * 90}hunter2-hunter2": 1}]}
    assert state_after(provider, {}, "KO")["fields"] == {"KO": [f"{'x' * 90}****"]}
