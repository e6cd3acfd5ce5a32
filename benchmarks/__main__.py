"""``python -m benchmarks [NAME ...] [--quick] [--json FILE]``; exit code 1 if a bar is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks import connector, contract, features, imports, mysql, overhead, run
from benchmarks._measure import Benchmarks, Options

BENCHMARKS: Benchmarks = {
    "features": features.measure,
    "contract": contract.measure,
    "overhead": overhead.measure,
    "connector": connector.measure,
    "mysql": mysql.measure,
    "imports": imports.measure,
    "run": run.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the platform costs, as ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="less data, fewer rounds: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure and sample here")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")

    machine = f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"
    print(f"{machine}. CPU seconds are user and system time of fresh processes; medians.\n", flush=True)
    reports = []
    for name in arguments.names or BENCHMARKS:
        report = BENCHMARKS[name](Options(is_quick=arguments.quick))
        print(report.text(), flush=True)
        reports.append(report)
    if arguments.json:
        content = {"machine": machine, "is_quick": arguments.quick, "reports": [report.as_json() for report in reports]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    missed = [report.name for report in reports if not report.is_met]
    print(f"Bars missed in: {', '.join(missed)}." if missed else "No bar was missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
