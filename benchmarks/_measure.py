"""Fresh processes, their CPU seconds, and ratios held against bars.

Every side of a comparison is a :class:`Case`: a process started anew for each sample. Either the whole process
counts, or the part of it that it ran inside a :class:`Section`, so that imports and preparation stay out. The sides
take turns (A B A B), so that a busy machine slows them alike, and medians are compared.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
WORK = Path(__file__).parent / ".work"
"""Data, environments and logs of the benchmarks; may be deleted at any time."""

_SMALL, _LARGE = 0.01, 100
_PREFIXES_OF_OURS = ("BENTLEYBOT_", "DAGSTER_", "MLFLOW_", "PYTHON")


class Section:
    """A context in which CPU counts: user and system, all threads, children that have ended."""

    def __init__(self) -> None:
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._start = _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += _cpu() - self._start


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@dataclass(frozen=True)
class Case:
    """One side of a comparison: a command to start.

    Attributes:
        name: what it is, for people.
        command: program and arguments.
        folder: where it runs; made anew if it is None.
        is_reporting: it prints, as its last line, a JSON object with ``cpu`` (seconds of its section) and anything
            else it wants to tell; otherwise the whole process counts.
    """

    name: str
    command: tuple[str, ...]
    folder: Path | None = ROOT
    is_reporting: bool = False

    def asked(self, **arguments: Any) -> Case:
        """The same function case with more arguments."""
        *program, given = self.command
        return replace(self, command=(*program, json.dumps({**json.loads(given), **arguments})))


@dataclass
class Samples:
    """What a case cost, sample by sample, and what its last process told."""

    cpu: list[float] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu)


def function_case(
    name: str, function: Callable[..., Any], *, python: Path = Path(sys.executable), **arguments: Any
) -> Case:
    """A case that calls ``function(section, **arguments)`` in a process of ``python``; what it returns is told."""
    command = (str(python), "-m", "benchmarks._case", f"{function.__module__}:{function.__name__}")
    return Case(name, (*command, json.dumps(arguments)), is_reporting=True)


def import_case(modules: str) -> Case:
    """A case that imports ``modules``."""
    return Case(f"import {modules}", (sys.executable, "-c", f"import {modules}"), folder=None)


def take_turns(cases: Mapping[str, Case], rounds: int) -> dict[str, Samples]:
    """Run all cases in turn, ``rounds`` times."""
    samples = {name: Samples() for name in cases}
    for number in range(rounds):
        for name, case in cases.items():
            _progress(f"round {number + 1} of {rounds}: {case.name}")
            run(case, samples[name])
    _progress("")
    return samples


def run(case: Case, samples: Samples | None = None) -> dict[str, Any]:
    """Run a case once; return what it told.

    Raises:
        RuntimeError: the process failed; the message has the end of what it wrote.
    """
    with tempfile.TemporaryDirectory(dir=work_folder()) as fresh, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            case.command,
            cwd=case.folder or fresh,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        output = process.stdout.read()
        # Not process.wait(): this one also says what the process cost.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            end = (output + errors.read())[-4000:]
            raise RuntimeError(f"{case.name} ended with {process.returncode}: {' '.join(case.command)}\n{end}")
    told = json.loads(output.splitlines()[-1]) if case.is_reporting else {}
    if samples is not None:
        samples.cpu.append(told["cpu"] if case.is_reporting else usage.ru_utime + usage.ru_stime)
        samples.told = told
    return told


def work_folder(*parts: str) -> Path:
    """A folder below :data:`WORK`, made if it is missing."""
    folder = WORK.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment() -> dict[str, str]:
    """This environment without what would change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES_OF_OURS)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Bar:
    """What a figure is held against."""

    limit: float
    is_minimum: bool = False

    def is_met(self, value: float) -> bool:
        """Whether ``value`` is good enough."""
        return value >= self.limit if self.is_minimum else value <= self.limit

    def text(self, unit: str) -> str:
        """The bar in words."""
        return f"at {'least' if self.is_minimum else 'most'} {_number(self.limit)} {unit}"


@dataclass(frozen=True)
class Line:
    """One figure of a report. ``is_met`` is None where there is no bar; a value of None was not measured."""

    what: str
    value: float | None
    unit: str
    bar: str | None = None
    is_met: bool | None = None
    samples: tuple[float, ...] = ()
    why_not_measured: str | None = None


def cpu_line(what: str, samples: Samples) -> Line:
    """Median CPU seconds of a case."""
    return Line(what, samples.median, "CPU s", samples=tuple(samples.cpu))


def barred_line(what: str, value: float | None, unit: str, bar: Bar, why_not: str | None = None) -> Line:
    """A figure with its bar; ``why_not`` says why there is no figure."""
    if value is None:
        return Line(what, None, unit, bar.text(unit), why_not_measured=why_not)
    return Line(what, value, unit, bar.text(unit), bar.is_met(value))


@dataclass(frozen=True)
class Report:
    """The figures of one benchmark."""

    name: str
    title: str
    lines: tuple[Line, ...]

    @property
    def is_met(self) -> bool:
        """Whether no bar was missed."""
        return all(line.is_met is not False for line in self.lines)

    def text(self) -> str:
        """The report as a plain table."""
        rows = [_row(line) for line in self.lines]
        width = max(len(row[0]) for row in rows)
        body = "\n".join(f"  {what:<{width}}  {value:>22}  {verdict}".rstrip() for what, value, verdict in rows)
        return f"{self.name}: {self.title}\n{body}\n"

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def _row(line: Line) -> tuple[str, str, str]:
    if line.value is None:
        return line.what, "not measured", f"bar: {line.bar}; {line.why_not_measured}"
    value = f"{_number(line.value)} {line.unit}"
    if line.bar is not None:
        return line.what, value, f"bar: {line.bar}: {'met' if line.is_met else 'NOT MET'}"
    spread = f"{min(line.samples):.2f} to {max(line.samples):.2f}, {len(line.samples)} samples" if line.samples else ""
    return line.what, value, spread


def _number(value: float) -> str:
    """Three digits or so, without powers of ten where it can be."""
    if 0 < abs(value) < _SMALL:
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.2f}"


@dataclass(frozen=True)
class Options:
    """What the command line asks of every benchmark."""

    is_quick: bool

    def pick(self, full: Any, quick: Any) -> Any:
        """``quick`` in a quick run, otherwise ``full``."""
        return quick if self.is_quick else full


Benchmark = Callable[[Options], Report]
Benchmarks = Mapping[str, Benchmark]
