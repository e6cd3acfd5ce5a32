"""Nothing is ordered while a check upstream is red; what stopped a session is recorded and, once mended, cleared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets.ledger.ledger import Ledger
from bentleybot_assets.wiring import published
from bentleybot_assets.wiring.published import PublishedTable
from bentleybot_assets.wiring.refusals import RUN_FAILED, Stop, refuse, require_no_red_check
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, SECOND, intents, record, url_of

DAY, NEXT_DAY = FIRST, SECOND
DAYS = dg.StaticPartitionsDefinition([DAY.isoformat(), NEXT_DAY.isoformat()])
QUOTES, SPLITS = dg.AssetKey(["raw", "market", "quotes"]), dg.AssetKey(["raw", "market", "splits"])
BARS, SCORES = dg.AssetKey(["market", "bars"]), dg.AssetKey(["signals", "scores"])
ORDERS, BRIEF = dg.AssetKey(["trading", "orders"]), dg.AssetKey(["reports", "brief"])
POSTS = dg.AssetKey(["raw", "news", "posts"])
CHECKED = {"quotes": QUOTES, "splits": SPLITS, "bars": BARS, "scores": SCORES, "brief": BRIEF, "posts": POSTS}
KEYS = {**CHECKED, "orders": ORDERS}
DEPS = {BARS: {QUOTES, SPLITS}, SCORES: {BARS}, ORDERS: {SCORES}, BRIEF: {ORDERS}}


@dataclass
class Desk:
    """A connection of two streams, bars, scores by session, orders, a brief and posts, that a test can make fail.

    Attributes:
        red: tables whose check fails.
        broken: tables whose computation raises.
        meanwhile: what happens right before a table is computed, once.
    """

    instance: dg.DagsterInstance
    ledger: Ledger
    red: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)

    def run(self, *names: str, day: date = DAY, to: date | None = None) -> dg.ExecuteInProcessResult:
        """Materialise the named tables, or all, for a session or, in one run, for those from ``day`` to ``to``."""
        tags = {"dagster/partition": f"{day}"}
        if to is not None:
            tags = {"dagster/asset_partition_range_start": f"{day}", "dagster/asset_partition_range_end": f"{to}"}
        selected = [KEYS[name] for name in names or KEYS]
        return dg.materialize(
            self._assets(), instance=self.instance, selection=selected, tags=tags, raise_on_error=False
        )

    def refuse(self, result: dg.ExecuteInProcessResult) -> Stop:
        return refuse(self.instance, result.run_id, DAY, self.ledger)

    def open_refusals(self) -> list[tuple[str, str]]:
        return self.ledger.open_refusals(DAY).select("table_name", "check_name").rows()

    def _results(self, *names: str) -> Iterator[object]:
        for name in names:
            self.meanwhile.pop(name, lambda: None)()
            if name in self.broken:
                raise RuntimeError("the source is down")
        for name in names:
            yield dg.AssetCheckResult(
                asset_key=KEYS[name],
                check_name="sound",
                passed=name not in self.red,
                description=f"{name} is unsound" if name in self.red else None,
            )
        if self.red & set(names):
            raise dg.Failure(description="not published")
        for name in names:
            yield dg.MaterializeResult(asset_key=KEYS[name])

    def _assets(self) -> list[dg.AssetsDefinition]:
        @dg.multi_asset(
            name="market_connection",
            specs=[dg.AssetSpec(QUOTES, skippable=True), dg.AssetSpec(SPLITS, skippable=True)],
            check_specs=[spec(QUOTES), spec(SPLITS)],
        )
        def connection() -> Iterator[object]:
            yield from self._results("quotes", "splits")

        @dg.multi_asset(specs=[dg.AssetSpec(BARS, deps=[QUOTES, SPLITS], skippable=True)], check_specs=[spec(BARS)])
        def bars() -> Iterator[object]:
            yield from self._results("bars")

        @dg.multi_asset(
            specs=[dg.AssetSpec(SCORES, deps=[BARS], skippable=True)],
            check_specs=[spec(SCORES)],
            partitions_def=DAYS,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def scores() -> Iterator[object]:
            yield from self._results("scores")

        @dg.asset(key=ORDERS, partitions_def=DAYS, deps=[SCORES])
        def orders(context: dg.AssetExecutionContext) -> None:
            day = date.fromisoformat(context.partition_key)
            require_no_red_check(context, day, self.ledger)
            record(self.ledger, day, intents(day, AAPL=3), run_id=context.run.run_id)

        @dg.multi_asset(
            specs=[dg.AssetSpec(BRIEF, deps=[ORDERS], skippable=True)], check_specs=[spec(BRIEF)], partitions_def=DAYS
        )
        def brief() -> Iterator[object]:
            yield from self._results("brief")

        @dg.multi_asset(specs=[dg.AssetSpec(POSTS, skippable=True)], check_specs=[spec(POSTS)])
        def posts() -> Iterator[object]:
            yield from self._results("posts")

        return [connection, bars, scores, orders, brief, posts]


def spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec("sound", asset=key, blocking=True)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    by_session = {SCORES, ORDERS, BRIEF}
    tables = {
        key: PublishedTable(
            key,
            frozenset(DEPS.get(key, set())),
            (spec(key),) if key != ORDERS else (),
            is_by_session=key in by_session,
        )
        for key in KEYS.values()
    }
    monkeypatch.setattr(published, "_tables", tables)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(instance, Ledger(url_of(tmp_path / "ledger.db")))


def why_orders_failed(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    assert event.step_key == "trading__orders"
    return str(event.step_failure_data.user_failure_data.description)


# What the gate looks at


def test_orders_pass_when_every_check_is_green(desk: Desk) -> None:
    assert desk.run().success


def test_a_check_that_went_red_in_another_run_stops_orders_without_any_refusal(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"bars"}
    assert not desk.run("bars").success

    assert desk.ledger.refusals(DAY).is_empty()
    reason = why_orders_failed(desk.run("orders"))
    assert reason.startswith(f"HALT: nothing is ordered for {DAY}. market/bars fails its check sound: bars is unsound")


def test_a_table_that_was_never_checked_stops_orders(desk: Desk) -> None:
    assert "market/bars fails its check sound: it was never evaluated" in why_orders_failed(desk.run("orders"))


def test_a_slice_that_was_never_checked_stops_orders(desk: Desk) -> None:
    assert desk.run(day=NEXT_DAY).success
    assert "signals/scores fails its check sound: it was never evaluated" in why_orders_failed(desk.run("orders"))


def test_a_green_check_of_another_session_does_not_excuse_a_red_one(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"scores"}
    assert not desk.run("scores", day=DAY).success
    desk.red = set()
    assert desk.run("scores", day=NEXT_DAY).success

    assert "signals/scores fails its check sound: scores is unsound" in why_orders_failed(desk.run("orders", day=DAY))
    assert desk.run("orders", day=NEXT_DAY).success


def test_a_red_backfill_of_many_sessions_in_one_run_stops_the_orders_of_each(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"scores"}
    assert not desk.run("scores", day=DAY, to=NEXT_DAY).success

    for day in (DAY, NEXT_DAY):
        assert "signals/scores fails its check sound: scores is unsound" in why_orders_failed(
            desk.run("orders", day=day)
        )


def test_a_green_backfill_of_many_sessions_in_one_run_lets_the_orders_of_each_pass(desk: Desk) -> None:
    assert desk.run("quotes", "splits", "bars").success
    assert desk.run("scores", day=DAY, to=NEXT_DAY).success
    assert desk.run("orders", day=DAY).success
    assert desk.run("orders", day=NEXT_DAY).success


def test_a_backfill_of_other_sessions_says_nothing_about_a_session(desk: Desk) -> None:
    assert desk.run("quotes", "splits", "bars").success
    assert desk.run("scores", day=NEXT_DAY, to=NEXT_DAY).success
    assert "signals/scores fails its check sound: it was never evaluated" in why_orders_failed(desk.run("orders"))


def test_a_red_check_is_not_forgotten_however_often_other_sessions_are_evaluated(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"scores"}
    assert not desk.run("scores", day=DAY).success
    for number in range(120):
        evaluated(desk.instance, SCORES, run_id=f"of-another-session-{number}")

    assert "signals/scores fails its check sound: scores is unsound" in why_orders_failed(desk.run("orders", day=DAY))


def evaluated(instance: dg.DagsterInstance, key: dg.AssetKey, run_id: str) -> None:
    """Report a green evaluation by a run of another session."""
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name="another",
        event_specific_data=dg.AssetCheckEvaluation(
            asset_key=key, check_name="sound", passed=True, metadata={}, blocking=True
        ),
    )
    instance.add_run(dg.DagsterRun(job_name="another", run_id=run_id, tags={"dagster/partition": f"{NEXT_DAY}"}))
    instance.report_dagster_event(event, run_id)


@pytest.mark.parametrize("table", ["bars", "scores"])
def test_of_runs_that_overlap_the_later_evaluation_counts_and_not_the_later_run(desk: Desk, table: str) -> None:
    assert desk.run().success

    def another_run_that_is_green() -> None:
        desk.red = set()
        assert desk.run(table).success
        desk.red = {table}

    desk.meanwhile = {table: another_run_that_is_green}
    assert not desk.run(table).success
    assert f"{table} is unsound" in why_orders_failed(desk.run("orders"))


# What stopped the session before


def test_the_next_good_run_clears_the_refusal_of_the_one_that_was_stopped(desk: Desk) -> None:
    desk.red = {"bars"}
    stopped = desk.run()
    assert desk.refuse(stopped) == Stop(refusals=("market/bars, sound: bars is unsound",))
    assert desk.open_refusals() == [("market/bars", "sound")]

    desk.red = set()
    assert desk.run().success
    assert desk.open_refusals() == []
    assert desk.ledger.refusals(DAY).height == 1


def test_a_run_that_the_gate_stops_clears_nothing(desk: Desk) -> None:
    desk.red = {"bars"}
    desk.refuse(desk.run())
    assert not desk.run("orders").success
    assert desk.open_refusals() == [("market/bars", "sound")]


def test_an_error_that_stopped_the_session_must_be_mended_before_orders(desk: Desk) -> None:
    assert desk.run().success
    desk.broken = {"scores"}
    stopped = desk.run()
    assert desk.refuse(stopped).refusals == (f"signals/scores, {RUN_FAILED}: RuntimeError: the source is down",)

    assert "signals/scores was not materialised since it failed" in why_orders_failed(desk.run("orders"))
    desk.broken = set()
    assert desk.run().success
    assert desk.open_refusals() == []


def test_an_error_in_a_session_is_not_mended_by_another_session(desk: Desk) -> None:
    assert desk.run().success
    desk.broken = {"scores"}
    desk.refuse(desk.run())
    desk.broken = set()

    assert desk.run("scores", day=NEXT_DAY).success
    assert "signals/scores was not materialised since it failed" in why_orders_failed(desk.run("orders"))
    assert desk.run("scores", day=DAY, to=NEXT_DAY).success
    assert desk.run("orders").success


def test_an_error_of_a_connection_must_be_mended_for_each_of_its_streams(desk: Desk) -> None:
    assert desk.run().success
    desk.broken = {"splits"}
    assert desk.refuse(desk.run()).refusals == (
        f"raw/market/quotes, {RUN_FAILED}: RuntimeError: the source is down",
        f"raw/market/splits, {RUN_FAILED}: RuntimeError: the source is down",
    )

    reason = why_orders_failed(desk.run("orders"))
    assert "raw/market/quotes was not materialised since it failed" in reason
    assert "raw/market/splits was not materialised since it failed" in reason
    desk.broken = set()
    assert desk.run("quotes", "splits").success
    assert desk.run("orders").success


def test_an_error_of_a_run_that_was_deleted_is_mended_by_the_run_that_orders(desk: Desk) -> None:
    assert desk.run().success
    desk.broken = {"bars"}
    stopped = desk.run()
    desk.refuse(stopped)
    desk.instance.delete_run(stopped.run_id)
    desk.broken = set()

    assert "market/bars was not materialised since it failed" in why_orders_failed(desk.run("orders"))
    assert desk.run().success


def test_a_refusal_of_what_comes_after_the_orders_does_not_block_them(desk: Desk) -> None:
    assert desk.run().success
    for table in ("reports/brief", "trading/orders", "desk"):
        desk.ledger.record_refusal(DAY, check=RUN_FAILED, table=table, evidence="x", dagster_run_id="another")
    assert desk.run("orders").success
    assert desk.open_refusals() == []


# What a failed run leaves


def test_a_run_that_a_check_and_an_error_stopped_leaves_a_refusal_for_each(desk: Desk) -> None:
    desk.red, desk.broken = {"bars"}, {"scores"}
    assert desk.run("quotes", "splits").success
    stopped = dg.materialize(
        [asset for asset in desk._assets() if asset.keys <= {BARS}] + [scores_without_bars(desk)],
        instance=desk.instance,
        partition_key=f"{DAY}",
        raise_on_error=False,
    )

    desk.refuse(stopped)
    assert desk.open_refusals() == [("market/bars", "sound"), ("signals/scores", RUN_FAILED)]


def scores_without_bars(desk: Desk) -> dg.AssetsDefinition:
    @dg.asset(key=SCORES, partitions_def=DAYS, output_required=False)
    def scores() -> Iterator[object]:
        yield from desk._results("scores")

    return scores


def test_orders_that_the_gate_stopped_are_refused_with_its_reason(desk: Desk) -> None:
    assert (
        desk.refuse(desk.run("orders"))
        .refusals[0]
        .startswith(f"trading/orders, {RUN_FAILED}: HALT: nothing is ordered for {DAY}.")
    )


@pytest.mark.parametrize("name", ["brief", "posts"])
@pytest.mark.parametrize("fault", ["red", "broken"])
def test_a_table_that_fails_and_no_order_stands_on_leaves_no_refusal_and_is_named_with_its_reason(
    desk: Desk, fault: str, name: str
) -> None:
    setattr(desk, fault, {name})
    reason = {"red": f"sound: {name} is unsound", "broken": f"{RUN_FAILED}: RuntimeError: the source is down"}[fault]

    assert desk.refuse(desk.run()) == Stop(beside=(f"{'/'.join(KEYS[name].path)}, {reason}",))
    assert desk.ledger.refusals(DAY).is_empty()
    assert desk.ledger.orders(DAY).height == 1


def test_a_run_whose_process_died_before_the_orders_leaves_a_refusal(desk: Desk) -> None:
    assert desk.refuse(died(desk, desk.run("bars"))).refusals == (
        f"desk, {RUN_FAILED}: The run ended before any step was recorded as failed.",
    )


def test_a_run_whose_process_died_after_the_orders_only_lacks_its_report(desk: Desk) -> None:
    stop = desk.refuse(died(desk, desk.run("quotes", "splits", "bars", "scores", "orders")))
    assert not stop.refusals
    assert stop.beside


def died(desk: Desk, result: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """The run as it looks to whoever finds that its process is gone."""
    desk.instance.report_run_failed(desk.instance.get_run_by_id(result.run_id), "Its process died.")
    return result


# Failures that are reported late


def test_a_failure_that_is_reported_after_a_later_run_ordered_is_no_refusal(desk: Desk) -> None:
    desk.red = {"bars"}
    stopped = desk.run()
    desk.red = set()
    assert desk.run().success

    assert desk.refuse(stopped) == Stop(overtaken=("market/bars, sound: bars is unsound",))
    assert desk.ledger.refusals(DAY).is_empty()


def test_failures_that_are_reported_again_in_any_order_do_not_open_what_a_later_run_cleared(desk: Desk) -> None:
    desk.red = {"bars"}
    first, second = desk.run(), desk.run()
    desk.refuse(first)
    desk.refuse(second)
    desk.red = set()
    assert desk.run().success

    for stopped in (first, second, first):
        desk.refuse(stopped)
        assert desk.open_refusals() == []


def test_a_run_that_died_before_a_later_run_ordered_is_no_refusal_whenever_that_is_noticed(desk: Desk) -> None:
    dead = desk.run("bars")
    assert desk.run().success

    assert desk.refuse(died(desk, dead)).overtaken
    assert desk.open_refusals() == []


def test_a_failure_after_the_session_was_ordered_is_a_refusal(desk: Desk) -> None:
    assert desk.run().success
    desk.red = {"bars"}
    desk.refuse(desk.run())
    assert desk.open_refusals() == [("market/bars", "sound")]


def test_orders_of_another_session_overtake_nothing(desk: Desk) -> None:
    desk.red = {"bars"}
    stopped = desk.run()
    desk.red = set()
    assert desk.run(day=NEXT_DAY).success
    desk.refuse(stopped)
    assert desk.open_refusals() == [("market/bars", "sound")]
