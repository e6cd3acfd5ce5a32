"""Plaid's answers become the streams of the portfolio, read through its manifest from a loopback Plaid."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentleybot_assets_tests.connectors.api import Answer, Api, Asked, api
from bentleybot_assets_tests.connectors.portfolio.accounted import lost
from bentleybot_assets_tests.connectors.portfolio.desk import Desk, recorded_answer
from bentleybot_assets_tests.connectors.portfolio.plaid_api import (
    ENTRY,
    ITEM,
    NOTHING,
    SECRETS,
    Item,
    account,
    error,
    holding,
    removal,
    security,
    trade,
    transaction,
)

IMAGES = ("logo_url", "personal_finance_category_icon_url")


@pytest.fixture
def item() -> Item:
    return Item()


@pytest.fixture
def plaid(item: Item) -> Iterator[Api]:
    with api(item.answer) as served:
        yield served


@pytest.fixture
def desk(plaid: Api) -> Desk:
    return Desk({**ENTRY, "base_url": plaid.url})


@pytest.fixture
def documented(plaid: Api, waits: list[float]) -> Api:
    """Plaid with its documented answers; nothing is new after the first sync."""
    answers = {
        "/accounts/get": recorded_answer("plaid", "accounts_get"),
        "/accounts/balance/get": recorded_answer("plaid", "accounts_balance_get"),
        "/investments/holdings/get": recorded_answer("plaid", "investments_holdings_get"),
        "/investments/transactions/get": recorded_answer("plaid", "investments_transactions_get"),
        "/transactions/sync": recorded_answer("plaid", "transactions_sync"),
    }

    def answer(asked: Asked) -> Answer:
        return Answer(answers[asked.path] | (NOTHING if asked.body.get("cursor") else {}))

    plaid.answer = answer
    return plaid


def told(desk: Desk, stream: str = "transactions") -> dict[str, dict[str, Any]]:
    """The records of one sync by what they are called."""
    name = {"transactions": "transaction", "positions": "security"}.get(stream, "account")
    return {record[name]: record for record in desk.sync(stream)[stream]}


def status_of(desk: Desk) -> dict[str, str]:
    """What is true of each transaction, of all that was ever told."""
    return {key[-1]: record["status"] for key, record in desk.current().items()}


# --- Plaid's documented answers -------------------------------------------------------------------------------------


def test_accounts_of_the_documentation_have_a_kind(documented, desk):
    assert [(a["name"], a["kind"], a["currency"]) for a in desk.sync("accounts")["accounts"]] == [
        ("Plaid Checking", "checking", "USD"),
        ("Plaid 401k", "retirement", "USD"),
        ("Plaid Student Loan", "loan", "USD"),
    ]


def test_balances_of_the_documentation_are_negative_if_owed(documented, desk):
    columns = ("current", "available", "credit_limit")
    assert [tuple(balance[name] for name in columns) for balance in desk.sync("balances")["balances"]] == [
        (110, 100, None),
        (-410, None, 2000),
        (-65262, None, None),
    ]


def test_holdings_of_the_documentation_have_their_securities(documented, desk):
    columns = ("kind", "symbol", "quantity", "price", "value", "cost_basis")
    assert sorted(tuple(p[name] for name in columns) for p in desk.sync("positions")["positions"] if p["symbol"]) == [
        ("cash", "USD", 0.01, 1, 0.01, 1),
        ("cash", "USD", 12345.67, 1, 12345.67, 1),
        ("crypto", "DOGE", 25000, 0.177494362, 4437.35905, 92.47),
        ("equity", "ACHN", 1, 2.11, 2.11, 1.5),
        ("etf", "NHX105509", 100.05, 13.73, 1373.6865, 15),
        ("fund", "DBLTX", 2, 10.42, 20.84, 10),
        ("fund", "MIPTX", 23.567, 27, 636.309, 23),
    ]
    others = {p["kind"]: (p["name"], p["value"]) for p in desk.told["positions"] if p["symbol"] is None}
    assert others == {
        "option": ("Nflx Feb 01'18 $355 Call", 110),
        "bond": ("US Treasury Bill - 5.43% 31/10/2024 USD 100", 948.08),
    }


def test_transactions_of_the_documentation_have_our_sign_and_the_pending_one_s_key(documented, desk):
    columns = ("status", "kind", "posted_date", "transacted_date", "amount", "counterparty", "quantity", "fees")
    records = told(desk)
    shown = {key: tuple(record[name] for name in columns) for key, record in records.items()}
    bank = {key: values for key, values in shown.items() if records[key]["security"] is None}
    investments = [values for key, values in shown.items() if key not in bank]
    assert bank == {
        "no86Eox18VHMvaOVL7gPUM9ap3aR1LsAVZ5nc": (
            *("posted", "payment", "2023-09-24", "2023-09-22", -72.1, "Walmart", None, None),
        ),
        "yhnUVvtcGGcCKU0bcz8PDQr5ZUxUXebUvbKC0": (
            *("pending", "payment", None, "2023-09-27", -28.34, "Burger King", None, None),
        ),
        "CmdQTNgems8BT1B7ibkoUXVPyAeehT3Tmzk0l": ("removed", "other", None, None, None, None, None, None),
    }
    assert sorted(investments) == [
        ("posted", "buy", "2020-05-27", None, -7.7, None, 0.7388014749727547, 7.99),
        ("posted", "dividend", "2020-05-29", None, 8.72, None, 0, 0),
        ("posted", "sell", "2020-05-28", None, 1289.01, None, -47.74104242992852, 7.99),
    ]


def test_every_field_of_the_documentation_is_kept_or_ignored_on_purpose(documented, desk):
    records = desk.sync()
    accounts = {"account_id": "account", "name": "name", "balances.iso_currency_code": "currency"}
    for delivered, record in zip(
        recorded_answer("plaid", "accounts_get")["accounts"], records["accounts"], strict=True
    ):
        without_amounts = {**delivered, "balances": {"iso_currency_code": "USD"}}  # a stream of their own
        assert lost(without_amounts, record, accounts) == []
    balances = {
        "available": "available",
        "current": "current",
        "limit": "credit_limit",
        "iso_currency_code": "currency",
    }
    for delivered, record in zip(
        recorded_answer("plaid", "accounts_balance_get")["accounts"], records["balances"], strict=True
    ):
        assert lost(delivered["balances"], record, balances) == []

    answer = recorded_answer("plaid", "investments_holdings_get")
    securities = {security["security_id"]: security for security in answer["securities"]}
    in_columns = {"security.security_id": "security", "security.name": "name", "security.ticker_symbol": "symbol"}
    holdings = {
        "account_id": "account",
        "security_id": "security",
        "quantity": "quantity",
        "cost_basis": "cost_basis",
        "institution_price": "price",
        "institution_value": "value",
        "iso_currency_code": "currency",
    }
    by_key = {(record["account"], record["security"]): record for record in records["positions"]}
    for delivered in answer["holdings"]:
        whole = {**delivered, "security": securities[delivered["security_id"]]}
        record = by_key[delivered["account_id"], delivered["security_id"]]
        assert lost(whole, record, holdings | in_columns) == []

    by_key = {record["transaction"]: record for record in records["transactions"]}
    shared = {"account_id": "account", "amount": "amount", "iso_currency_code": "currency", "name": "narrative"}
    answer = recorded_answer("plaid", "transactions_sync")
    for delivered in answer["added"] + answer["modified"]:
        record = by_key[delivered["pending_transaction_id"] or delivered["transaction_id"]]
        category = delivered["personal_finance_category"]
        assert record["category"].startswith(category["primary"])
        assert record["status"] == ("pending" if delivered["pending"] else "posted")
        columns = {
            **shared,
            "date": "posted_date",
            "datetime": "event_at",
            "authorized_date": "transacted_date",
            "authorized_datetime": "event_at",
            "merchant_name": "counterparty",
            "transaction_id": "transaction",
            "pending_transaction_id": "transaction",
            "personal_finance_category.detailed": "category",
        }
        assert lost(delivered, record, columns, (*IMAGES, "pending", "primary")) == []

    answer = recorded_answer("plaid", "investments_transactions_get")
    securities = {security["security_id"]: security for security in answer["securities"]}
    columns = {
        **shared,
        "investment_transaction_id": "transaction",
        "date": "posted_date",
        "transaction_datetime": "event_at",
        "fees": "fees",
        "price": "price",
        "quantity": "quantity",
        "security_id": "security",
        "subtype": "category",
        "security.security_id": "security",
        "security.ticker_symbol": "symbol",
    }
    for delivered in answer["investment_transactions"]:
        whole = {**delivered, "security": securities[delivered["security_id"]]}
        assert lost(whole, by_key[delivered["investment_transaction_id"]], columns) == []


def test_fields_around_the_documentation_s_lists_are_all_known(documented, desk, caplog):
    desk.sync()
    assert "what is not read" not in caplog.text


def test_a_login_that_the_documentation_calls_required_is_told_with_its_remedy(item, desk):
    item.instead["/accounts/get"] = Answer(recorded_answer("plaid", "error_item_login_required"), 400)
    desk.sync("accounts")
    assert desk.error.failure_type is FailureType.config_error
    assert "ITEM_LOGIN_REQUIRED: The login credentials for this Item have changed." in desk.error.message
    assert "Log in again through Plaid Link in update mode; `access_token` stays" in desk.error.message


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "subtype", "ours"),
    [
        ("depository", "savings", "savings"),
        ("depository", "cash management", "checking"),
        ("depository", "paypal", "other"),
        ("credit", "credit card", "credit_card"),
        ("loan", "mortgage", "loan"),
        ("investment", "brokerage", "brokerage"),
        ("investment", "roth", "retirement"),
        ("investment", "crypto exchange", "crypto"),
        ("payroll", None, "other"),
    ],
)
def test_an_account_s_kind_follows_its_type_and_subtype(item, desk, kind, subtype, ours):
    item.accounts = [account("it", kind, subtype)]
    assert told(desk, "accounts")["it"]["kind"] == ours


def test_a_transaction_is_true_when_it_was_made_and_known_when_it_was_posted(item, desk):
    made_and_posted_at = {"datetime": "2024-02-10T15:00:00Z", "authorized_datetime": "2024-02-10T14:00:00Z"}
    item.updates = [{"added": [transaction("a"), transaction("b", **made_and_posted_at)]}]
    shown = {key: (record["event_at"], record["available_at"]) for key, record in told(desk).items()}
    assert shown == {
        "a": ("2024-02-09T00:00:00Z", "2024-02-11T00:00:00Z"),
        "b": ("2024-02-10T14:00:00Z", "2024-02-11T15:00:00Z"),
    }


def test_an_unchanged_account_is_told_once_and_a_changed_one_again(item, desk):
    item.accounts = [account("a"), account("b")]
    assert set(told(desk, "accounts")) == {"a", "b"}
    assert told(desk, "accounts") == {}
    item.accounts[1]["name"] = "Renamed"
    assert {key: record["name"] for key, record in told(desk, "accounts").items()} == {"b": "Renamed"}


def test_balances_are_told_at_every_sync_as_of_its_time(item, desk):
    first, second = told(desk, "balances"), told(desk, "balances")
    assert (first["checking"]["event_at"], second["checking"]["event_at"]) == (
        "2024-03-01T08:00:00Z",
        "2024-03-02T08:00:00Z",
    )
    assert not first["checking"]["is_modelled"]
    assert first["checking"]["available_at"] == first["checking"]["fetched_at"]


def test_the_worth_of_an_investment_account_is_not_taken_for_cash(item, desk):
    item.accounts = [account("broker", "investment", "brokerage", balances={"current": 5000, "available": 20})]
    balance = told(desk, "balances")["broker"]
    assert (balance["current"], balance["available"], json.loads(balance["extra"])) == (None, 20, {"current": 5000})


def test_a_balance_without_an_iso_currency_is_left_out_and_reported(item, desk):
    unofficial = {"iso_currency_code": None, "unofficial_currency_code": "DOGE"}
    item.accounts = [account("checking"), account("wallet", balances=unofficial)]
    assert set(told(desk, "balances")) == {"checking"}
    assert "1 of 2 balances have no ISO 4217 currency" in desk.problems("balances")["Bank"]
    assert "DOGE" in desk.problems("balances")["Bank"]
    item.accounts[1]["balances"]["iso_currency_code"] = "USD"
    assert set(told(desk, "balances")) == {"checking", "wallet"}
    assert desk.problems("balances") == {}


def test_a_position_that_is_gone_is_told_once_with_nothing_held(item, desk):
    item.securities = [security("fund"), security("other")]
    item.holdings = [holding("fund"), holding("other")]
    assert {key: record["quantity"] for key, record in told(desk, "positions").items()} == {"fund": 3, "other": 3}
    item.holdings = [holding("fund")]
    now = told(desk, "positions")
    assert {key: (record["quantity"], record["value"]) for key, record in now.items()} == {
        "fund": (3, 30),
        "other": (0, 0),
    }
    assert (now["other"]["symbol"], now["other"]["price"]) == ("FND", None)
    assert set(told(desk, "positions")) == {"fund"}


def test_only_the_products_that_are_configured_are_asked_for(plaid, item):
    item.updates, item.trades = [{"added": [transaction("a")]}], [trade("t")]
    for products, expected in (["transactions"], {"a"}), (["investments"], {"t"}):
        plaid.asked.clear()
        desk = Desk({**ENTRY, "base_url": plaid.url, "products": products})
        assert set(told(desk)) == expected
        assert bool(told(desk, "positions")) == ("investments" in products)
        assert {asked.path.split("/")[1] for asked in plaid.asked} == set(products)


def test_a_product_that_is_added_later_is_read_from_its_beginning(item, desk):
    item.updates, item.trades = [{"added": [transaction("a")]}], [trade("t", date="2022-05-05")]
    desk.config["institutions"][0]["products"] = ["transactions"]
    assert set(told(desk)) == {"a"}
    desk.config["institutions"][0]["products"] = ["transactions", "investments"]
    assert set(told(desk)) == {"t"}


def test_all_pages_of_a_sync_are_read_and_the_next_one_goes_on_from_its_cursor(plaid, item, desk):
    item.updates = [{"added": [transaction(str(number))]} for number in range(7)]
    assert set(told(desk)) == {str(number) for number in range(7)}
    assert told(desk) == {}
    item.updates.append({"added": [transaction("new")]})
    assert set(told(desk)) == {"new"}
    cursors = [asked.body["cursor"] for asked in plaid.asked if asked.path == "/transactions/sync"]
    assert cursors == ["", "1", "2", "3", "4", "5", "6", "7", "7"]


def test_a_cursor_goes_back_to_plaid_as_it_came(plaid, desk):
    cursors = ["1e5", "0x1F", "5e12345678901234567890", "'a'", "a+b/c=="]

    def answer(asked: Asked) -> Answer:
        if asked.path != "/transactions/sync":
            return Item().answer(asked)
        done = cursors.index(asked.body["cursor"]) + 1 if asked.body["cursor"] else 0
        return Answer({**NOTHING, "next_cursor": cursors[done], "has_more": done + 1 < len(cursors)})

    plaid.answer = answer
    desk.sync("transactions")
    assert desk.error is None
    sent = [asked.body["cursor"] for asked in plaid.asked if asked.path == "/transactions/sync"]
    assert sent == ["", *cursors[:-1]]


@pytest.mark.parametrize("secret", ["1e5", "5e1234567890123456789012", "0x1F"])
def test_credentials_arrive_as_they_are_written(plaid, item, secret):
    plaid.answer = lambda asked: Answer(item.accounts_get(asked))
    Desk({**ENTRY, **dict.fromkeys(SECRETS, secret), "base_url": plaid.url}).sync("accounts")
    (asked,) = plaid.asked
    sent = (asked.headers["plaid-client-id"], asked.headers["plaid-secret"], asked.body["access_token"])
    assert sent == (secret, secret, secret)


def test_a_bank_that_plaid_has_not_read_yet_is_read_from_the_beginning_next_time(plaid, item, desk):
    item.instead["/transactions/sync"] = Answer({**NOTHING, "next_cursor": "", "has_more": False})
    assert told(desk) == {}
    item.instead.clear()
    item.updates = [{"added": [transaction("a")]}]
    assert set(told(desk)) == {"a"}


def test_history_follows_the_publication_rule_and_what_comes_later_was_seen(item, desk):
    item.updates = [{"added": [transaction("old")]}]
    old = told(desk)["old"]
    assert (old["event_at"], old["available_at"], old["is_modelled"]) == (
        "2024-02-09T00:00:00Z",
        "2024-02-11T00:00:00Z",
        True,
    )
    item.updates.append({"added": [transaction("late", date="2024-02-01")]})
    late = told(desk)["late"]
    assert (late["available_at"], late["is_modelled"]) == ("2024-03-02T08:00:00Z", False)


def test_what_happened_before_the_start_date_is_left_out(plaid, item, desk):
    desk.config["start_date"] = "2024-02-10"
    item.updates = [{"added": [transaction("before", date="2024-02-09"), transaction("on")]}]
    item.trades = [trade("early", date="2024-01-01"), trade("late")]
    assert set(told(desk)) == {"on", "late"}


# --- pending, posted, removed ---------------------------------------------------------------------------------------

PENDING = {"added": [transaction("p", pending=True)]}
POSTED = {"added": [transaction("q", twin="p", amount=13.0)], "removed": [removal("p")]}


def test_a_posted_transaction_keeps_the_key_of_its_pending_twin(item, desk):
    item.updates = [PENDING]
    pending = told(desk)["p"]
    assert (pending["status"], pending["posted_date"], pending["transacted_date"]) == ("pending", None, "2024-02-09")
    item.updates.append(POSTED)
    posted = told(desk)
    assert set(posted) == {"p"}
    assert (posted["p"]["status"], posted["p"]["amount"], posted["p"]["posted_date"]) == ("posted", -13.0, "2024-02-10")
    assert json.loads(posted["p"]["extra"])["transaction_id"] == "q"


REMOVED_FIRST = ({"removed": [removal("p")]}, {"added": [transaction("q", twin="p")]})
REMOVED_LAST = ({"added": [transaction("q", twin="p")]}, {"removed": [removal("p")]})


@pytest.mark.parametrize("posting", [REMOVED_FIRST, REMOVED_LAST])
@pytest.mark.parametrize("syncs", [1, 2, 3])
def test_in_whatever_order_the_twins_come_the_posted_one_is_true(item, desk, posting, syncs):
    for update in (PENDING, *posting)[:syncs]:
        item.updates.append(update)
        desk.sync("transactions")
    item.updates = [PENDING, *posting]
    desk.sync("transactions")
    assert status_of(desk) == {"p": "posted"}


def test_a_pending_transaction_that_never_posts_is_removed(item, desk):
    item.updates = [PENDING]
    desk.sync("transactions")
    item.updates.append({"removed": [removal("p")]})
    desk.sync("transactions")
    assert status_of(desk) == {"p": "removed"}


@pytest.mark.parametrize("later", [True, False])
def test_a_posted_transaction_that_is_removed_is_found_by_its_twin_s_key(item, desk, later):
    item.updates = [PENDING, POSTED]
    if later:
        desk.sync("transactions")
    item.updates.append({"removed": [removal("q")]})
    desk.sync("transactions")
    assert status_of(desk) == {"p": "removed"}


def test_a_pending_version_that_comes_after_the_posted_one_changes_nothing(item, desk):
    item.updates = [PENDING, {"added": [transaction("q", twin="p")]}, {"modified": [transaction("p", pending=True)]}]
    desk.sync("transactions")
    assert status_of(desk) == {"p": "posted"}


def test_a_pending_transaction_that_is_told_again_after_its_posted_twin_was_removed_is_pending(item, desk):
    item.updates = [PENDING, POSTED, {"removed": [removal("q")]}, PENDING]
    desk.sync("transactions")
    assert status_of(desk) == {"p": "pending"}


def test_a_transaction_that_was_added_and_modified_between_two_syncs_is_told_once_as_it_is(item, desk):
    item.updates = [{"added": [transaction("a")]}, {"modified": [transaction("a", amount=99)]}]
    assert {key: record["amount"] for key, record in told(desk).items()} == {"a": -99}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(data=st.data())
def test_however_updates_are_spread_over_pages_and_syncs_the_outcome_is_one(plaid, item, data):
    """Ten transactions live their lives; Plaid's log is cut into pages, the pages into syncs, at any place."""
    lives = [
        data.draw(st.sampled_from(["pending", "posted", "twin", "twin removed", "pending removed", "modified"]))
        for _ in range(5)
    ]
    log, expected = [], {}
    for number, life in enumerate(lives):
        pending, posted = f"p{number}", f"q{number}"
        steps = {
            "pending": [{"added": [transaction(pending, pending=True)]}],
            "posted": [{"added": [transaction(pending)]}],
            "modified": [{"added": [transaction(pending)]}, {"modified": [transaction(pending, amount=1)]}],
            "pending removed": [{"added": [transaction(pending, pending=True)]}, {"removed": [removal(pending)]}],
        }
        twin = [
            *steps["pending"],
            {"added": [transaction(posted, twin=pending)]},
            {"removed": [removal(pending)]},
        ]
        steps["twin"], steps["twin removed"] = twin, [*twin, {"removed": [removal(posted)]}]
        log += steps[life]
        expected[pending] = {"pending": "pending", "posted": "posted", "modified": "posted", "twin": "posted"}.get(
            life, "removed"
        )
    cuts = data.draw(st.sets(st.integers(1, len(log))))
    desk = Desk({**ENTRY, "products": ["transactions"], "base_url": plaid.url})
    for end in sorted(cuts | {len(log)}):
        item.updates = log[:end]
        desk.sync("transactions")
    assert status_of(desk) == expected


# --- investments ----------------------------------------------------------------------------------------------------


def test_all_pages_of_investment_transactions_are_read(plaid, item, desk):
    item.trades = [trade(str(number)) for number in range(1001)]
    assert len(told(desk)) == 1001
    pages = [asked.body["options"] for asked in plaid.asked if asked.path == "/investments/transactions/get"]
    assert [page.get("offset", 0) for page in pages] == [0, 500, 1000]


def test_investment_transactions_are_looked_at_again_and_only_news_is_told(item, desk):
    item.trades = [trade("old", date="2023-01-05"), trade("same"), trade("changed"), trade("gone")]
    assert set(told(desk)) == {"old", "same", "changed", "gone"}
    item.trades = [trade("same"), trade("changed", amount=40.0), trade("new"), trade("backdated", date="2024-02-15")]
    news = told(desk)
    assert {key: record["status"] for key, record in news.items()} == {
        "changed": "posted",
        "new": "posted",
        "backdated": "posted",
        "gone": "removed",
    }
    assert news["changed"]["amount"] == -40
    assert told(desk) == {}


@pytest.mark.parametrize(
    ("kind", "subtype", "ours"),
    [
        ("buy", "buy", "buy"),
        ("sell", "sell", "sell"),
        ("cash", "dividend", "dividend"),
        ("buy", "dividend reinvestment", "reinvestment"),
        ("cash", "long-term capital gain", "dividend"),
        ("cash", "return of principal", "other"),
        ("transfer", "transfer", "transfer"),
        ("transfer", "spin off", "other"),
        ("transfer", "expire", "other"),
        ("sell", "sell short", "sell"),
        ("buy", "buy to cover", "buy"),
        ("cash", "interest", "interest"),
        ("fee", "management fee", "fee"),
        ("cash", "tax withheld", "tax"),
        ("cash", "contribution", "transfer"),
        ("transfer", "split", "split"),
        ("cancel", None, "other"),
        ("something new", "something new", "other"),
    ],
)
def test_the_kind_of_an_investment_transaction(item, desk, kind, subtype, ours):
    item.trades = [trade("t", type=kind, subtype=subtype)]
    assert told(desk)["t"]["kind"] == ours


@pytest.mark.parametrize(
    ("primary", "detailed", "ours"),
    [
        ("TRANSFER_OUT", "TRANSFER_OUT_ACCOUNT_TRANSFER", "transfer"),
        ("BANK_FEES", "BANK_FEES_ATM_FEES", "fee"),
        ("INCOME", "INCOME_INTEREST_EARNED", "interest"),
        ("INCOME", "INCOME_WAGES", "payment"),
    ],
)
def test_the_kind_of_a_bank_transaction(item, desk, primary, detailed, ours):
    item.updates = [{"added": [transaction("a", personal_finance_category={"primary": primary, "detailed": detailed})]}]
    assert (told(desk)["a"]["kind"], desk.told["transactions"][-1]["category"]) == (ours, detailed)


# --- trouble --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        (Answer(error("INVALID_API_KEYS", "INVALID_INPUT"), 400), "config_error", "Set `client_id` and `secret`"),
        (Answer(error("INVALID_ACCESS_TOKEN", "INVALID_INPUT"), 400), "config_error", "Set `access_token`"),
        (Answer(error("PRODUCTS_NOT_SUPPORTED"), 400), "config_error", "Remove the product from `products`"),
        (Answer(error("SOMETHING_NEW"), 400), "config_error", r"Plaid refuses this \(SOMETHING_NEW: so it is\)"),
        (Answer(error("INSTITUTION_DOWN", "INSTITUTION_ERROR"), 400), "transient_error", "INSTITUTION_DOWN"),
        (Answer(error("PRODUCT_NOT_READY"), 400), "transient_error", "Sync again later"),
        (
            Answer(error("TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION", "TRANSACTIONS_ERROR"), 400),
            *("transient_error", "Sync again later"),
        ),
        (Answer({}, 401), "config_error", "Check `base_url`"),
        (Answer(error("RATE_LIMIT", "RATE_LIMIT_EXCEEDED"), 429), "transient_error", "limits the rate"),
        (Answer(error("INTERNAL_SERVER_ERROR", "API_ERROR"), 500), "transient_error", "Plaid is in trouble"),
        (Answer(b"<html>", 503), "transient_error", "Plaid is in trouble"),
        (Answer(b'{"accounts": ['), "transient_error", "no list `accounts`"),
        (Answer({"account": []}), "transient_error", "no list `accounts`"),
        (Answer({"accounts": {"a": 1}}), "transient_error", "no list `accounts`"),
        (Answer({"accounts": [], "item": {**ITEM, "error": error("ITEM_LOGIN_REQUIRED")}}), "config_error", "Log in"),
    ],
)
def test_a_refusal_says_what_it_is_and_what_to_do(item, desk, waits, refusal):
    answer, failure, said = refusal
    item.instead["/accounts/get"] = answer
    desk.sync("accounts")
    assert desk.error.failure_type.value == failure
    assert re.search(said, desk.error.message)


def test_a_limited_rate_is_waited_out(plaid, item, desk, waits):
    refusals = [Answer({}, 429, {"Retry-After": "9"})]
    plaid.answer = lambda asked: refusals.pop() if refusals else item.answer(asked)
    assert set(told(desk, "accounts")) == {"checking"}
    assert waits == [10]


def test_a_trouble_in_the_middle_loses_and_repeats_nothing(plaid, item, desk, waits):
    item.updates = [{"added": [transaction(str(number))]} for number in range(4)]
    plaid.answer = lambda asked: Answer({}, 500) if asked.body.get("cursor") == "2" else item.answer(asked)
    assert told(desk) == {}
    plaid.answer = item.answer
    assert set(told(desk)) == {"0", "1", "2", "3"}


FIELDS = [
    ("accounts", lambda item: item.accounts[0], "account_id", 1.5, "text"),
    ("accounts", lambda item: item.accounts[0], "balances", "none", "an object"),
    ("balances", lambda item: item.accounts[0]["balances"], "current", "much", "number"),
    ("balances", lambda item: item.accounts[0]["balances"], "available", True, "number"),
    ("positions", lambda item: item.holdings[0], "quantity", [3], "number"),
    ("positions", lambda item: item.securities[0], "security_id", {}, "text"),
    ("transactions", lambda item: item.updates[0]["added"][0], "date", "10 Feb", "date"),
    ("transactions", lambda item: item.updates[0]["added"][0], "pending", "no", "truth value"),
    ("transactions", lambda item: item.updates[0]["added"][0], "amount", float("inf"), "number"),
    (
        "transactions",
        lambda item: item.updates[0]["added"][0],
        "datetime",
        "2024-02-10T10:00:00",
        "time with an offset",
    ),
    ("transactions", lambda item: item.trades[0], "quantity", "three", "number"),
]


@pytest.mark.parametrize("retyped", FIELDS, ids=lambda retyped: f"{retyped[0]}-{retyped[2]}")
def test_a_field_of_another_type_is_named_with_its_value(item, desk, waits, retyped):
    stream, where, name, value, kind = retyped
    item.updates, item.trades = [{"added": [transaction("a")]}], [trade("t")]
    where(item)[name] = value
    desk.sync(stream)
    assert desk.error.failure_type is FailureType.config_error
    assert f"{name}" in desk.error.message
    assert f"{value!r}" in desk.error.message
    assert f"not {'a ' if kind != 'an object' else ''}{kind}" in desk.error.message
    assert desk.states is None


@pytest.mark.parametrize(
    "needed",
    [field for field in FIELDS if field[2] not in {"current", "available", "datetime"}],
    ids=lambda needed: f"{needed[0]}-{needed[2]}",
)
def test_a_field_that_is_missing_is_named(item, desk, waits, needed):
    stream, where, name, *_ = needed
    item.updates, item.trades = [{"added": [transaction("a")]}], [trade("t")]
    del where(item)[name]
    desk.sync(stream)
    assert desk.error.failure_type is FailureType.config_error
    assert name in desk.error.message


def test_an_unknown_field_is_kept(item, desk):
    item.accounts = [account(brand_new={"a": [1, None]})]
    item.updates = [{"added": [transaction("a", brand_new=7)]}]
    item.holdings, item.securities = [holding(brand_new="h")], [security(brand_new="s")]
    item.trades = [trade("t", brand_new=True)]
    records = desk.sync()
    kept = [json.loads(record["extra"]) for record in (*records["accounts"], *records["positions"])]
    assert (kept[0]["brand_new"], kept[1]["brand_new"], kept[1]["security"]["brand_new"]) == ({"a": [1]}, "h", "s")
    assert {json.loads(record["extra"])["brand_new"] for record in records["transactions"]} == {7, True}


def test_an_answer_that_says_more_than_is_read_is_noted(item, desk, caplog):
    item.instead["/accounts/get"] = Answer({"accounts": [account()], "weather": "fine"})
    desk.sync("accounts")
    assert "Plaid accounts has what is not read: weather" in caplog.text


def test_a_security_that_plaid_does_not_tell_is_an_error(item, desk):
    item.securities = []
    desk.sync("positions")
    assert "refers to the security fund" in desk.error.message


def test_a_server_that_gives_the_same_page_for_ever_is_left(item, desk):
    page = {"added": [], "modified": [], "removed": [], "next_cursor": "a", "has_more": True}
    item.instead["/transactions/sync"] = Answer(page)
    desk.sync("transactions")
    assert "the same comes again and again" in desk.error.message


def test_investment_transactions_that_changed_while_they_were_read_are_left_to_the_next_sync(item, desk):
    page = item.accounts_get(None) | {"securities": item.securities, "total_investment_transactions": 2}
    item.instead["/investments/transactions/get"] = Answer(page | {"investment_transactions": [trade("t")]})
    assert told(desk) == {}
    assert desk.error.failure_type is FailureType.transient_error
    assert "Plaid told 1 of 2 investment transactions" in desk.error.message


def test_a_position_that_is_told_twice_is_an_error(item, desk):
    item.holdings = [holding(), holding(quantity=4)]
    desk.sync("positions")
    assert 'tells a position twice: ["broker", "fund"]' in desk.error.message


def test_another_institution_is_read_although_plaid_refuses_one(plaid, item):
    desk = Desk({**ENTRY, "base_url": plaid.url}, {**ENTRY, "name": "Locked", "secret": "no", "base_url": plaid.url})
    assert set(told(desk, "accounts")) == {"checking"}
    assert set(desk.problems("accounts")) == {"Locked"}


# --- STATE ----------------------------------------------------------------------------------------------------------


def test_going_on_from_any_state_loses_and_repeats_nothing(plaid, item):
    """Syncs of one log, one of them interrupted after each STATE: what is true in the end is the same."""
    log = [PENDING, {"added": [transaction("a")]}, POSTED, {"modified": [transaction("a", amount=2)]}]
    outcomes = []
    for stops in itertools.product([False, True], repeat=len(log)):
        desk = Desk({**ENTRY, "products": ["transactions"], "base_url": plaid.url})
        for end, is_stopped in enumerate(stops, start=1):
            item.updates = log[:end]
            if not is_stopped:
                desk.sync("transactions")
        item.updates = log
        desk.sync("transactions")
        keys = [(record["transaction"], record["fetched_at"]) for record in desk.told["transactions"]]
        assert len(keys) == len(set(keys))
        outcomes.append({key: (record["status"], record["amount"]) for key, record in desk.current().items()})
    assert all(outcome == outcomes[0] for outcome in outcomes)
