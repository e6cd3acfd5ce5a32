"""Runs of tiny assets with checks, recorded by a Dagster instance of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

EVIDENCE = "cheapest -1.0"
PARTITIONS = dg.StaticPartitionsDefinition(["2022-12-27", "2022-12-28"])


def run_of(
    instance: dg.DagsterInstance,
    *,
    red: bool = True,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    partition_key: str | None = None,
    table: str = "market/prices",
) -> dg.ExecuteInProcessResult:
    """A run of ``table``: a check that passes, and one that is ``red`` or not and stops the run at ERROR."""
    key = dg.AssetKey(table.split("/"))

    @dg.asset(
        key=key,
        check_specs=[dg.AssetCheckSpec("positive", asset=key), dg.AssetCheckSpec("sorted", asset=key)],
        partitions_def=PARTITIONS if partition_key else None,
    )
    def prices() -> Iterator[object]:
        yield dg.AssetCheckResult(check_name="sorted", passed=True)
        yield dg.AssetCheckResult(
            check_name="positive", passed=not red, severity=severity, description=EVIDENCE if red else None
        )
        if red and severity == dg.AssetCheckSeverity.ERROR:
            raise dg.Failure(f"{table} was not published.", allow_retries=False)
        yield dg.Output(None)

    return dg.materialize([prices], instance=instance, partition_key=partition_key, raise_on_error=False)
