"""A stream that cannot be read and that no order stands on: the session is decided, and the command says what is not
there."""

from __future__ import annotations

import json
from pathlib import Path

from bentleybot_assets.contracts.raw.market import DailyBars, FxRates
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.integration.desk import Desk
from bentleybot_assets_tests.integration.test_session_run import ledger_rows


def test_a_stream_that_no_order_stands_on_stops_no_trading_and_ends_the_command_with_an_error(tmp_path: Path) -> None:
    config = json.dumps({"mode": "sample", "fx_pairs": ["USDJPY"]})
    desk = Desk.fresh(tmp_path / "desk", BENTLEYBOT_CONNECTIONS__MARKET__CONFIG=config)
    result = desk.run("bentleybot", "run", check=False)
    printed = " ".join(result.stdout.split())
    assert result.returncode == 1
    assert (
        "FAILED raw/market/fx_rates, last_sync_succeeded: market, stream fx_rates: The sample has no USDJPY." in printed
    )
    assert "The orders stand: none depends on what failed." in printed
    assert "HALT" not in printed
    assert ledger_rows(desk)
    warehouse = ParquetWarehouse(desk.home / "warehouse")
    assert warehouse.row_count(DailyBars)
    assert warehouse.row_count(FxRates) is None
