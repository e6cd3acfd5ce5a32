"""A desk whose connections an Airbyte server carries out is the desk that reads them itself, to the byte."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from bentleybot_assets.definitions import build_defs
from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.resources.airbyte.fake_server import FakeAirbyte, Script, serving
from bentleybot_assets_tests.resources.airbyte.server_desk import STREAMS, desk_at, embedded, empty_raw_database

KEYS = [
    dg.AssetKey(["raw", "market", "daily_bars"]),
    dg.AssetKey(["raw", "market", "corporate_actions"]),
    dg.AssetKey(["market", "instruments"]),
    dg.AssetKey(["market", "daily_bars"]),
]
SOURCE = {"mode": "sample", "symbols": ["FB", "IBM", "KO", "USMV", "^GSPC"], "start_date": "2012-01-03"}


@pytest.fixture
def fake(mariadb, mysql_server):
    empty_raw_database(mariadb)
    with serving(FakeAirbyte(mariadb)) as server:
        server.add_connection("market", SOURCE, STREAMS)
        yield server


def materialised(home: Path, airbyte: Airbyte) -> dg.ExecuteInProcessResult:
    """A run of the bars' part of the graph."""
    watchlist = tuple(entry for entry in Settings.load().watchlist if entry.symbol in SOURCE["symbols"])
    settings = Settings.load().model_copy(update={"home": home, "watchlist": watchlist})
    definitions = build_defs(settings, resources={"airbyte": airbyte})
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(asset_selection=KEYS, instance=instance, raise_on_error=False)


def files_of(home: Path, table: str) -> dict[str, bytes]:
    folder = home / "warehouse" / table
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.parquet"))}


def test_both_modes_publish_the_same_bytes_of_daily_bars(fake, tmp_path):
    assert materialised(tmp_path / "embedded", embedded(**SOURCE)).success
    airbyte = desk_at(fake, tmp_path / "airbyte.json")
    airbyte.refresh(["market"])
    # Half of it, in a job that then fails, and all of it again.
    fake.script = Script(("running", "failed"), changed=lambda rows: rows[: len(rows) // 2], keeps_state=False)
    assert not materialised(tmp_path / "server", airbyte).success
    fake.script = Script(("queued", "running", "succeeded"))
    synced = materialised(tmp_path / "server", airbyte)
    assert synced.success
    for table in ("market/instruments", "market/daily_bars"):
        expected = files_of(tmp_path / "embedded", table)
        assert len(expected) >= 1
        assert files_of(tmp_path / "server", table) == expected
    (event,) = synced.asset_materializations_for_node("market_connection")[:1]
    assert {"airbyte_job", "rows_synced", "bytes_synced", "airbyte_connection", "state"} <= event.metadata.keys()
    assert event.metadata["airbyte_job"].value == 2


def test_a_job_that_fails_fails_the_check_of_the_sync_and_nothing_after_it_runs(fake, tmp_path):
    airbyte = desk_at(fake, tmp_path / "airbyte.json")
    airbyte.refresh(["market"])
    fake.script = Script(("running", "failed"))
    run = materialised(tmp_path / "server", airbyte)
    failed = [check for check in run.get_asset_check_evaluations() if not check.passed]
    assert {check.check_name for check in failed} == {"last_sync_succeeded"}
    assert all("Airbyte job 1 ended as failed" in check.description for check in failed)
    assert run.get_asset_materialization_events() == []
