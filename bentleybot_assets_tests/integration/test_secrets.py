"""Keys of a connection stay out of what Dagster keeps: snapshots of the code location, runs and their events."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap

from bentleybot_assets.definitions import build_defs
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.resources.airbyte import scripted_source
from bentleybot_assets_tests.resources.airbyte.raw_bars import bar

SECRET = "hunter2-hunter2"  # noqa: S105 - a made-up one
BARS = dg.AssetKey(["raw", "market", "daily_bars"])


@pytest.fixture(params=["in the file", "in a variable"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TEST_API_KEY", SECRET)
    key = SECRET if request.param == "in the file" else {"env": "TEST_API_KEY"}
    market = {
        "source": f"{scripted_source.__name__}:ScriptedSource",
        "config": {"mode": "sample", "api_key": key},
    }
    (tmp_path / "bentleybot.yaml").write_text(yaml.safe_dump({"connections": {"market": market}}))
    return Settings.load(tmp_path)


def test_no_snapshot_run_or_event_holds_a_key(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = {"daily_bars": [[bar()], RuntimeError(f"the key {SECRET} is refused")]}
    monkeypatch.setattr(scripted_source, "SCRIPT", failing)
    history = tmp_path / "history"
    history.mkdir()
    defs = build_defs(settings)
    job = dg.define_asset_job("probe", selection=[BARS])
    with dg.DagsterInstance.local_temp(str(history)) as instance:
        result = (
            dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
            .resolve_job_def("probe")
            .execute_in_process(instance=instance, raise_on_error=False)
        )
    assert not result.success
    kept = list(kept_below(history))
    assert any("is refused" in text for text in kept)
    assert any("ScriptedSource" in text or "probe" in text for text in kept)
    assert [text[:200] for text in kept if SECRET in text] == []
    assert SECRET not in dg.serialize_value(RepositorySnap.from_def(defs.get_repository_def()))


def kept_below(folder: Path) -> Iterator[str]:
    """Every text that files and SQLite databases of a folder hold, unpacked."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if path.suffix != ".db":
            yield path.read_text(errors="replace")
            continue
        with sqlite3.connect(path) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608
                    for cell in row:
                        yield unpacked(cell) if isinstance(cell, bytes) else str(cell)


def unpacked(cell: bytes) -> str:
    with suppress(zlib.error):
        cell = zlib.decompress(cell)
    return cell.decode(errors="replace")
