"""Records from an Airbyte source to the committed raw log: the embedded runner, and the same through a JSON pipe."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import dlt
from benchmarks._environment import UnavailableError, environment
from benchmarks._measure import (
    Bar,
    Case,
    Line,
    Options,
    Report,
    Samples,
    Section,
    barred_line,
    cpu_line,
    function_case,
    take_turns,
    work_folder,
)
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse

_SYNTHETIC = "benchmarks.synthetic:SyntheticSource"
_PIPED = "benchmarks.synthetic:PipedSource"
_MARKET = "bentleybot_assets.connectors.market.source:MarketSource"
_STREAMS = {"daily_bars": DailyBars, "corporate_actions": CorporateActions}


def measure(options: Options) -> Report:
    """Run the benchmark."""
    size = {"symbols": options.pick(50, 5), "sessions": 4_000}
    bars = ["daily_bars"]
    cases = {
        "generator": function_case("bare generator of the synthetic records", generator, **size),
        "synthetic": function_case("embedded runner, synthetic", sync, source=_SYNTHETIC, config=size, streams=bars),
        "sample": function_case(
            "embedded runner, sample of `market`",
            sync,
            source=_MARKET,
            config={"mode": "sample"},
            streams=list(_STREAMS),
            warm_up={"mode": "sample", "symbols": ["FB"]},
        ),
        "piped": function_case("JSON pipe, synthetic, both ends", sync, source=_PIPED, config=size, streams=bars),
        **_dlt_case(size),
        "start": Case("start of a process of the piped source", (sys.executable, "-m", "benchmarks.synthetic", "spec")),
    }
    samples = take_turns(cases, options.pick(3, 1))
    embedded, piped, start = (samples[name].median for name in ("synthetic", "piped", "start"))
    bar = Bar(60_000, is_minimum=True)
    lines = [
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        Line("bare generator", _throughput(samples["generator"]), "records/CPU s"),
        barred_line("embedded runner, synthetic", _throughput(samples["synthetic"]), "records/CPU s", bar),
        barred_line("embedded runner, sample", _throughput(samples["sample"]), "records/CPU s", bar),
        Line("JSON pipe, synthetic", _throughput(samples["piped"]), "records/CPU s"),
        barred_line("JSON pipe / embedded runner", piped / embedded, "x", Bar(5, is_minimum=True)),
        # A start each for spec, discover and read: mostly imports, of which the embedded side needs none of its own.
        Line("JSON pipe less its processes' starts / embedded runner", (piped - 3 * start) / embedded, "x"),
    ]
    if "dlt" in samples:
        lines.append(Line("dlt, from dicts to Parquet", _throughput(samples["dlt"]), "records/CPU s"))
        lines.append(Line("dlt / embedded runner", samples["dlt"].median / embedded, "x"))
    records = (
        f"{samples['synthetic'].told['records']:,} synthetic, {samples['sample'].told['records']:,} sample records"
    )
    return Report("connector", f"{records}, from source to committed raw log", tuple(lines))


def _dlt_case(size: dict[str, int]) -> dict[str, Case]:
    """dlt with the synthetic records, made beforehand; nothing where it cannot be installed."""
    from benchmarks.synthetic import SyntheticFeed

    try:
        python = environment("dlt")
    except UnavailableError as error:
        print(f"dlt is left out: {error}", file=sys.stderr)
        return {}
    feed = SyntheticFeed(**size)
    records = work_folder() / "synthetic.jsonl"
    with records.open("w", encoding="utf-8") as lines:
        for symbol in feed.symbols:
            lines.writelines(f"{json.dumps(record)}\n" for record in feed.daily_bars(symbol, None)[0])
    arguments = {"records": str(records), "work": str(work_folder())}
    return {"dlt": function_case("dlt, the synthetic records read before", dlt.load, python=python, **arguments)}


def generator(section: Section, symbols: int, sessions: int) -> dict[str, Any]:
    """Make the records and throw them away."""
    from benchmarks.synthetic import SyntheticFeed

    with section:
        feed = SyntheticFeed(symbols, sessions)
        records = sum(1 for symbol in feed.symbols for _ in feed.daily_bars(symbol, None)[0])
    return {"records": records}


def sync(
    section: Section,
    source: str,
    config: dict[str, Any],
    streams: list[str],
    warm_up: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Sync into an empty warehouse. A small sync before it imports what is imported late."""
    if source == _PIPED:
        _sync(_SYNTHETIC, {"symbols": 1, "sessions": 10}, streams)
    else:
        _sync(source, warm_up or {"symbols": 1, "sessions": 10}, streams)
    with section:
        records = _sync(source, config, streams)
    return {"records": records}


def _sync(source: str, config: dict[str, Any], streams: list[str]) -> int:
    airbyte = EmbeddedAirbyte(connections={"market": Connection(source=source, config=config)})
    contracts = {name: _STREAMS[name] for name in streams}
    with tempfile.TemporaryDirectory(dir=work_folder()) as folder:
        result = airbyte.sync("market", contracts, ParquetWarehouse(Path(folder)), logging.getLogger("benchmarks"))
    assert result.passed
    assert result.deliveries > 0
    return sum(stream.records for stream in result.streams.values())


def _throughput(samples: Samples) -> float:
    return float(samples.told["records"]) / samples.median
