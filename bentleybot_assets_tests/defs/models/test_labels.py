"""What the labels' own check finds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from bentleybot_assets.contracts.market import DailyBars, Instruments
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.defs.models.labels import labels, positions_are_entered_after_the_decision
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.resources.warehouse import ParquetWarehouseResource
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring.io_manager import WarehouseIOManager
from bentleybot_assets_tests.scenario import SESSIONS, clean_bars, instruments_for

DECISION, ENTRY, EXIT = date(2019, 1, 2), date(2019, 1, 3), date(2019, 1, 10)


def label(symbol: str = "AAA", entry: date = ENTRY, leave: date = EXIT) -> pl.DataFrame:
    row = {
        "symbol": symbol,
        "session": DECISION,
        "horizon_sessions": 5,
        "entry_session": entry,
        "exit_session": leave,
        "forward_return": 0.01,
        "forward_rank": 0.0,
    }
    return pl.DataFrame([row], schema=Labels.polars_schema())


def test_labels_entered_after_their_decision_pass() -> None:
    finding = positions_are_entered_after_the_decision(label())
    assert finding.passed
    assert finding.evidence == {"labels_that_look_back": 0}


@pytest.mark.parametrize(
    ("entry", "leave"), [(DECISION, EXIT), (ENTRY, ENTRY)], ids=["entered at the decision", "left at the entry"]
)
def test_a_label_that_looks_back_is_counted(entry: date, leave: date) -> None:
    finding = positions_are_entered_after_the_decision(pl.concat([label(), label("BBB", entry, leave)]))
    assert not finding.passed
    assert finding.evidence == {"labels_that_look_back": 1}


def test_the_desks_own_horizon_is_labelled_beside_the_usual_ones(tmp_path: Path) -> None:
    settings = Settings.load()
    policy = settings.policy.model_copy(update={"horizon_sessions": 7})
    desk = resources_of(settings.model_copy(update={"policy": policy}))["desk"]
    warehouse = ParquetWarehouseResource(folder=str(tmp_path))
    warehouse.open().publish(DailyBars, clean_bars(sessions=SESSIONS[:40]))
    warehouse.open().publish(Instruments, instruments_for())
    resources = {"warehouse": warehouse, "warehouse_io": WarehouseIOManager(warehouse=warehouse), "desk": desk}
    upstream = [
        dg.AssetSpec(["market", name]).with_io_manager_key("warehouse_io") for name in ("daily_bars", "instruments")
    ]
    assert dg.materialize([labels, *upstream], selection=[labels], resources=resources).success
    assert warehouse.open().read(Labels)["horizon_sessions"].unique().sort().to_list() == [5, 7, 20]
