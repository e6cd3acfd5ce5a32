"""Institutions that are asked through an API: what holds for each of them, and how their tests account for fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets_tests.connectors.api import Answer, Api, Asked, api
from bentleybot_assets_tests.connectors.market.protocol import LOGGER
from bentleybot_assets_tests.connectors.portfolio import alpaca_api, plaid_api
from bentleybot_assets_tests.connectors.portfolio.accounted import lost
from bentleybot_assets_tests.connectors.portfolio.desk import STREAMS, Desk, assert_it_fits_the_raw_tables
from bentleybot_assets_tests.connectors.standards import Standards, pytest_generate_tests

__all__ = ["TestPortfolioSourceOnManifests", "pytest_generate_tests"]


def alpaca_account(day: str = "2024-02-20") -> alpaca_api.Account:
    """An account with activities of a day."""
    fill, other = alpaca_api.fill("1", transaction_time=f"{day}T20:00:00Z"), alpaca_api.other
    return alpaca_api.Account(activities=[fill, other("2", "DIV", date=day), other("3", "CSW", date=day)])


def plaid_item(day: str = "2024-02-20") -> plaid_api.Item:
    """An Item with transactions of a day, made the day before or on it."""
    pending = plaid_api.transaction("a", pending=True, date=day)
    posted = plaid_api.transaction("b", twin="z", date=day, authorized_date=day, datetime=f"{day}T20:00:00Z")
    update = {"added": [pending, posted], "removed": [plaid_api.removal("c")]}
    return plaid_api.Item(updates=[update], trades=[plaid_api.trade("t", date=day)])


@dataclass(frozen=True)
class Kind:
    """A kind of institution.

    Attributes:
        entry: of the configuration.
        secrets: in it.
        of_day: what answers as its API would, with something in each stream, of a day.
        refusal: of the API, with a text.
    """

    entry: Mapping[str, Any]
    secrets: Mapping[str, str]
    of_day: Callable[..., alpaca_api.Account | plaid_api.Item]
    refusal: Callable[[str], Answer]


KINDS = {
    "alpaca": Kind(alpaca_api.ENTRY, alpaca_api.SECRETS, alpaca_account, lambda said: Answer({"message": said}, 403)),
    "plaid": Kind(
        plaid_api.ENTRY, plaid_api.SECRETS, plaid_item, lambda said: Answer(plaid_api.error("NEW", message=said), 400)
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def served(kind: Kind) -> Iterator[Api]:
    with api(kind.of_day().answer) as served:
        yield served


def desk_of(kind: Kind, served: Api) -> Desk:
    return Desk({**kind.entry, "base_url": served.url})


def test_what_is_delivered_fits_the_raw_tables(kind, served):
    assert_it_fits_the_raw_tables(desk_of(kind, served).sync())


def test_two_reads_agree(kind, served):
    first, second = (desk_of(kind, served).sync() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("day", ["2024-02-20", "2024-03-01", "2024-03-05"])
def test_nothing_is_known_before_it_was_true(kind, served, day):
    served.answer = kind.of_day(day).answer
    records = desk_of(kind, served).sync()
    assert records["transactions"]
    assert all(told["event_at"] <= told["available_at"] for stream in STREAMS for told in records[stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_a_state_from_the_future_yields_no_record_and_no_crash(kind, served, stream):
    desk = desk_of(kind, served)
    assert desk.sync(stream)[stream]
    for state in desk.states:
        state.stream.stream_state.marks[kind.entry["name"]]["fetched_at"] = "2999-01-01T00:00:00Z"
    assert desk.sync(stream) == {name: [] for name in STREAMS}
    assert desk.error is None


def test_no_secret_appears_in_any_message(kind, served, waits, caplog, capfd):
    def leaky(asked: Asked) -> Answer:
        return kind.refusal(" ".join([*kind.secrets.values(), json.dumps(dict(asked.headers))]))

    served.answer = leaky
    desk = desk_of(kind, served)
    desk.sync()
    status = PortfolioSource().check(LOGGER, desk.config)
    said = f"{desk.messages} {status.message} {desk.error} {caplog.text} {capfd.readouterr()}"
    assert " refuses " in said
    assert [secret for secret in kind.secrets.values() if secret in said] == []


class TestPortfolioSourceOnManifests(Standards):
    connector = PortfolioSource
    scenarios: ClassVar = {
        "alpaca": ({"mode": "institutions", "institutions": [{**alpaca_api.ENTRY}]}, True),
        "alpaca refused": ({"mode": "institutions", "institutions": [{**alpaca_api.ENTRY, "secret_key": "no"}]}, False),
        "plaid": ({"mode": "institutions", "institutions": [{**plaid_api.ENTRY}]}, True),
        "plaid refused": ({"mode": "institutions", "institutions": [{**plaid_api.ENTRY, "secret": "no"}]}, False),
    }

    @pytest.fixture(autouse=True, scope="class")
    def apis(self):
        with api(alpaca_account().answer) as alpaca, api(plaid_item().answer) as plaid:
            for config, _ in self.scenarios.values():
                for entry in config["institutions"]:
                    entry["base_url"] = {"alpaca": alpaca, "plaid": plaid}[entry["kind"]].url
            yield


# --- the account of fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delivered", "kept"),
    [
        ("Acme Inc", "Acme Inc"),
        ("5.50", -5.5),
        (9, 9),
        ("9", 9.0),
        ("2024-02-10", "2024-02-10"),
        ("2024-02-10", "2024-02-10T00:00:00Z"),
        ("2024-02-10T15:00:00.123456789Z", "2024-02-10T15:00:00Z"),
        ("2024-02-10T15:00:00-05:00", "2024-02-10T20:00:00Z"),
    ],
)
def test_a_field_is_accounted_for_by_a_column_with_its_value(delivered, kept):
    assert lost({"field": delivered}, {"column": kept, "extra": None}, {"field": "column"}) == []


@pytest.mark.parametrize(
    ("delivered", "kept"),
    [
        ("Acme Inc", "Acme Inc. Class B"),
        ("Acme Inc. Class A", "Acme Inc"),
        ("12.5", "12"),
        ("5.50", 5.0),
        (1, 10),
        ("2024-02-10", "2024-02-10T05:00:00Z"),
        ("2024-02-10T15:00:00Z", "2024-02-10"),
        ("2024-02-10T15:00:00Z", "2024-02-10T15:00:01Z"),
        ("Acme", None),
        (False, None),
    ],
)
def test_a_field_is_lost_if_its_column_says_something_else(delivered, kept):
    assert lost({"field": delivered}, {"column": kept, "extra": None}, {"field": "column"}) == [f"field: {delivered!r}"]


def test_a_field_may_be_kept_in_extra_or_ignored_by_name():
    record = {"column": None, "extra": json.dumps({"a": {"b": [1]}})}
    assert lost({"a": {"b": [1]}, "logo": "x", "empty": ""}, record, {}, ("logo",)) == []
    assert lost({"a": {"b": [2]}}, record, {}) == ["a.b.0: 2"]
