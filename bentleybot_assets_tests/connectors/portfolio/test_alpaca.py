"""An account at Alpaca becomes the streams of the portfolio, read through its manifest from a loopback Alpaca."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from bentleybot_assets_tests.connectors.api import Answer, Api, api
from bentleybot_assets_tests.connectors.portfolio.accounted import lost
from bentleybot_assets_tests.connectors.portfolio.alpaca_api import ENTRY, PAGE, Account, fill, other, position
from bentleybot_assets_tests.connectors.portfolio.desk import Desk, recorded_answer


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def alpaca(account: Account) -> Iterator[Api]:
    with api(account.answer) as served:
        yield served


@pytest.fixture
def desk(alpaca: Api) -> Desk:
    return Desk({**ENTRY, "base_url": alpaca.url})


@pytest.fixture
def documented(account: Account, waits: list[float]) -> Account:
    """The recorded answers of Alpaca's own client."""
    account.account, account.positions = recorded_answer("alpaca", "account"), recorded_answer("alpaca", "positions")
    account.activities = recorded_answer("alpaca", "activities_page1") + recorded_answer("alpaca", "activities_page2")
    return account


def told(desk: Desk) -> dict[str, dict[str, Any]]:
    return {record["transaction"]: record for record in desk.sync("transactions")["transactions"]}


# --- recorded answers -----------------------------------------------------------------------------------------------


def test_the_recorded_account_has_its_cash_as_balance(documented, desk):
    records = desk.sync("accounts", "balances")
    (account,), (balance,) = records["accounts"], records["balances"]
    assert (account["account"], account["name"], account["kind"], account["currency"]) == (
        *("e6fe16f3-64a4-4921-8928-cadf02f92f98", "010203ABCD", "brokerage", "USD"),
    )
    assert (balance["current"], balance["available"], balance["credit_limit"]) == (-23140.2, None, None)
    assert json.loads(balance["extra"])["equity"] == "103820.56"


def test_the_recorded_position_is_valued(documented, desk):
    (held,) = desk.sync("positions")["positions"]
    columns = ("symbol", "kind", "quantity", "price", "value", "cost_basis", "currency")
    assert tuple(held[name] for name in columns) == ("AAPL", "equity", 5, 120, 600, 500, "USD")


def test_the_recorded_activities_are_transfers_and_a_fill(documented, desk):
    records = told(desk)
    assert len(records) == 8
    transfers = {record["amount"] for record in records.values() if record["kind"] == "transfer"}
    assert transfers == {33324.35, 29161.91, 45850.47, 43864.18, 32155.97, 20979.69, 22386.64}
    (bought,) = [record for record in records.values() if record["kind"] == "buy"]
    columns = ("symbol", "quantity", "price", "amount", "transacted_date", "posted_date", "event_at", "account")
    assert tuple(bought[name] for name in columns) == (
        *("GOOGL", 9, 2630.95, -23678.55, "2022-03-04", "2022-03-04", "2022-03-04T14:53:18Z"),
        "6e8cb861-e8b9-4278-8ed2-c8452535a165",
    )


def test_every_recorded_field_is_kept_or_ignored_on_purpose(documented, desk):
    records = desk.sync()
    (account,), (balance,), (held,) = records["accounts"], records["balances"], records["positions"]
    columns = {"id": "account", "account_number": "name", "currency": "currency"}
    of_balance = set(lost(documented.account, account, columns))
    of_account = set(lost(documented.account, balance, {**columns, "cash": "current", "account_number": "account"}))
    assert of_balance & of_account == set()
    columns = {
        "asset_id": "security",
        "symbol": "symbol",
        "qty": "quantity",
        "current_price": "price",
        "market_value": "value",
        "cost_basis": "cost_basis",
    }
    delivered = {name: value for name, value in documented.positions[0].items() if name != "usd"}
    assert lost(delivered, held, columns, ("asset_class", "side")) == []
    assert (held["kind"], held["quantity"]) == ("equity", 5)
    by_id = {record["transaction"]: record for record in records["transactions"]}
    columns = {
        "id": "transaction",
        "account_id": "account",
        "activity_type": "category",
        "date": "posted_date",
        "net_amount": "amount",
        "transaction_time": "event_at",
        "price": "price",
        "qty": "quantity",
        "symbol": "symbol",
    }
    for activity in documented.activities:
        assert lost(activity, by_id[activity["id"]], columns, ("side", "status")) == []


# --- what is read ---------------------------------------------------------------------------------------------------


def test_records_say_whether_the_account_is_paper_or_live(alpaca):
    for environment in ("paper", "live"):
        desk = Desk({**ENTRY, "base_url": alpaca.url, "environment": environment})
        assert {record["source"] for record in desk.sync("accounts")["accounts"]} == {f"alpaca {environment}"}
    assert {record["source"] for record in Desk({**ENTRY, "base_url": alpaca.url}).sync("accounts")["accounts"]} == {
        "alpaca paper"
    }


def test_a_short_position_is_negative(account, desk):
    account.positions = [position(side="short", qty="3", market_value="30"), position(asset_id="a2", symbol="BTC/USD")]
    short, crypto = desk.sync("positions")["positions"]
    assert (short["quantity"], short["value"]) == (-3, -30)
    assert (crypto["symbol"], json.loads(crypto["extra"])["symbol"]) == (None, "BTC/USD")


def test_a_sold_lot_brings_cash_and_an_option_s_cash_is_not_guessed(account, desk):
    account.activities = [
        fill("1", side="sell"),
        fill("2", side="sell_short"),
        fill("3", symbol="FND240621C00012500"),
    ]
    shown = {key: (record["kind"], record["quantity"], record["amount"]) for key, record in told(desk).items()}
    assert shown == {"1": ("sell", -3, 30.3), "2": ("sell", -3, 30.3), "3": ("buy", 3, None)}
    option = desk.told["transactions"][-1]
    assert (option["security"], option["symbol"]) == ("FND240621C00012500", None)


@pytest.mark.parametrize(
    ("pair", "price", "amount"), [("BTC/USD", 100.5, -201.0), ("BTC/USDT", None, None), ("ETH/BTC", None, None)]
)
def test_a_price_in_another_currency_than_the_account_s_is_not_taken_for_it(account, desk, pair, price, amount):
    account.activities = [fill("1", symbol=pair, qty="2", price="100.5")]
    record = told(desk)["1"]
    assert (record["currency"], record["price"], record["amount"], record["quantity"]) == ("USD", price, amount, 2)
    assert price is not None or json.loads(record["extra"])["price"] == "100.5"


@pytest.mark.parametrize(
    ("kind", "ours", "has_units"),
    [
        ("CSD", "transfer", True),
        ("DIV", "dividend", False),
        ("DIVNRA", "tax", False),
        ("FEE", "fee", False),
        ("INT", "interest", False),
        ("DIVCGL", "dividend", False),
        ("DIVROC", "other", False),
        ("DIVWH", "tax", False),
        ("CFEE", "fee", True),
        ("SPLIT", "split", True),
        ("SPIN", "other", True),
        ("ACATS", "transfer", True),
        ("JNLS", "transfer", True),
        ("BRANDNEW", "other", True),
    ],
)
def test_the_kind_of_an_activity(account, desk, kind, ours, has_units):
    account.activities = [other("1", kind, qty="7")]
    record = told(desk)["1"]
    assert (record["kind"], record["category"]) == (ours, kind)
    assert record["quantity"] == (7 if has_units else None)
    assert has_units or json.loads(record["extra"])["qty"] == "7"


def test_an_activity_of_the_exchange_s_day_is_true_from_that_day_s_midnight(account, desk):
    account.activities = [other("1", "DIV"), fill("2", transaction_time="2024-02-21T02:00:00Z")]
    records = told(desk)
    assert (records["1"]["event_at"], records["1"]["posted_date"]) == ("2024-02-20T05:00:00Z", "2024-02-20")
    assert records["2"]["transacted_date"] == "2024-02-20"


def test_all_pages_are_read(alpaca, account, desk):
    account.activities = [other(f"{number:04d}", "CSD") for number in range(3 * PAGE)]
    assert len(told(desk)) == 3 * PAGE
    tokens = [asked.query.get("page_token") for asked in alpaca.asked if asked.path.endswith("activities")]
    assert tokens == [None, "0099", "0199", "0299"]


def test_activities_are_looked_at_again_and_only_news_is_told(alpaca, account, desk):
    account.activities = [other("1", "CSD", date="2023-06-01"), other("2", "FEE"), fill("3")]
    assert set(told(desk)) == {"1", "2", "3"}
    assert told(desk) == {}
    account.activities[1]["status"] = "canceled"
    account.activities.insert(0, other("0", "DIV", date="2024-02-19"))
    news = told(desk)
    assert {key: record["status"] for key, record in news.items()} == {"0": "posted", "2": "removed"}
    assert not news["0"]["is_modelled"]
    after = [asked.query["after"] for asked in alpaca.asked if asked.path.endswith("activities")]
    assert after == ["1990-01-01", "2024-02-16", "2024-02-17"]


def test_what_happened_before_the_start_date_is_left_out(alpaca, account, desk):
    desk.config["start_date"] = "2024-02-20"
    account.activities = [other("1", "CSD", date="2024-02-19"), other("2", "CSD")]
    assert set(told(desk)) == {"2"}


# --- trouble --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({"message": "forbidden."}, 403), "refuses the API key (forbidden.). Set `key_id` and `secret_key`"),
        (Answer(b"no", 401), "refuses the API key (no reason given)"),
        (Answer({"message": "endpoint not found."}, 404), "refuses this (endpoint not found.). Check `base_url`"),
    ],
)
def test_a_refusal_names_the_setting_to_mend(account, desk, waits, answer, said):
    account.instead["/v2/account"] = answer
    desk.sync("accounts")
    assert desk.error.failure_type is FailureType.config_error
    assert said in desk.error.message
    assert waits == []


@pytest.mark.parametrize("path", ["/v2/account", "/v2/positions", "/v2/account/activities"])
@pytest.mark.parametrize(
    "answer", [Answer(b"{"), Answer(b""), Answer("text"), Answer(7), Answer({}, 500), Answer({}, 429)]
)
def test_a_broken_answer_is_not_an_empty_account(account, desk, waits, path, answer):
    account.instead[path] = answer
    desk.sync("transactions" if path.endswith("activities") else "positions")
    assert desk.error.failure_type is FailureType.transient_error
    assert desk.error.message.count("Alpaca") == 1
    assert len(waits) == 3


def test_an_object_where_a_list_is_due_is_not_taken_for_one_position(account, desk, waits):
    account.instead["/v2/positions"] = Answer(position())
    desk.sync("positions")
    assert "Alpaca's answer is broken" in desk.error.message


@pytest.mark.parametrize(
    "retyped",
    [
        ("balances", lambda account: account.account, "cash", "a lot", "number"),
        ("accounts", lambda account: account.account, "id", None, "text"),
        ("positions", lambda account: account.positions[0], "qty", {"a": 1}, "number"),
        ("positions", lambda account: account.positions[0], "asset_class", 1.5, "text"),
        ("transactions", lambda account: account.activities[0], "transaction_time", "yesterday", "time with an offset"),
        ("transactions", lambda account: account.activities[0], "price", None, "number"),
        ("transactions", lambda account: account.activities[1], "net_amount", "NaN", "number"),
    ],
    ids=lambda retyped: f"{retyped[0]}-{retyped[2]}",
)
@pytest.mark.parametrize("is_missing", [False, True])
def test_a_field_that_is_retyped_or_missing_is_named(account, desk, waits, retyped, is_missing):
    stream, where, name, value, kind = retyped
    account.activities = [fill("1"), other("2", "DIV")]
    if is_missing:
        del where(account)[name]
    else:
        where(account)[name] = value
    desk.sync(stream)
    if name == "net_amount" and is_missing:
        assert desk.error is None
        return
    assert desk.error.failure_type is FailureType.config_error
    assert f"`{name}` is {'missing' if is_missing else repr(value)}, not a {kind}" in desk.error.message


# --- STATE ----------------------------------------------------------------------------------------------------------


def test_going_on_from_any_state_loses_and_repeats_nothing(alpaca, account):
    activities = [other(str(number), "CSD", date=f"2024-02-{20 + number}") for number in range(5)]
    for stop in range(6):
        desk = Desk({**ENTRY, "base_url": alpaca.url})
        account.activities = activities[:stop]
        desk.sync("transactions")
        account.activities = activities
        desk.sync("transactions")
        assert [record["transaction"] for record in desk.told["transactions"]] == ["0", "1", "2", "3", "4"]
