"""Fourteen features of many instruments: the platform, bare polars, and Qlib with and without its cache."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import pyqlib
from benchmarks._environment import UnavailableError, environment
from benchmarks._measure import (
    Bar,
    Case,
    Line,
    Options,
    Report,
    Section,
    barred_line,
    cpu_line,
    function_case,
    run,
    take_turns,
    work_folder,
)
from benchmarks.contracts import Bars, Features
from benchmarks.data import FULL, QUICK, Stored, stored
from bentleybot_assets.core import indicators
from bentleybot_assets.core.audit import audit
from bentleybot_assets.warehouse.parquet import ParquetWarehouse

_LONGEST_WINDOW = 60
_BAR_COLUMNS = ("symbol", "session", "high", "low", "close", "volume")
_POLARS_TOLERANCE = 1e-9
_QLIB_TOLERANCE = 1e-4
"""Qlib stores and returns 32-bit floats."""


def measure(options: Options) -> Report:
    """Run the benchmark."""
    size = options.pick(FULL, QUICK)
    bars = stored(size)
    parquet, warehouse = str(bars.parquet), str(bars.warehouse)
    cases = {
        "platform": function_case("platform: warehouse to features", platform, warehouse=warehouse),
        "published": function_case("platform: and publish them, audited", platform_published, warehouse=warehouse),
        "over": function_case("bare polars: one parquet file, over()", bare_over, parquet=parquet),
        "grouped": function_case("bare polars: group_by().agg().explode()", bare_grouped, parquet=parquet),
    }
    with ExitStack() as servers:
        qlib, missing = _qlib_cases(bars, servers)
        cases |= qlib
        agreement = _agreement(cases)
        samples = take_turns(cases, options.pick(3, 2))
        # What is cheap and compared closely gets more rounds.
        cheap = {name: case for name, case in cases.items() if name not in qlib}
        more = take_turns(cheap, options.pick(4, 0))
    for name, sample in more.items():
        samples[name].cpu.extend(sample.cpu)
    cpu = {name: sample.median for name, sample in samples.items()}
    polars = min(cpu["over"], cpu["grouped"])
    lines = [
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        barred_line("platform / bare polars, its cheaper form", cpu["platform"] / polars, "x", Bar(1.2)),
        Line("platform with publishing / the same", cpu["published"] / polars, "x"),
        barred_line(
            "Qlib without cache / platform",
            cpu["qlib"] / cpu["platform"] if "qlib" in cpu else None,
            "x",
            Bar(8, is_minimum=True),
            missing.get("qlib"),
        ),
        barred_line(
            "platform / Qlib's warm dataset cache",
            cpu["platform"] / cpu["qlib_cache"] if "qlib_cache" in cpu else None,
            "x",
            Bar(1),
            missing.get("qlib_cache"),
        ),
        *agreement,
    ]
    return Report("features", f"14 features of {size}", tuple(lines))


def platform(section: Section, warehouse: str, output: str | None = None) -> None:
    """Read the bars from the warehouse and compute the features with the platform's indicators."""
    with section:
        features = _grouped(_bars(warehouse), _platform_features())
    _keep(features, output)


def platform_published(section: Section, warehouse: str, output: str | None = None) -> None:
    """The same, and the table of features audited and published."""
    with tempfile.TemporaryDirectory(dir=work_folder()) as folder, section:
        features = _grouped(_bars(warehouse), _platform_features())
        outcome = audit(Features, features)
        assert outcome.published is not None
        ParquetWarehouse(Path(folder)).publish(Features, outcome.published)
    _keep(features, output)


def _bars(warehouse: str) -> pl.LazyFrame:
    return ParquetWarehouse(Path(warehouse)).read(Bars, columns=_BAR_COLUMNS).lazy()


def bare_over(section: Section, parquet: str, output: str | None = None) -> None:
    """Read one parquet file and compute the features with hand-written window expressions."""
    with section:
        features = (
            pl.scan_parquet(parquet)
            .select(
                "symbol", "session", *(value.over("symbol").alias(name) for name, value in _bare_features().items())
            )
            .collect()
        )
    _keep(features, output)


def bare_grouped(section: Section, parquet: str, output: str | None = None) -> None:
    """The same expressions in the form that is cheaper where rows are sorted by symbol."""
    with section:
        features = _grouped(pl.scan_parquet(parquet), _bare_features())
    _keep(features, output)


def _grouped(bars: pl.LazyFrame, features: Mapping[str, pl.Expr]) -> pl.DataFrame:
    return (
        bars.group_by("symbol", maintain_order=True).agg("session", **features).explode("session", *features).collect()
    )


def _platform_features() -> dict[str, pl.Expr]:
    """The formulas with the platform's indicators where it has them, and as carefully as it writes the others.

    Null, not infinite or NaN, where nothing was traded or the price never moved; each window computed once.
    """
    high, low, close, volume = (pl.col(name) for name in ("high", "low", "close", "volume"))
    to_highest, from_lowest = high.rolling_max(14) - close, close - low.rolling_min(14)
    return {
        **{f"ret{n}": indicators.simple_return(close, n) for n in (1, 5, 20, 60)},
        **{f"ma{n}": close.rolling_mean(n) / close for n in (5, 20, 60)},
        **{f"std{n}": close.rolling_std(n) / close for n in (5, 20)},
        "max20": high.rolling_max(20) / close,
        "min20": low.rolling_min(20) / close,
        "vr20": volume / volume.rolling_mean(20).replace(0.0, None),
        "corr20": pl.rolling_corr(close, (volume + 1).log(), window_size=20),
        "stoch14": 1 / (1 + (to_highest / from_lowest).replace(math.nan, None)),
    }


def _bare_features() -> dict[str, pl.Expr]:
    h, l, c, v = (pl.col(name) for name in ("high", "low", "close", "volume"))  # noqa: E741 - as in the formulas
    return {
        **{f"ret{n}": c / c.shift(n) - 1 for n in (1, 5, 20, 60)},
        **{f"ma{n}": c.rolling_mean(n) / c for n in (5, 20, 60)},
        **{f"std{n}": c.rolling_std(n) / c for n in (5, 20)},
        "max20": h.rolling_max(20) / c,
        "min20": l.rolling_min(20) / c,
        "vr20": v / v.rolling_mean(20),
        "corr20": pl.rolling_corr(c, (v + 1).log(), window_size=20),
        "stoch14": (c - l.rolling_min(14)) / (h.rolling_max(14) - l.rolling_min(14)),
    }


def _qlib_cases(bars: Stored, servers: ExitStack) -> tuple[dict[str, Case], dict[str, str]]:
    """The cases that this machine can run, and why it cannot run the others."""
    try:
        python = environment("pyqlib")
    except UnavailableError as error:
        return {}, dict.fromkeys(("qlib", "qlib_cache"), str(error))
    common: dict[str, Any] = {"python": python, "data": str(bars.qlib)}
    cases = {"qlib": function_case("Qlib: without cache", pyqlib.no_cache, **common)}
    try:
        port = servers.enter_context(pyqlib.redis())
    except UnavailableError as error:
        return cases, {"qlib_cache": str(error)}
    case = function_case("Qlib: warm dataset cache", pyqlib.dataset_cache, **common, redis_port=port)
    return {**cases, "qlib_cache": case}, {}


def _keep(features: pl.DataFrame, output: str | None) -> None:
    if output is not None:
        features.write_parquet(output)


def _agreement(cases: Mapping[str, Case]) -> list[Line]:
    """How far each result is from the platform's, on rows whose longest window is full.

    The runs for it are not measured. They also make Qlib's cache.
    """
    ours = _output(cases["platform"])
    lines = []
    for name, tolerance in (
        ("over", _POLARS_TOLERANCE),
        ("grouped", _POLARS_TOLERANCE),
        ("qlib", _QLIB_TOLERANCE),
        ("qlib_cache", _QLIB_TOLERANCE),
    ):
        if name in cases:
            theirs = _output(cases[name])
            assert theirs.select("symbol", "session").equals(ours.select("symbol", "session")), name
            difference = max(_difference(ours[feature], theirs[feature]) for feature in _bare_features())
            lines.append(barred_line(f"largest difference, {cases[name].name}", difference, "rms", Bar(tolerance)))
    return lines


def _output(case: Case) -> pl.DataFrame:
    file = work_folder() / "output.parquet"
    run(case.asked(output=str(file)))
    features = pl.read_parquet(file).with_columns(pl.col("session").cast(pl.Date)).sort("symbol", "session")
    file.unlink()
    return features.filter(pl.int_range(pl.len()).over("symbol") >= _LONGEST_WINDOW)


def _difference(ours: pl.Series, theirs: pl.Series) -> float:
    """Largest difference of two columns, in root mean squares of ours."""
    assert ours.null_count() == theirs.fill_nan(None).null_count() == 0
    squares: Any = (ours**2).mean()
    largest: Any = (ours - theirs).abs().max()
    return float(largest) / math.sqrt(squares)
