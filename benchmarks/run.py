"""``bentleybot run`` in an empty folder: the whole desk once, from sync to brief."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import imports
from benchmarks._measure import (
    Bar,
    Case,
    Options,
    Report,
    barred_line,
    cpu_line,
    import_case,
    run,
    take_turns,
)


def measure(options: Options) -> Report:
    """Run the benchmark."""
    command = str(Path(sys.executable).with_name("bentleybot"))
    cases = {
        "base": import_case(imports.BASE),
        # A new folder each time: no state, and the configuration that the package brings.
        "run": Case("bentleybot run, fresh state", (command, "run"), folder=None),
    }
    imports.compile_bytecode()
    run(replace(cases["run"], name="a run that compiles what is imported late"))
    samples = take_turns(cases, options.pick(3, 1))
    lines = (
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        barred_line("run / import of the frameworks", samples["run"].median / samples["base"].median, "x", Bar(10)),
    )
    return Report("run", "once installed, sample data, to the brief", lines)
