"""What a table asset costs in process beyond a no-op asset with one check."""

from __future__ import annotations

import logging
import tempfile
from datetime import date
from types import ModuleType

import dagster as dg
import polars as pl

from benchmarks._measure import (
    Bar,
    Options,
    Report,
    Section,
    barred_line,
    cpu_line,
    function_case,
    take_turns,
    work_folder,
)
from bentleybot_assets.contracts import market
from bentleybot_assets.contracts._base import Contract, TableRules, column
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource
from bentleybot_assets.wiring.io_manager import WarehouseIOManager
from bentleybot_assets.wiring.tables import table_asset

_ASSETS = 30
_FRAME = pl.DataFrame(
    {"symbol": ["A", "B", "C"], "session": [date(2022, 12, 28)] * 3, "value": [1.0, 2.0, 3.0]},
    schema_overrides={"session": pl.Date},
)


def measure(options: Options) -> Report:
    """Run the benchmark."""
    cases = {
        "tables": function_case(f"{_ASSETS} table assets", tables),
        "no_ops": function_case(f"{_ASSETS} no-op assets with one check", no_ops),
    }
    samples = take_turns(cases, options.pick(5, 2))
    beyond = (samples["tables"].median - samples["no_ops"].median) / _ASSETS
    lines = (
        *(cpu_line(cases[name].name, sample) for name, sample in samples.items()),
        barred_line("a table asset beyond a no-op asset", 1000 * beyond, "CPU ms", Bar(100)),
    )
    return Report("overhead", "one run in process, SQLite instance", lines)


def tables(section: Section) -> None:
    """Assets of three rows with contract, quarantine check and preview, published for the first time."""
    _materialise(section, [_table(number) for number in range(_ASSETS + 1)])


def no_ops(section: Section) -> None:
    """Assets that return nothing, with one check in the same step."""
    _materialise(section, [_no_op(number) for number in range(_ASSETS + 1)])


def _materialise(section: Section, assets: list[dg.AssetsDefinition]) -> None:
    """Materialise all assets but the first, which warms up what is imported or prepared once."""
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(dir=work_folder()) as storage,
        tempfile.TemporaryDirectory(dir=work_folder()) as folder,
        dg.DagsterInstance.local_temp(storage) as instance,
    ):
        warehouse = ParquetWarehouseResource(folder=folder)
        resources = {"warehouse": warehouse, "warehouse_io": WarehouseIOManager(warehouse=warehouse)}
        assert dg.materialize(assets[:1], instance=instance, resources=resources).success
        with section:
            assert dg.materialize(assets[1:], instance=instance, resources=resources).success


def _no_op(number: int) -> dg.AssetsDefinition:
    name = f"no_op_{number}"

    @dg.asset(name=name, check_specs=[dg.AssetCheckSpec("holds", asset=name)])
    def compute():  # type: ignore[no-untyped-def]  # noqa: ANN202 - an annotation would have to list the check
        return dg.MaterializeResult(metadata={"rows": 3}, check_results=[dg.AssetCheckResult(passed=True)])

    return compute


def _table(number: int) -> dg.AssetsDefinition:
    @table_asset(_contract(market, number), kinds={"polars", "parquet"})
    def compute() -> pl.DataFrame:
        return _FRAME

    return compute


def _contract(home: ModuleType, number: int) -> type[Contract]:
    """A contract of its own for each table, placed where the I/O manager looks contracts up."""

    class Trivial(Contract):
        """Three rows."""

        _rules = TableRules(grain=("symbol", "session"), quarantines_rows=True)

        symbol: str = column("Instrument")
        session: pl.Date = column("Exchange session")
        value: float = column("A number", gt=0)

    Trivial.__name__ = f"Trivial{number}"
    Trivial.__module__ = home.__name__
    setattr(home, Trivial.__name__, Trivial)
    return Trivial
