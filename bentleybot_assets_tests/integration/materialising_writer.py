"""A process that materialises assets in runs of its own: ``materialising_writer NAME RUNS``.

It waits for a line on its input, so that several begin together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import dagster as dg

ASSETS = tuple(f"shared_{number}" for number in range(5))
WRITES = dg.DynamicPartitionsDefinition(name="writes")


@dg.multi_asset(specs=[dg.AssetSpec(name) for name in ASSETS], partitions_def=WRITES)
def shared() -> Iterator[dg.MaterializeResult]:
    """Assets that all writers materialise, each under partitions of its own."""
    for name in ASSETS:
        yield dg.MaterializeResult(name)


if __name__ == "__main__":
    name, runs = sys.argv[1], int(sys.argv[2])
    with dg.DagsterInstance.get() as instance:
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        for run in range(runs):
            instance.add_dynamic_partitions("writes", [f"{name}-{run}"])
            dg.materialize([shared], instance=instance, partition_key=f"{name}-{run}")
