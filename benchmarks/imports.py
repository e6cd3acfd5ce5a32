"""Importing the code location, against importing the two frameworks it stands on."""

from __future__ import annotations

import subprocess
import sys

from benchmarks._measure import (
    ROOT,
    Bar,
    Options,
    Report,
    barred_line,
    cpu_line,
    import_case,
    run,
    take_turns,
)

BASE = "dagster, pandera.polars"


def measure(options: Options) -> Report:
    """Run the benchmark."""
    cases = {"base": import_case(BASE), "ours": import_case("bentleybot_assets.definitions")}
    compile_bytecode()
    for case in cases.values():
        run(case)
    samples = take_turns(cases, options.pick(7, 3))
    lines = (
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        barred_line("code location / frameworks", samples["ours"].median / samples["base"].median, "x", Bar(1.25)),
    )
    return Report("imports", "bytecode compiled on both sides", lines)


def compile_bytecode() -> None:
    """Compile our package. What installed packages lack is compiled by importing them once before measuring."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "bentleybot_assets")], check=True)
