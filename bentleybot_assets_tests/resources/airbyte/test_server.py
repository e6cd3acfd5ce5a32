"""A sync through an Airbyte server ends with the tables of an undisturbed one, or says why and changes nothing."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import requests

from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.resources.airbyte import delivery, raw_tables
from bentleybot_assets.resources.airbyte.base import SyncError
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.mariadb import PASSWORD
from bentleybot_assets_tests.resources.airbyte.fake_server import (
    BASIC,
    CLIENT,
    Answer,
    FakeAirbyte,
    Script,
    serving,
)
from bentleybot_assets_tests.resources.airbyte.server_desk import (
    CONFIG,
    LOG,
    RAW,
    STREAMS,
    desk_at,
    digest,
    embedded,
    empty_raw_database,
    log_of,
    market_bars,
    share,
)

DAILY_BARS = f"{RAW}.{RAW}_raw__stream_daily_bars"
RECORDS = 166
"""Of both streams."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The tables of a desk that reads the same source in process: its log, and the bars that follow from it."""
    warehouse = ParquetWarehouse(tmp_path_factory.mktemp("undisturbed"))
    embedded().sync("market", STREAMS, warehouse, LOG)
    return log_of(warehouse), market_bars(warehouse)


@pytest.fixture
def warehouse(tmp_path):
    return ParquetWarehouse(tmp_path / "warehouse")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "airbyte.json"


@pytest.fixture
def airbyte(fake, file):
    return refreshed(desk_at(fake, file))


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(raw_tables, "SLICE_RECORDS", 7)
    monkeypatch.setattr(delivery, "DELIVERY_RECORDS", 10)


def refreshed(airbyte):
    airbyte.refresh(["market"])
    return airbyte


def sync(airbyte, warehouse):
    return airbyte.sync("market", STREAMS, warehouse, LOG)


def refusal(airbyte, warehouse):
    """What a sync says that cannot be; it changes nothing."""
    before = digest(warehouse)
    with pytest.raises(SyncError) as refused:
        sync(airbyte, warehouse)
    assert digest(warehouse) == before
    return str(refused.value)


def assert_same(warehouse, undisturbed, *, has_duplicates=False):
    """The log holds each record once; or, where it was delivered again, at least once, and the bars are the same."""
    logs, bars = undisturbed
    for name, log in log_of(warehouse).items():
        found = log.unique(maintain_order=True) if has_duplicates else log
        assert found.height > 0
        assert found.equals(logs[name])
    if has_duplicates:
        assert market_bars(warehouse).equals(bars)


def only_job(fake):
    assert len(fake.jobs) == 1
    return fake.jobs[1]


# A sync that succeeds.


def test_a_sync_lands_what_an_embedded_one_does(airbyte, warehouse, undisturbed):
    result = sync(airbyte, warehouse)
    assert result.passed
    assert_same(warehouse, undisturbed)
    read = embedded().sync("market", STREAMS, ParquetWarehouse(warehouse.root.parent / "again"), LOG)
    assert result.streams == read.streams
    assert result.more["rows_synced"] == sum(stream.records for stream in read.streams.values())
    assert result.more["bytes_synced"] > 10_000
    assert re.fullmatch(r"http://127.*/workspaces/.*/connections/.*", result.more["airbyte_connection"].value)


def test_a_sync_that_finds_nothing_new_commits_nothing(airbyte, warehouse):
    sync(airbyte, warehouse)
    before = digest(warehouse)
    assert sync(airbyte, warehouse).deliveries == 0
    assert digest(warehouse) == before


def test_a_warehouse_on_the_same_server_gets_the_same(airbyte, mysql_server, undisturbed):
    warehouse = MySqlWarehouse(mysql_server)
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    assert sync(airbyte, warehouse).deliveries == 0


@pytest.mark.parametrize("auth", ["client", "basic", "none"])
def test_every_way_to_log_in_works(*, auth, mariadb, mysql_server, warehouse, file, undisturbed):
    empty_raw_database(mariadb)
    login = {
        "client": dict(zip(("client_id", "client_secret"), CLIENT, strict=True)),
        "basic": dict(zip(("username", "password"), BASIC, strict=True)),
        "none": {},
    }
    with serving(FakeAirbyte(mariadb, auth)) as fake:
        fake.add_connection("market", CONFIG, STREAMS)
        sync(refreshed(desk_at(fake, file, login=login[auth])), warehouse)
    assert_same(warehouse, undisturbed)


def test_streams_that_are_not_asked_for_are_taken_when_they_are(airbyte, warehouse, undisturbed):
    for name, contract in STREAMS.items():
        airbyte.sync("market", {name: contract}, warehouse, LOG)
    assert_same(warehouse, undisturbed)


def test_slices_and_deliveries_do_not_show(airbyte, warehouse, undisturbed, small_slices):
    assert sync(airbyte, warehouse).deliveries > 10
    assert_same(warehouse, undisturbed)


@pytest.mark.parametrize("place", ["elsewhere", ""])
def test_a_prefix_and_another_raw_database_are_heeded(*, place, mariadb, mysql_server, warehouse, file, undisturbed):
    empty_raw_database(mariadb)
    share(mariadb, place or "airbyte_internal")
    with serving(FakeAirbyte(mariadb)) as fake:
        destination = {"raw_data_schema": place}
        fake.add_connection("market", CONFIG, STREAMS, prefix="eu_west_", destination=destination)
        sync(refreshed(desk_at(fake, file)), warehouse)
    assert_same(warehouse, undisturbed)


# Jobs that are not simply done.


@pytest.mark.parametrize("status", ["pending", "queued", "running", "incomplete", "something_new"])
def test_a_job_that_is_not_at_its_end_is_waited_for(status, fake, airbyte, warehouse, undisturbed):
    fake.script = Script((status, status, status, "succeeded"))
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    assert fake.asked("DELETE", "/jobs/1") == 0


@pytest.mark.parametrize(
    ("loaded", "keeps_state"), [(0, False), (1, False), (60, False), (RECORDS, False), (RECORDS, True)]
)
def test_what_a_failed_job_loaded_is_taken_with_the_next_success(
    *, loaded, keeps_state, fake, airbyte, warehouse, undisturbed
):
    fake.script = Script(("running", "failed"), changed=lambda rows: rows[:loaded], keeps_state=keeps_state)
    said = refusal(airbyte, warehouse)
    assert re.match(r"market \(http://\S+/connections/\S+\): Airbyte job 1 ended as failed\. See why", said)
    fake.script = Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=not keeps_state)
    assert fake.asked("DELETE", "/jobs/1") == 0


def test_a_job_that_failed_in_one_stream_is_made_good(fake, airbyte, warehouse, undisturbed):
    fake.script = Script(
        ("running", "failed"),
        changed=lambda rows: [row for row in rows if row["stream"] == "corporate_actions"],
        keeps_state=False,
    )
    refusal(airbyte, warehouse)
    fake.script = Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)


def half_of_the_actions(rows):
    actions = [row for row in rows if row["stream"] == "corporate_actions"]
    return [row for row in rows if row["stream"] == "daily_bars"] + actions[: len(actions) // 2]


def test_a_stream_that_a_failed_job_has_synced_to_its_end_is_taken_and_the_other_is_not(
    fake, airbyte, warehouse, undisturbed
):
    fake.script = Script(
        ("running", "failed"),
        changed=half_of_the_actions,
        keeps_state=False,
        completes=frozenset({"daily_bars"}),
    )
    result = sync(airbyte, warehouse)
    bars, actions = result.streams["daily_bars"], result.streams["corporate_actions"]
    logs, _ = undisturbed
    assert (bars.failure, bars.records) == (None, logs["daily_bars"].height)
    assert warehouse.read(DailyBars).sort(logs["daily_bars"].columns).equals(logs["daily_bars"])
    assert actions.records == 0
    assert warehouse.row_count(CorporateActions) is None
    assert re.match(
        r"market, stream corporate_actions: it was not synced to its end\. market \(http://\S+\): Airbyte job 1 ended "
        r"as failed\. See why on the connection's page",
        actions.failure,
    )
    fake.script = Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)


def test_a_job_that_failed_although_all_streams_that_are_asked_for_are_there_is_no_failure_of_them(
    fake, airbyte, warehouse, undisturbed
):
    fake.script = Script(("failed",), completes=frozenset(STREAMS))
    assert [stream.failure for stream in sync(airbyte, warehouse).streams.values()] == [None, None]
    assert_same(warehouse, undisturbed)


def test_a_failed_job_of_which_the_server_does_not_say_what_it_completed_fails_as_a_whole(fake, airbyte, warehouse):
    fake.script = Script(("failed",), completes=frozenset({"daily_bars"}))
    fake.answer("POST", "/stream_statuses/list", Answer(404))
    assert "Airbyte job 1 ended as failed" in refusal(airbyte, warehouse)


def test_a_cancelled_job_is_an_error(fake, airbyte, warehouse):
    fake.script = Script(("running", "cancelled"), changed=lambda _: [])
    assert "ended as cancelled" in refusal(airbyte, warehouse)


def test_a_job_that_is_under_way_is_waited_for_instead_of_refused(fake, airbyte, warehouse, undisturbed, caplog):
    (connection_id,) = fake.connections
    fake.start(connection_id, age=timedelta(hours=3))
    with caplog.at_level("INFO"):
        sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    assert only_job(fake)["status"] == "succeeded"
    assert "waiting for Airbyte job 1, which is pending" in caplog.text


def test_jobs_are_asked_for_since_two_days_ago_in_utc(fake, airbyte, warehouse, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        sync(airbyte, warehouse)
    finally:
        monkeypatch.undo()
        time.tzset()
    (since,) = {query["createdAtStart"][0] for query in fake.queries if "createdAtStart" in query}
    ago = datetime.now(UTC) - datetime.fromisoformat(since)
    assert timedelta(days=2) <= ago < timedelta(days=2, hours=1)


def test_after_a_clear_that_is_under_way_one_must_run_again(fake, airbyte, warehouse):
    (connection_id,) = fake.connections
    fake.start(connection_id, "clear")
    assert "Airbyte job 1, a clear, is under way. Run again after it." in refusal(airbyte, warehouse)
    assert fake.asked("DELETE", "/jobs/1") == 0


def test_a_job_that_hangs_is_cancelled_and_the_next_succeeds(fake, file, warehouse, undisturbed):
    airbyte = refreshed(desk_at(fake, file, sync_minutes=0))
    fake.script = Script(("running",))
    said = refusal(airbyte, warehouse)
    assert "Airbyte job 1 was still running after 0 minutes and was cancelled." in said
    assert "raise airbyte.sync_minutes" in said
    assert only_job(fake)["status"] == "cancelled"
    fake.script = Script()
    sync(desk_at(fake, file), warehouse)
    assert_same(warehouse, undisturbed)


def test_a_job_of_somebody_else_that_hangs_is_let_be(fake, file, warehouse):
    airbyte = refreshed(desk_at(fake, file, sync_minutes=0))
    fake.script = Script(("running",))
    (connection_id,) = fake.connections
    fake.start(connection_id)
    assert "goes on, as it was not started here" in refusal(airbyte, warehouse)
    assert fake.asked("DELETE", "/jobs/1") == 0


# Requests that are not simply answered.


@pytest.mark.parametrize("is_done", [True, False], ids=["carried out", "lost"])
@pytest.mark.parametrize("instead", [None, 500, 502, 504], ids=["no answer", "500", "502", "504"])
def test_a_start_without_an_answer_starts_one_job(*, instead, is_done, fake, airbyte, warehouse, undisturbed):
    fake.answer("POST", "/jobs", Answer(instead, is_done=is_done))
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    only_job(fake)
    assert fake.asked("POST", "/jobs") == (1 if is_done else 2)


def test_a_start_that_is_answered_too_late_starts_one_job(fake, airbyte, warehouse, undisturbed, monkeypatch):
    request = requests.Session.request

    def impatient(session, method, url, **more):
        is_start = method == "POST" and url.endswith("/jobs")
        return request(session, method, url, **more | ({"timeout": 0.1} if is_start else {}))

    monkeypatch.setattr(requests.Session, "request", impatient)
    fake.answer("POST", "/jobs", Answer(200, is_done=True, until=(until := threading.Event())))
    sync(airbyte, warehouse)
    until.set()
    assert_same(warehouse, undisturbed)
    only_job(fake)


def test_a_start_without_an_answer_whose_job_has_ended_since_is_found(fake, airbyte, warehouse, undisturbed):
    (connection_id,) = fake.connections
    fake.script = Script(("failed",), changed=lambda _: [], keeps_state=False)
    fake.start(connection_id)
    fake.script = Script(("succeeded",))
    fake.answer("POST", "/jobs", Answer(None, is_done=True))
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    assert len(fake.jobs) == 2


ASKED = [
    ("POST", "/applications/token"),
    ("GET", "/jobs"),
    ("POST", "/jobs"),
    ("GET", "/jobs/1"),
    ("POST", "/connections/get"),
    ("POST", "/state/get"),
]


BUSY = [
    Answer(429, {"Retry-After": "0"}),
    Answer(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    Answer(429, {"Retry-After": "soon"}),
    Answer(429),
    Answer(500),
    Answer(503, body="<html>"),
    Answer(200, body='{"half'),
    Answer(None),
]


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [(*ASKED[3], instead) for instead in BUSY]
    + [(*asked, instead) for asked in ASKED for instead in (BUSY[0], BUSY[4], BUSY[-1])],
)
def test_a_busy_or_failing_server_is_asked_again(*, method, path, instead, fake, airbyte, warehouse, undisturbed):
    fake.answer(method, path, instead, instead)
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    only_job(fake)


def test_the_time_that_a_server_asks_to_wait_is_waited(fake, airbyte, warehouse, monkeypatch):
    waits = []
    monkeypatch.setattr("stamina._core._t.nap.sleep", waits.append)
    monkeypatch.setattr("time.sleep", waits.append)
    fake.answer("GET", "/jobs/1", Answer(429, {"Retry-After": "7"}), Answer(429, {"Retry-After": "999999"}))
    fake.answer("POST", "/jobs", Answer(429, {"Retry-After": "8"}))
    sync(airbyte, warehouse)
    assert [wait for wait in waits if wait] == [8, 7, 300]


REMEDIES = {
    400: "See the server's log.",
    401: "Check AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET",
    403: "check airbyte.workspace_id and their rights",
    404: "run `bentleybot airbyte refresh`",
    422: "See the server's log.",
}


@pytest.mark.parametrize(
    ("method", "path", "status"), [(*ASKED[3], status) for status in REMEDIES] + [(*asked, 403) for asked in ASKED]
)
def test_a_refusal_is_final_and_says_what_to_mend(*, method, path, status, fake, airbyte, warehouse):
    fake.answer(method, path, Answer(status, body='{"detail": "no\\n such thing"}'))
    before = fake.asked(method, path)
    said = refusal(airbyte, warehouse)
    assert f"{method} " in said
    assert f"{path} was answered {status} (no such thing)" in said
    assert said.startswith(f"Airbyte at {fake.url}: ")
    assert REMEDIES[status] in said
    assert fake.asked(method, path) == before + 1


def test_no_secret_is_told(fake, file, warehouse, caplog):
    airbyte = refreshed(desk_at(fake, file))
    wrong = desk_at(fake, file, login={"client_id": "desk-client", "client_secret": "wr0ng-secret"})
    said = refusal(wrong, warehouse)
    assert "(**** is no secret of a client)" in said
    with caplog.at_level("DEBUG"):
        sync(airbyte, warehouse)
    assert not any(secret in caplog.text + file.read_text() for secret in (CLIENT[1], "token-", "s3cret", PASSWORD))


def test_a_server_that_goes_away_in_the_middle_is_told_and_its_job_is_found_again(
    fake, airbyte, warehouse, undisturbed
):
    def go_away():
        fake.is_down = True

    fake.script = Script(("pending", "running", "running", "running", "succeeded"), on_poll=go_away)
    said = refusal(airbyte, warehouse)
    assert re.search(r"GET \S+/jobs/1: no answer \(ConnectionError\)", said)
    assert "a job that is under way is waited for" in said
    fake.is_down, fake.jobs[1]["script"] = False, Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)
    assert only_job(fake)["status"] == "succeeded"


def test_a_server_that_is_away_is_told(fake, airbyte, warehouse):
    fake.is_down = True
    assert f"Airbyte at {fake.url}: POST /api/public/v1/applications/token: no answer" in refusal(airbyte, warehouse)
    asked = len(fake.requests)
    assert "no answer" in airbyte.check("market")
    assert len(fake.requests) == asked + 1


# Runs that are cancelled.


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def once(act):
    acts = [act]

    def at_first():
        if acts:
            acts.pop()()

    return at_first


def test_a_run_that_is_interrupted_cancels_its_job(fake, airbyte, warehouse, undisturbed):
    fake.script = Script(("running",) * 50, on_poll=once(interrupt))
    with pytest.raises(KeyboardInterrupt):
        sync(airbyte, warehouse)
    assert only_job(fake)["status"] == "cancelled"
    assert digest(warehouse) == {}
    fake.script = Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)


def test_a_run_that_is_interrupted_lets_somebody_elses_job_be(fake, airbyte, warehouse):
    fake.script = Script(("running",) * 50, on_poll=once(interrupt))
    (connection_id,) = fake.connections
    fake.start(connection_id)
    with pytest.raises(KeyboardInterrupt):
        sync(airbyte, warehouse)
    assert fake.asked("DELETE", "/jobs/1") == 0


def test_a_dagster_run_that_is_terminated_cancels_its_job(fake, airbyte, warehouse):
    @dg.op
    def read():
        sync(airbyte, warehouse)

    @dg.job
    def reading():
        read()

    with dg.instance_for_test() as instance:

        def terminate():
            (run,) = instance.get_runs()
            instance.report_run_canceling(run)
            interrupt()

        fake.script = Script(("running",) * 50, on_poll=once(terminate))
        result = reading.execute_in_process(instance=instance, raise_on_error=False)
        assert instance.get_run_by_id(result.run_id).status is dg.DagsterRunStatus.CANCELED
    assert only_job(fake)["status"] == "cancelled"


def test_a_job_that_cannot_be_cancelled_does_not_hide_why(fake, file, warehouse, caplog):
    airbyte = refreshed(desk_at(fake, file, sync_minutes=0))
    fake.script = Script(("running",))
    fake.answer("DELETE", "/jobs/1", Answer(409))
    assert "was still running" in refusal(airbyte, warehouse)
    assert "Airbyte job 1 could not be cancelled and may go on" in caplog.text


# Rows of the raw tables.


def shuffled(seed):
    """Records that arrive in any order, extracted at any time."""

    def change(rows):
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        start = datetime(2026, 1, 1, tzinfo=UTC)
        moved = [{**row, "extracted_at": start + timedelta(seconds=chance.randrange(100))} for row in rows]
        chance.shuffle(moved)
        return moved

    return change


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_lost_or_taken_twice_whatever_the_order_of_extraction(
    *, seed, fake, airbyte, warehouse, undisturbed, small_slices
):
    steps = (lambda rows: rows[:50], lambda rows: rows[50:120], lambda rows: rows[120:])
    for step in steps:
        in_any_order = shuffled(seed)
        fake.script = Script(changed=lambda rows, step=step: in_any_order(step(rows)), keeps_state=False)  # noqa: B023
        sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)


def test_records_that_are_delivered_three_times_change_nothing(fake, airbyte, warehouse, undisturbed):
    fake.script = Script(changed=lambda rows: shuffled(7)(rows * 3))
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)


def test_a_state_that_falls_behind_delivers_again_and_changes_nothing(fake, airbyte, warehouse, undisturbed):
    sync(airbyte, warehouse)
    (states,) = fake.states.values()
    states["daily_bars"]["marks"]["IBM"]["session"] = "2012-12-03"
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)
    states.clear()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)


class PowerCut(Exception):  # noqa: N818 - what it is
    pass


def test_a_desk_that_dies_at_any_commit_takes_every_row_once(
    *, fake, airbyte, warehouse, undisturbed, small_slices, monkeypatch
):
    """Before or after each commit of each sync, one death after the other."""
    commit = ParquetWarehouse.append_delivery
    deaths = 0
    for number in itertools.count():
        commits = itertools.count()

        def dying(*arguments, commits=commits, number=number):
            dies = next(commits) == number // 2 % 3
            if dies and number % 2 == 0:
                raise PowerCut
            done = commit(*arguments)
            if dies:
                raise PowerCut
            return done

        monkeypatch.setattr(ParquetWarehouse, "append_delivery", dying)
        try:
            sync(airbyte, warehouse)
        except PowerCut:
            deaths += 1
        else:
            break
    assert deaths > 5
    assert_same(warehouse, undisturbed)


def test_rows_stay_in_order_when_the_servers_clock_is_set_back(fake, airbyte, warehouse, undisturbed):
    fake.script = Script(changed=lambda rows: rows[:50], keeps_state=False)
    sync(airbyte, warehouse)
    far = "_airbyte_loaded_at = '2037-01-01 00:00:00.000001'"
    fake.mysql.as_root(f"UPDATE {DAILY_BARS} SET {far}")  # noqa: S608
    fake.script = Script(changed=lambda rows: rows[50:])
    sync(airbyte, warehouse)
    # What was stamped anew is taken again; nothing that came after is lost.
    assert_same(warehouse, undisturbed, has_duplicates=True)
    assert warehouse.connection_state("market")["airbyte_server"]["daily_bars"] == "2037-01-01T00:00:00.000002Z"


def test_a_new_log_gets_everything(fake, airbyte, warehouse, tmp_path, undisturbed):
    sync(airbyte, warehouse)
    sync(airbyte, other := ParquetWarehouse(tmp_path / "other"))
    assert_same(other, undisturbed)


def test_two_processes_do_not_take_rows_at_once(fake, airbyte, warehouse, monkeypatch):
    monkeypatch.setattr("bentleybot_assets.mysql.address._READ_SECONDS", 2)
    with raw_tables.raw_tables(airbyte.destination.server(), RAW, "market"):
        assert "another process is taking its rows" in refusal(airbyte, warehouse)
    assert sync(airbyte, warehouse).passed


def test_a_desk_may_change_between_server_and_embedded(fake, airbyte, warehouse, undisturbed):
    sync(airbyte, warehouse)
    embedded().sync("market", STREAMS, warehouse, LOG)
    assert sync(airbyte, warehouse).deliveries == 0
    assert embedded().sync("market", STREAMS, warehouse, LOG).deliveries == 0
    assert_same(warehouse, undisturbed, has_duplicates=True)


# Raw tables that are not as they should be.


def test_a_table_that_may_not_be_read_is_told_with_the_grant(fake, airbyte, warehouse, undisturbed):
    fake.mysql.as_root(r"REVOKE SELECT, UPDATE ON `desk\_airbyte`.* FROM 'desk'@'127.0.0.1'")
    said = refusal(airbyte, warehouse)
    assert f"sees no raw table {DAILY_BARS}" in said
    assert r"GRANT SELECT, UPDATE ON `desk\_airbyte`.* TO 'desk'@'%';" in said
    fake.mysql.as_root(r"GRANT SELECT ON `desk\_airbyte`.* TO 'desk'@'127.0.0.1'")
    assert r"What it needs: GRANT SELECT, UPDATE ON `desk\_airbyte`.*" in refusal(airbyte, warehouse)
    share(fake.mysql, RAW)
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)


@pytest.mark.parametrize("right", ["CREATE", "DROP", "INDEX", "INSERT"])
def test_airbytes_user_needs_every_right_that_it_is_given(right, fake, airbyte, warehouse, undisturbed):
    fake.mysql.as_root(rf"REVOKE {right} ON `desk\_airbyte`.* FROM 'airbyte'@'127.0.0.1'")
    refusal(airbyte, warehouse)
    assert "denied" in fake.failures[-1]
    share(fake.mysql, RAW)
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed)


def test_airbytes_user_sees_nothing_of_the_desk(fake, airbyte, warehouse):
    (destination,) = fake.destinations.values()
    destination["configuration"]["database"] = "desk"
    refusal(airbyte, warehouse)
    assert "denied" in fake.failures[-1]


def test_a_table_whose_new_rows_cannot_be_told_is_refused(fake, airbyte, warehouse):
    sync(airbyte, warehouse)
    column = "_airbyte_loaded_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"
    fake.mysql.as_root(f"ALTER TABLE {DAILY_BARS} MODIFY {column}")
    assert "cannot be null, so that new rows cannot be told" in refusal(airbyte, warehouse)


def test_a_server_of_raw_tables_that_is_away_is_told(fake, file, warehouse):
    refreshed(desk_at(fake, file))
    airbyte = desk_at(fake, file)
    nowhere = airbyte.model_copy(update={"destination": airbyte.destination.model_copy(update={"port": 1})})
    assert re.match(r"market: desk@127.0.0.1:1/desk, table of desk_airbyte: ", refusal(nowhere, warehouse))
    assert "127.0.0.1:1" in nowhere.check("market")


# Schemas that drift.


def changing(**changes):
    def change(rows):
        for row in rows:
            if row["stream"] == "daily_bars":
                row["data"] |= changes
        return rows

    return change


def test_a_new_field_is_kept_and_reported(fake, airbyte, warehouse):
    fake.script = Script(changed=changing(vwap=10.5))
    assert sync(airbyte, warehouse).streams["daily_bars"].undeclared == {"vwap"}
    assert set(log_of(warehouse)["daily_bars"]["extra"]) == {'{"vwap": 10.5}'}


@pytest.mark.parametrize(
    ("changes", "rule", "column"),
    [({"close": "10,5"}, "column_type", "close"), ({"price_basis": "guessed"}, "isin", "price_basis")],
)
def test_a_retyped_or_senseless_value_is_refused_and_mended_by_a_refresh_of_the_stream(
    *, changes, rule, column, fake, airbyte, warehouse, undisturbed, caplog
):
    fake.script = Script(changed=changing(**changes))
    result = sync(airbyte, warehouse)
    assert not result.passed
    (fault,) = result.streams["daily_bars"].faults
    assert (fault.rule.partition("(")[0], fault.column) == (rule, column)
    assert digest(warehouse) == {}
    assert "refresh the stream's data in Airbyte (http://" in caplog.text
    # Airbyte's refresh: tables and STATE are replaced.
    fake.mysql.as_root(f"DROP TABLE {DAILY_BARS}")
    fake.states.clear()
    fake.script = Script()
    sync(airbyte, warehouse)
    assert_same(warehouse, undisturbed, has_duplicates=True)


def test_a_record_without_a_column_that_is_never_null_is_refused(fake, airbyte, warehouse):
    def without_currency(rows):
        return [{**row, "data": {k: v for k, v in row["data"].items() if k != "currency"}} for row in rows]

    fake.script = Script(changed=without_currency)
    faults = sync(airbyte, warehouse).streams["daily_bars"].faults
    assert [(fault.rule, fault.column) for fault in faults] == [("column_exists", "currency")]
    assert digest(warehouse) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, "it has no field volume"), ({"volume": {"type": "string"}}, "its field volume is string, not number")],
)
def test_a_source_that_has_lost_or_retyped_a_column_is_refused_before_anything_is_read(
    changes, said, fake, airbyte, warehouse
):
    def declared(stream, schema):
        kept = {name: told for name, told in schema["properties"].items() if name != "volume"}
        return {**schema, "properties": kept | changes} if stream == "daily_bars" else schema

    fake.declared = declared
    assert f"market, stream daily_bars: {said}. Mend the source" in refusal(airbyte, warehouse)
    assert fake.jobs == {}


def test_recorded_data_are_not_taken_for_real_ones(fake, file, warehouse):
    said = refusal(refreshed(desk_at(fake, file, mode="yahoo")), warehouse)
    assert "reads corporate_actions in mode sample, but the settings say yahoo" in said


# What is known of the workspace.


def test_without_what_was_saved_the_command_is_named(fake, file, warehouse):
    airbyte = desk_at(fake, file)
    said = refusal(airbyte, warehouse)
    assert f"{file} is missing. Run `bentleybot airbyte refresh`." in said
    assert airbyte.check("market") == said


def test_what_was_saved_of_another_workspace_is_not_used(fake, file, warehouse, mariadb):
    refreshed(desk_at(fake, file))
    with serving(FakeAirbyte(mariadb)) as other:
        assert "but the settings name workspace" in refusal(desk_at(other, file), warehouse)


def test_a_connection_that_was_deleted_since_is_told(fake, airbyte, warehouse):
    fake.connections.clear()
    said = refusal(airbyte, warehouse)
    assert "was answered 404" in said
    assert "run `bentleybot airbyte refresh`" in said


@pytest.mark.parametrize(
    ("destination", "said"),
    [({"disable_type_dedupe": False}, "with typed tables, which round numbers"), ({}, "of type postgres. It needs")],
)
def test_a_destination_that_would_change_values_is_refused(destination, said, fake, file, warehouse):
    (made,) = fake.destinations.values()
    made["configuration"] |= destination
    made["destinationType"] = "mysql" if destination else "postgres"
    assert said in refusal(refreshed(desk_at(fake, file)), warehouse)
    assert fake.jobs == {}


def test_a_stream_that_is_not_selected_is_told(fake, file, warehouse):
    (made,) = fake.connections.values()
    made["configurations"]["streams"] = made["configurations"]["streams"][:1]
    said = refusal(refreshed(desk_at(fake, file)), warehouse)
    assert "market: it does not sync corporate_actions, only daily_bars." in said
    assert fake.jobs == {}


def test_a_stream_that_was_deselected_since_is_told(fake, airbyte, warehouse):
    (made,) = fake.connections.values()
    made["configurations"]["streams"] = made["configurations"]["streams"][:1]
    assert "market: it does not sync corporate_actions any more." in refusal(airbyte, warehouse)
    assert fake.jobs == {}


def test_a_connection_says_whether_it_could_be_read(fake, airbyte):
    assert airbyte.check("market") is None
    (made,) = fake.connections.values()
    made["status"] = "inactive"
    assert re.match(r"market is inactive on http://\S+: enable it \(http", airbyte.check("market"))
    assert "had no connection of this name" in airbyte.check("broker")


def test_two_connections_of_our_name_are_refused_and_what_was_saved_stays(fake, airbyte, file):
    before = file.read_text()
    fake.add_connection("market", CONFIG, STREAMS)
    ids = ", ".join(sorted(fake.connections))
    with pytest.raises(SyncError, match=f"has 2 connections named market: {ids}. Rename or delete all but one"):
        airbyte.refresh(["market"])
    assert file.read_text() == before


def test_a_refresh_that_fails_leaves_what_was_saved(fake, airbyte, file):
    before = file.read_text()
    fake.is_down = True
    with pytest.raises(SyncError, match="no answer"):
        airbyte.refresh(["market"])
    assert file.read_text() == before


def test_connections_of_others_may_share_a_name_and_fill_pages(fake, file):
    for _ in range(120):
        fake._make("connections", {**next(iter(fake.connections.values())), "name": "theirs"})
    assert len(desk_at(fake, file).refresh(["market"]).connections) == 121
