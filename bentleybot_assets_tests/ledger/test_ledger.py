"""The ledger records a decision and a fault once, and says what stands."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from bentleybot_assets.contracts.trading import Orders
from bentleybot_assets.ledger import engines
from bentleybot_assets.ledger.decisions import Account, Decision
from bentleybot_assets.ledger.ledger import REFUSALS, DecisionConflictError, Ledger, LedgerError
from bentleybot_assets_tests.ledger.sessions_of_work import (
    ACCOUNT,
    DECISION,
    FIRST,
    SECOND,
    intents,
    record,
    url_of,
)

FAULT = {"check": "contract", "table": "market/daily_bars", "evidence": "AAPL 2022-12-27 close is NaN"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture(params=["sqlite", "mysql"])
def ledger(request: pytest.FixtureRequest, path: Path) -> Ledger:
    """An empty ledger on each engine."""
    return Ledger(url_of(path) if request.param == "sqlite" else request.getfixturevalue("mysql_server"))


def test_recorded_orders_read_back_as_they_were_given(ledger: Ledger) -> None:
    given = intents(FIRST, AAPL=3, IBM=5)
    assert record(ledger, FIRST, given).equals(given)
    assert ledger.orders(FIRST).equals(given)


def test_what_the_ledger_returns_satisfies_the_contract(ledger: Ledger) -> None:
    Orders.to_schema().validate(record(ledger, FIRST, intents(FIRST, AAPL=3, IBM=5)))


def test_an_empty_ledger_has_orders_and_refusals_with_their_columns(ledger: Ledger) -> None:
    assert ledger.orders(FIRST).equals(Orders.empty_frame())
    assert ledger.refusals(FIRST).schema == pl.Schema(REFUSALS)
    assert ledger.open_refusals(FIRST).is_empty()


def test_building_a_ledger_touches_nothing(path: Path) -> None:
    Ledger(url_of(path))
    assert not path.parent.exists()


def test_a_second_decision_for_a_session_changes_and_adds_nothing(ledger: Ledger) -> None:
    first = record(ledger, FIRST, intents(FIRST, AAPL=3))
    again = record(ledger, FIRST, intents(FIRST, AAPL=4, IBM=5))
    assert again.equals(first)
    assert ledger.orders(FIRST).equals(first)


def test_the_decision_to_place_no_order_stands_too(ledger: Ledger) -> None:
    assert record(ledger, FIRST, intents(FIRST)).is_empty()
    assert record(ledger, FIRST, intents(FIRST, AAPL=4)).is_empty()


def test_sessions_strategies_and_revisions_are_decided_apart(ledger: Ledger) -> None:
    record(ledger, FIRST, intents(FIRST, AAPL=3))
    record(ledger, SECOND, intents(SECOND, AAPL=4))
    for number, other in enumerate([{"strategy": "hourly"}, {"revision": "1"}]):
        own = intents(FIRST, AAPL=5).with_columns(
            pl.lit(f"{number:032x}").alias("order_id"), **{name: pl.lit(value) for name, value in other.items()}
        )
        assert len(record(ledger, FIRST, own, **other)) == number + 2
    assert ledger.orders(SECOND)["target_quantity"].to_list() == [4]


@pytest.mark.parametrize("mode", [{"account_mode": "live"}, {"data_mode": "yahoo"}])
def test_a_paper_or_sample_decision_is_not_taken_for_a_live_or_market_one(ledger: Ledger, mode: dict[str, str]) -> None:
    record(ledger, FIRST, intents(FIRST))
    with pytest.raises(DecisionConflictError, match="was decided for a paper account on sample data"):
        record(ledger, FIRST, intents(FIRST), **mode)


def test_orders_of_another_session_are_refused_by_name(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match=r"share their session, but AAPL has .*2022, 12, 27"):
        record(ledger, SECOND, intents(FIRST, AAPL=3))
    assert ledger.orders(SECOND).is_empty()


def test_a_symbol_named_twice_is_refused_by_name(ledger: Ledger) -> None:
    twice = pl.concat([intents(FIRST, IBM=3), intents(FIRST, IBM=4)])
    with pytest.raises(ValueError, match="IBM more than once"):
        record(ledger, FIRST, twice)


def test_intents_that_lack_a_column_are_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="must have the columns of trading/orders"):
        record(ledger, FIRST, intents(FIRST, IBM=3).drop("state"))


def test_a_quantity_that_does_not_lead_to_the_target_is_refused_and_leaves_the_session_undecided(
    ledger: Ledger,
) -> None:
    wrong = intents(FIRST, AAPL=3, IBM=5).with_columns(quantity=pl.lit(7, dtype=pl.Int64))
    with pytest.raises(LedgerError, match="ck_orders_quantity_leads_to_target"):
        record(ledger, FIRST, wrong)
    right = intents(FIRST, AAPL=3)
    assert record(ledger, FIRST, right).equals(right)


def test_the_same_fault_keeps_one_row_that_counts_the_runs_which_met_it(ledger: Ledger) -> None:
    ids = {ledger.record_refusal(FIRST, **FAULT, dagster_run_id=run) for run in ("r1", "r1", "r2", "r1", "r3", "r2")}
    found = ledger.open_refusals(FIRST)
    assert found.select("times_met", "dagster_run_id").rows() == [(3, "r3")]
    assert found["refusal_id"].to_list() == list(ids)
    assert found.select("code", "check_name", "table_name", "evidence").row(0) == (
        "HALT",
        FAULT["check"],
        FAULT["table"],
        FAULT["evidence"],
    )


@pytest.mark.parametrize("other", [{"check": "x"}, {"table": "x"}, {"evidence": "x"}, {"session": SECOND}])
def test_different_faults_are_different_refusals(ledger: Ledger, other: dict[str, object]) -> None:
    fault = {"session": FIRST, **FAULT, "dagster_run_id": "r1"}
    assert ledger.record_refusal(**fault) != ledger.record_refusal(**{**fault, **other})  # type: ignore[arg-type]


def test_a_stop_is_recorded_however_much_it_says(ledger: Ledger) -> None:
    told = [
        ledger.record_refusal(FIRST, **{**FAULT, "evidence": "😀" * 70_000}, dagster_run_id=run) for run in ("r1", "r2")
    ]
    (found,) = ledger.open_refusals(FIRST).iter_rows(named=True)
    assert told == [found["refusal_id"]] * 2
    assert found["evidence"] == "😀" * 8_000 + " … (62,000 more characters)"


def test_names_that_run_together_are_not_the_same_fault(ledger: Ledger) -> None:
    one = ledger.record_refusal(FIRST, check="b", table="a", evidence="c", dagster_run_id="r")
    other = ledger.record_refusal(FIRST, check="", table="ab", evidence="c", dagster_run_id="r")
    assert one != other


def test_recording_a_decision_clears_what_earlier_runs_met(ledger: Ledger) -> None:
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    ledger.record_refusal(FIRST, **{**FAULT, "check": "no_session_gaps"}, dagster_run_id="r1")
    ledger.record_refusal(SECOND, **FAULT, dagster_run_id="r1")
    record(ledger, FIRST, intents(FIRST), run_id="r2")
    record(ledger, FIRST, intents(FIRST), run_id="r3")
    assert ledger.open_refusals(FIRST).is_empty()
    assert ledger.refusals(FIRST)["cleared_by_run_id"].to_list() == ["r2", "r2"]
    assert len(ledger.open_refusals(SECOND)) == 1


def test_finding_a_decision_clears_what_was_met_since(ledger: Ledger) -> None:
    placed = record(ledger, FIRST, intents(FIRST, AAPL=3))
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    assert ledger.recorded_orders(Decision(session=FIRST, **DECISION), run_id="r2").equals(placed)
    assert ledger.refusals(FIRST)["cleared_by_run_id"].to_list() == ["r2"]


def test_looking_for_a_decision_that_is_not_there_clears_nothing(ledger: Ledger) -> None:
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    assert ledger.recorded_orders(Decision(session=FIRST, **DECISION), run_id="r2") is None
    assert ledger.open_refusals(FIRST).height == 1


def test_a_decision_that_cannot_be_recorded_clears_nothing(ledger: Ledger) -> None:
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    wrong = intents(FIRST, AAPL=3).with_columns(quantity=pl.lit(7, dtype=pl.Int64))
    with pytest.raises(LedgerError):
        record(ledger, FIRST, wrong, run_id="r2")
    assert ledger.open_refusals(FIRST).height == 1


def test_a_run_does_not_clear_what_it_met_itself(ledger: Ledger) -> None:
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    record(ledger, FIRST, intents(FIRST), run_id="r1")
    assert len(ledger.open_refusals(FIRST)) == 1


def test_the_account_of_the_first_recording_stands(ledger: Ledger) -> None:
    record(ledger, FIRST, intents(FIRST))
    ledger.record_orders(Decision(session=FIRST, **DECISION), intents(FIRST), Account(5.0, {}), run_id="later")
    assert ledger.account(FIRST, DECISION["strategy"]) == ACCOUNT


def test_accounts_of_other_sessions_and_strategies_are_not_mixed_up(ledger: Ledger) -> None:
    record(ledger, FIRST, intents(FIRST))
    assert ledger.account(SECOND, DECISION["strategy"]) is None
    assert ledger.account(FIRST, "hourly") is None
    ledger.record_orders(Decision(session=SECOND, **DECISION), intents(SECOND), Account(5.0, {}), run_id="r")
    assert ledger.account(SECOND, DECISION["strategy"]) == Account(5.0, {})


def test_a_cleared_fault_opens_again_for_a_new_run_but_not_for_a_late_report(ledger: Ledger) -> None:
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    record(ledger, FIRST, intents(FIRST), run_id="r2")
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    assert ledger.open_refusals(FIRST).is_empty()
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r3")
    assert ledger.open_refusals(FIRST)["dagster_run_id"].to_list() == ["r3"]
    record(ledger, FIRST, intents(FIRST), run_id="r4")
    ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1")
    assert ledger.open_refusals(FIRST).is_empty()
    assert len(ledger.refusals(FIRST)) == 1


def test_a_refusal_without_a_code_is_an_error_and_not_a_known_fault(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"table refusals.*(NOT NULL|cannot be null)"):
        ledger.record_refusal(FIRST, **FAULT, dagster_run_id="r1", code=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/db", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_is_no_file_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="must name a SQLite file") as refused:
        Ledger(url)
    assert "hunter2" not in str(refused.value)


def test_a_locked_ledger_is_named_with_its_table_and_fix(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_LOCK_TIMEOUT_SECONDS", 0)
    ledger = Ledger(url_of(path))
    ledger.orders(FIRST)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match=rf"write table orders of ledger {url_of(path)}.*locked.*wait for that run"):
        record(ledger, FIRST, intents(FIRST))
    other.close()
    assert record(ledger, FIRST, intents(FIRST)).is_empty()


def test_a_file_that_is_no_ledger_is_named_with_its_fix(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("symbol,session\n" * 100)
    with pytest.raises(LedgerError, match=rf"read table orders of ledger {url_of(path)}.*another file"):
        Ledger(url_of(path)).orders(FIRST)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"Cannot create folder .*file/state"):
        Ledger(url_of(tmp_path / "file" / "state" / "ledger.db")).orders(FIRST)


def test_a_ledger_that_is_up_to_date_is_opened_without_alembic(path: Path) -> None:
    Ledger(url_of(path)).orders(FIRST)
    program = (
        "import sys, datetime; from bentleybot_assets.ledger.ledger import Ledger;"
        f"Ledger({url_of(path)!r}).orders(datetime.date(2022, 12, 27)); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
