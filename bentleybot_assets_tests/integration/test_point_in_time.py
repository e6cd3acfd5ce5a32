"""Nothing that happens after a session changes what was decided for it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentleybot_assets.contracts.market import DailyBars
from bentleybot_assets.contracts.raw.market import DailyBars as RawDailyBars
from bentleybot_assets.contracts.sessions import cut_off, sessions_between
from bentleybot_assets.contracts.signals import Forecasts, TradingSignals
from bentleybot_assets.contracts.trading import Orders, TargetWeights
from bentleybot_assets.core import labels as labels_module
from bentleybot_assets.core import technical as technical_module
from bentleybot_assets.core.backtest import backtest
from bentleybot_assets.core.bars import daily_bars
from bentleybot_assets.core.forecasts import forecasts
from bentleybot_assets.core.labels import labels
from bentleybot_assets.core.matrix import matrix
from bentleybot_assets.core.model_versions import return_forecaster
from bentleybot_assets.core.orders import order_intents
from bentleybot_assets.core.signals import trading_signals
from bentleybot_assets.core.sizing import Limits, target_weights
from bentleybot_assets.core.technical import technical
from bentleybot_assets.core.walk_forward import fit, refits, walk_forward
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets_tests.integration.desk import SESSION, Desk
from bentleybot_assets_tests.scenario import corporate_actions, instruments_for, raw_bars

HORIZON = 5
SYMBOLS = tuple("ABCDEFGH")
SESSIONS = sessions_between(date(2018, 1, 2), date(2020, 12, 31))
DECIDED = date(2020, 6, 30)
YEARS_SECOND_SESSION = date(2020, 1, 3)
COSTS = {"equity": 5.0, "etf": 3.0}
HISTORY = raw_bars(symbols=SYMBOLS, sessions=SESSIONS, seed=7)
UNIVERSE = instruments_for(SYMBOLS)


def decide(raw: pl.DataFrame, session: date) -> dict[str, pl.DataFrame]:
    """Everything the desk says of a session, from delivered bars to orders, through the platform's own functions."""
    bars = daily_bars(raw, corporate_actions(), UNIVERSE)
    features = matrix(technical(bars), UNIVERSE)
    outcomes = labels(bars, UNIVERSE, horizons=(HORIZON,))
    history = walk_forward(features, outcomes, horizon=HORIZON)
    track = backtest(history, bars, outcomes, horizon=HORIZON, cost_bps=5.0)
    versions = return_forecaster(features, outcomes, track, horizon=HORIZON)
    models = {refit.model_version: refit for refit in refits(features, outcomes, horizon=HORIZON)}
    members = features.filter(pl.col("session") == session, pl.col("available_at") <= cut_off(session))
    serving = versions.filter(pl.col("serves_from") <= session, pl.col("serves_to") >= session)
    said = forecasts(
        members,
        serving,
        UNIVERSE,
        lambda version: fit(models[version].training, models[version].features),
        session=session,
    )
    signals = trading_signals(said, UNIVERSE, versions, costs_bps=COSTS)
    weights = target_weights(
        signals, bars.filter(session=session), UNIVERSE, positions={"A": 3}, cash_usd=50_000.0, limits=Limits()
    )
    orders = order_intents(
        weights, UNIVERSE, strategy="s", revision="1", account_mode="paper", data_mode="sample", costs_bps=COSTS
    )
    return {"versions": serving, "forecasts": said, "signals": signals, "weights": weights, "orders": orders}


EXPECTED = decide(HISTORY, DECIDED)


PRICES = ("open", "high", "low", "close", "adjusted_close")
FACTORS = st.lists(st.floats(0.2, 5.0), min_size=len(SYMBOLS), max_size=len(SYMBOLS), unique=True)
"""One for each symbol and no two alike: ranks must not be able to hide a change."""


def with_another_future(factors: list[float], first_change: int) -> pl.DataFrame:
    """The same history up to the session, and different prices on every bar from some session after it."""
    changed = pl.col("session") >= SESSIONS[SESSIONS.index(DECIDED) + first_change]
    factor = pl.col("symbol").replace_strict(SYMBOLS, factors, return_dtype=pl.Float64)
    return HISTORY.with_columns(pl.when(changed).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in PRICES)


def differing(factors: list[float], first_change: int) -> list[str]:
    """What is decided otherwise once the future is another."""
    decided = decide(with_another_future(factors, first_change), DECIDED)
    return [what for what, frame in EXPECTED.items() if not decided[what].equals(frame)]


@settings(max_examples=5)
@given(FACTORS, st.integers(1, 100))
def test_prices_after_a_session_change_nothing_that_was_decided_for_it(factors: list[float], first_change: int) -> None:
    assert differing(factors, first_change) == []


def test_history_that_ends_at_the_session_decides_the_same() -> None:
    decided = decide(HISTORY.filter(pl.col("session") <= DECIDED), DECIDED)
    for what, frame in EXPECTED.items():
        assert decided[what].equals(frame), what


@pytest.fixture
def leaking_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that is tomorrow's return."""

    def leaking(bars: pl.DataFrame) -> pl.DataFrame:
        tomorrow = (pl.col("total_return_close").shift(-1) / pl.col("total_return_close") - 1).over("symbol")
        return technical_module.technical(bars).with_columns(return_1d=bars.select(tomorrow).to_series())

    monkeypatch.setitem(globals(), "technical", leaking)
    monkeypatch.setitem(globals(), "EXPECTED", decide(HISTORY, DECIDED))


@pytest.fixture
def unpurged_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes that claim to be known when the position is entered: training does not purge them."""

    def leaking(bars: pl.DataFrame, instruments: pl.DataFrame, horizons: tuple[int, ...]) -> pl.DataFrame:
        return labels_module.labels(bars, instruments, horizons).with_columns(
            exit_session=pl.col("entry_session"), available_at=pl.col("entry_session").cast(pl.Datetime("us", "UTC"))
        )

    monkeypatch.setitem(globals(), "labels", leaking)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FACTORS)
def test_the_property_catches_a_feature_that_looks_ahead(leaking_feature: None, factors: list[float]) -> None:
    assert "forecasts" in differing(factors, 1)


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FACTORS)
def test_prices_after_a_years_second_session_change_nothing_either(
    monkeypatch: pytest.MonkeyPatch, factors: list[float]
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "DECIDED", YEARS_SECOND_SESSION)
        patch.setitem(globals(), "EXPECTED", decide(HISTORY, YEARS_SECOND_SESSION))
        assert differing(factors, 1) == []


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FACTORS)
def test_the_property_catches_labels_that_are_trained_on_too_early(
    unpurged_labels: None, monkeypatch: pytest.MonkeyPatch, factors: list[float]
) -> None:
    """Decided at the year's second session, where outcomes of the year before's end are still open."""
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "DECIDED", YEARS_SECOND_SESSION)
        patch.setitem(globals(), "EXPECTED", decide(HISTORY, YEARS_SECOND_SESSION))
        assert "versions" in differing(factors, 1)


def test_a_desk_decides_a_session_on_what_it_knew_although_corrections_have_come_since(
    tmp_path: Path, finished_desk: Desk
) -> None:
    """Through the assets themselves: bars of the session and of the days before it are corrected a week later."""
    desk = Desk.fresh(tmp_path / "desk")
    desk.run("bentleybot", "run", "--session", "2022-12-27")
    warehouse = ParquetWarehouse(desk.home / "warehouse")
    week_later = pl.lit(datetime(2023, 1, 5, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    newest = warehouse.read(RawDailyBars).filter(pl.col("session") >= date(2022, 12, 20))
    corrections = newest.with_columns(pl.col("close") * 1.5, fetched_at=week_later, available_at=week_later)
    warehouse.append_delivery("market", {RawDailyBars: corrections}, warehouse.connection_state("market"))
    desk.run("bentleybot", "run", "--session", SESSION)

    day = date.fromisoformat(SESSION)
    others = ParquetWarehouse(finished_desk.home / "warehouse")
    assert not warehouse.read(DailyBars, [day]).equals(others.read(DailyBars, [day]))
    for contract in (Forecasts, TradingSignals, TargetWeights, Orders):
        assert warehouse.read(contract, [day]).equals(others.read(contract, [day])), contract.table_name()
