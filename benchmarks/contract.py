"""The audit of a table of daily bars, against the same rules as bare polars expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from benchmarks._measure import (
    Bar,
    Line,
    Options,
    Report,
    Section,
    barred_line,
    cpu_line,
    function_case,
    take_turns,
)
from benchmarks.contracts import Bars
from benchmarks.data import FULL, QUICK, stored
from bentleybot_assets.core.audit import audit

_SEED = 1
_BAD_SHARE = 0.01
_PRICES = ("open", "high", "low", "close", "adjusted_close")


def measure(options: Options) -> Report:
    """Run the benchmark."""
    size = options.pick(FULL, QUICK)
    parquet = str(stored(size).parquet)
    cases = {
        f"{side.__name__}, {state}": function_case(f"{words}, {state}", side, parquet=parquet, bad_share=share)
        for state, share in (("clean", 0.0), ("1 % bad rows", _BAD_SHARE))
        for side, words in (
            (platform, "core.audit.audit"),
            (bare, "bare polars expressions"),
            (bare_in_order, "bare polars that trusts the order of keys"),
        )
    }
    samples = take_turns(cases, options.pick(7, 3))
    cpu = {name: sample.median for name, sample in samples.items()}
    for state in ("clean", "1 % bad rows"):
        verdicts = {samples[f"{side.__name__}, {state}"].told["bad_rows"] for side in (platform, bare, bare_in_order)}
        assert len(verdicts) == 1, f"the sides find different numbers of bad rows: {verdicts}"
    clean, bad = (cpu[f"platform, {state}"] / cpu[f"bare, {state}"] for state in ("clean", "1 % bad rows"))
    lines = [
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        barred_line("audit / bare polars, clean", clean, "x", Bar(1.5)),
        barred_line("audit / bare polars, 1 % bad rows", bad, "x", Bar(2.5)),
        Line("audit / trusting the order, clean", cpu["platform, clean"] / cpu["bare_in_order, clean"], "x"),
        Line(
            "audit / trusting the order, 1 % bad",
            cpu["platform, 1 % bad rows"] / cpu["bare_in_order, 1 % bad rows"],
            "x",
        ),
    ]
    return Report("contract", f"26 rules on {size} of 8 columns", tuple(lines))


def platform(section: Section, parquet: str, bad_share: float) -> dict[str, Any]:
    """Audit the frame against its contract: published rows, and quarantined ones with rule, key and value."""
    frame = _frame(parquet, bad_share)
    with section:
        outcome = audit(Bars, frame)
    assert outcome.published is not None
    return {"bad_rows": outcome.quarantined_rows}


def bare(section: Section, parquet: str, bad_share: float) -> dict[str, Any]:
    """The rules as polars expressions: good rows and bad ones, no word on what is wrong with them."""
    frame = _frame(parquet, bad_share)
    with section:
        good, bad = _split(frame)
        assert not good.select(pl.struct("symbol", "session").is_duplicated().any()).item()
    return {"bad_rows": bad.height}


def bare_in_order(section: Section, parquet: str, bad_share: float) -> dict[str, Any]:
    """The same, unique keys being shown by their strict order; rows in another order would need a sort."""
    frame = _frame(parquet, bad_share)
    symbol, session = pl.col("symbol"), pl.col("session")
    ascends = (symbol > symbol.shift()) | ((symbol == symbol.shift()) & (session > session.shift()))
    with section:
        good, bad = _split(frame)
        assert good.select(ascends.slice(1).all()).item()
    return {"bad_rows": bad.height}


def _split(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    is_good = frame.select(pl.all_horizontal(_rules()).fill_null(value=False)).to_series()
    return frame.filter(is_good), frame.filter(~is_good)


def _rules() -> list[pl.Expr]:
    high, low = pl.col("high"), pl.col("low")
    return [
        *(pl.col(name).is_not_null() for name in ("symbol", "session", "volume", *_PRICES)),
        *(pl.col(name).is_finite() for name in ("volume", *_PRICES)),
        *(pl.col(name) > 0 for name in _PRICES),
        pl.col("volume") >= 0,
        high >= low,
        *(high >= pl.col(name) for name in ("open", "close")),
        *(low <= pl.col(name) for name in ("open", "close")),
    ]


def _frame(parquet: str, bad_share: float) -> pl.DataFrame:
    """The bars, a share of them spoilt: each rule is broken somewhere."""
    frame = pl.read_parquet(parquet)
    if bad_share == 0:
        return frame
    random = np.random.default_rng(_SEED)
    is_bad = random.random(frame.height) < bad_share
    spoilt = {
        "open": pl.lit(None, dtype=pl.Float64),
        "high": pl.col("low") / 2,
        "low": -pl.col("low"),
        "close": pl.lit(float("nan")),
        "volume": -pl.col("volume"),
    }
    fault = pl.Series(np.where(is_bad, random.integers(0, len(spoilt), frame.height), -1))
    return frame.with_columns(
        pl.when(fault == number).then(value).otherwise(name).alias(name)
        for number, (name, value) in enumerate(spoilt.items())
    )
