"""The same records through dlt. This function runs in an environment of its own, which has dlt and not us."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._measure import Section


def load(section: Section, records: str, work: str) -> dict[str, Any]:
    """Append records, read before, to Parquet files with dlt's state beside them, as it comes.

    Args:
        section: measures the load; a small one before it imports what is imported late.
        records: a file of them, one JSON object a line.
        work: where the files may lie.
    """
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    with Path(records).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        _append(rows[:10], f"{folder}/first")
        with section:
            _append(rows, f"{folder}/second")
        written = sum(1 for _ in Path(folder, "second", "log").rglob("*.parquet"))
    assert written
    return {"records": len(rows)}


def _append(rows: list[dict[str, Any]], folder: str) -> None:
    import dlt

    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/log"),
        dataset_name="raw",
    )
    bars = dlt.resource(rows, name="daily_bars", write_disposition="append")
    pipeline.run(bars, loader_file_format="parquet").raise_on_failed_jobs()
