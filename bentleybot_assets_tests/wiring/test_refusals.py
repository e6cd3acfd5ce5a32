"""Nothing is ordered while a check upstream is red; what stopped a session is recorded and, once mended, cleared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.wiring import refusals
from bentleybot_assets.wiring.published import PublishedTable
from bentleybot_assets.wiring.refusals import RUN_FAILED, refuse, require_no_red_check
from bentleybot_assets_tests.ledger.sessions_of_work import intents, record

DAY, NEXT_DAY = date(2022, 12, 28), date(2022, 12, 29)
DAYS = dg.StaticPartitionsDefinition([DAY.isoformat(), NEXT_DAY.isoformat()])
BARS, SCORES, ORDERS = (dg.AssetKey(["market", name]) for name in ("bars", "scores", "orders"))


@dataclass
class Desk:
    """Three assets (bars, scores by session, orders by session) whose checks and errors a test switches."""

    instance: dg.DagsterInstance
    ledger: Ledger
    red: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def run(self, *names: str, day: date = DAY) -> dg.ExecuteInProcessResult:
        """Materialise the named assets, or all."""
        return dg.materialize(
            self._assets(),
            instance=self.instance,
            partition_key=None if names == ("bars",) else day.isoformat(),
            selection=[dg.AssetKey(["market", name]) for name in names or ("bars", "scores", "orders")],
            raise_on_error=False,
        )

    def refuse(self, result: dg.ExecuteInProcessResult, day: date = DAY) -> list[str]:
        return refuse(self.instance, result.run_id, day, self.ledger)

    def _result(self, name: str) -> Iterator[dg.AssetCheckResult | dg.Output[int]]:
        if name in self.broken:
            raise RuntimeError("the source is down")
        yield dg.AssetCheckResult(
            check_name="sound",
            passed=name not in self.red,
            description=f"{name} is unsound" if name in self.red else None,
        )
        if name in self.red:
            raise dg.Failure(description="not published")
        yield dg.Output(1)

    def _assets(self) -> list[dg.AssetsDefinition]:
        @dg.asset(key=BARS, check_specs=[spec(BARS)], output_required=False)
        def bars() -> Iterator[object]:
            yield from self._result("bars")

        @dg.asset(key=SCORES, check_specs=[spec(SCORES)], output_required=False, partitions_def=DAYS, deps=[BARS])
        def scores() -> Iterator[object]:
            yield from self._result("scores")

        @dg.asset(key=ORDERS, partitions_def=DAYS, deps=[SCORES])
        def orders(context: dg.AssetExecutionContext) -> None:
            day = date.fromisoformat(context.partition_key)
            require_no_red_check(context, day, self.ledger)
            record(self.ledger, day, intents(day, AAPL=3), run_id=context.run.run_id)

        return [bars, scores, orders]


def spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec("sound", asset=key, blocking=True)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    tables = [
        PublishedTable(BARS, (spec(BARS),), is_by_session=False),
        PublishedTable(SCORES, (spec(SCORES),), is_by_session=True),
    ]
    monkeypatch.setattr(refusals, "published_tables", lambda: iter(tables))
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield Desk(instance, Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))


def why_orders_failed(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    assert event.step_key == "market__orders"
    return str(event.step_failure_data.user_failure_data.description)


def test_orders_pass_when_every_check_is_green(desk: Desk) -> None:
    assert desk.run().success


def test_a_check_that_went_red_in_another_run_stops_orders_without_any_refusal(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"bars"}
    assert not desk.run("bars").success

    assert desk.ledger.refusals(DAY).is_empty()
    reason = why_orders_failed(desk.run("orders"))
    assert reason.startswith(
        "HALT: nothing is ordered for 2022-12-28. market/bars fails its check sound: bars is unsound"
    )


def test_a_table_that_was_never_checked_stops_orders(desk: Desk) -> None:
    assert "market/bars fails its check sound: it was never evaluated" in why_orders_failed(desk.run("orders"))


def test_the_next_good_run_clears_the_refusal_of_the_one_that_was_stopped(desk: Desk) -> None:
    desk.red = {"bars"}
    stopped = desk.run()
    assert desk.refuse(stopped) == ["market/bars, sound: bars is unsound"]
    assert desk.ledger.open_refusals(DAY).height == 1

    desk.red = set()
    assert desk.run().success
    assert desk.ledger.open_refusals(DAY).is_empty()
    assert desk.ledger.refusals(DAY).height == 1


def test_a_green_check_of_another_session_does_not_excuse_a_red_one(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"scores"}
    assert not desk.run("scores", day=DAY).success
    desk.red = set()
    assert desk.run("scores", day=NEXT_DAY).success

    assert "market/scores fails its check sound: scores is unsound" in why_orders_failed(desk.run("orders", day=DAY))
    assert desk.run("orders", day=NEXT_DAY).success


def test_an_error_that_stopped_the_session_must_be_mended_before_orders(desk: Desk) -> None:
    assert desk.run().success
    desk.broken = {"scores"}
    stopped = desk.run()
    assert desk.refuse(stopped) == [f"market/scores, {RUN_FAILED}: RuntimeError: the source is down"]

    assert "market/scores was not materialised since it failed" in why_orders_failed(desk.run("orders"))
    desk.broken = set()
    assert desk.run().success
    assert desk.ledger.open_refusals(DAY).is_empty()


def test_a_refusal_of_what_comes_after_the_orders_does_not_block_them(desk: Desk) -> None:
    assert desk.run().success
    desk.ledger.record_refusal(
        DAY, check="page_is_self_contained", table="reports/daily_brief", evidence="x", dagster_run_id="another"
    )
    assert desk.run("orders").success
    assert desk.ledger.open_refusals(DAY).is_empty()
