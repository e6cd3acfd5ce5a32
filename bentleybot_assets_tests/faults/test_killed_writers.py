"""kill -9 at every write point: a re-run reaches what an undisturbed run reaches."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.faults import killed_writer
from bentleybot_assets_tests.faults.dying import Context, exit_code, forkserver, parts
from bentleybot_assets_tests.faults.killed_writer import DailyBars, count_or_die, digest

STRIDE = 20


@pytest.fixture(scope="module")
def processes() -> Context:
    return forkserver(killed_writer.__name__, "airbyte_cdk.sources")


@pytest.mark.parametrize("first", parts(STRIDE))
def test_a_writer_killed_at_any_point_leaves_nothing_that_a_re_run_does_not_mend(
    tmp_path: Path, processes: Context, first: int
) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert exit_code(processes, count_or_die, undisturbed, None) == 0
    expected = digest(undisturbed / "desk")
    points = int((undisturbed / "points").read_text())
    assert points > 100
    bars = expected["market__daily_bars"]
    whole_versions = {None, len(bars), sum(row[1] < killed_writer.TUESDAY for row in bars)}

    for die_at in range(first, points, STRIDE):
        folder = tmp_path / f"killed-at-{die_at}"
        assert exit_code(processes, count_or_die, folder, die_at) == -signal.SIGKILL
        assert ParquetWarehouse(folder / "desk" / "warehouse").row_count(DailyBars) in whole_versions, die_at
        assert exit_code(processes, count_or_die, folder, None) == 0, die_at
        assert digest(folder / "desk") == expected, die_at
