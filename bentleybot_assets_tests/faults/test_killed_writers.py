"""kill -9 at every write point: a re-run reaches what an undisturbed run reaches."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.faults import killed_writer
from bentleybot_assets_tests.faults.killed_writer import DailyBars, count_or_die, digest

STRIDE = 20
"""The sweep is cut into tests that run beside each other. One of them runs always, the others in `make faults`."""


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Children that have the imports done but no thread running yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([killed_writer.__name__, "airbyte_cdk.sources", "alembic.command"])
    return context


def run(context: multiprocessing.context.ForkServerContext, folder: Path, die_at: int | None) -> int | None:
    process = context.Process(target=count_or_die, args=(folder, die_at))
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.sweep) for first in range(1, STRIDE))])
def test_a_writer_killed_at_any_point_leaves_nothing_that_a_re_run_does_not_mend(
    tmp_path: Path, processes: multiprocessing.context.ForkServerContext, first: int
) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert run(processes, undisturbed, None) == 0
    expected = digest(undisturbed / "desk")
    points = int((undisturbed / "points").read_text())
    assert points > 100
    bars = expected["market__daily_bars"]
    whole_versions = {None, len(bars), sum(row[1] < killed_writer.TUESDAY for row in bars)}

    for die_at in range(first, points, STRIDE):
        folder = tmp_path / f"killed-at-{die_at}"
        assert run(processes, folder, die_at) == -signal.SIGKILL
        assert ParquetWarehouse(folder / "desk" / "warehouse").row_count(DailyBars) in whole_versions, die_at
        assert run(processes, folder, None) == 0, die_at
        assert digest(folder / "desk") == expected, die_at
