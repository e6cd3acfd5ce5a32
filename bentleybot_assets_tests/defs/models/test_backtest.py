"""What the backtest's own checks find, and what the asset shows of itself."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from bentleybot_assets.contracts.models import Backtest
from bentleybot_assets.defs.models.backtest import forecasts_are_not_too_good, net_is_gross_less_cost, preview
from bentleybot_assets_tests.scenario import SESSIONS

NOISE = 0.25 * np.random.default_rng(0).normal(size=120)


def track(algorithm: str = "ridge", *, net: float = 0.009, skill: float = 0.0) -> pl.DataFrame:
    """A backtest that earns 1 % before a cost of 0.1 % each session, with rank ICs around ``skill``."""
    rank_ic = np.clip(NOISE - NOISE.mean() + skill, -1, 1)
    rows = [
        {
            "algorithm": algorithm,
            "session": day,
            "gross_return": 0.01,
            "cost": 0.001,
            "net_return": net,
            "benchmark_return": 0.002,
            "turnover": 1.0,
            "rank_ic": float(ic),
        }
        for day, ic in zip(SESSIONS, rank_ic, strict=False)
    ]
    return pl.DataFrame(rows, schema=Backtest.polars_schema())


def test_net_returns_that_are_gross_less_cost_pass() -> None:
    finding = net_is_gross_less_cost(track())
    assert finding.passed
    assert finding.evidence["largest_gap"] < 1e-12


@pytest.mark.parametrize(("net", "gap"), [(0.0105, 0.0015), (0.0085, 0.0005)])
def test_a_net_return_off_in_either_direction_fails_with_its_size(net: float, gap: float) -> None:
    finding = net_is_gross_less_cost(pl.concat([track("momentum"), track(net=net)]))
    assert not finding.passed
    assert finding.evidence["largest_gap"] == pytest.approx(gap)


@pytest.mark.parametrize("skill", [0.0, 0.05])
def test_forecasts_as_good_as_honest_ones_pass(skill: float) -> None:
    finding = forecasts_are_not_too_good(track(skill=skill))
    assert finding.passed
    assert finding.evidence == {"algorithms": []}


def test_an_algorithm_that_knows_too_much_is_named() -> None:
    finding = forecasts_are_not_too_good(pl.concat([track("momentum"), track("ridge", skill=0.4)]))
    assert not finding.passed
    assert finding.evidence == {"algorithms": ["ridge"]}


@pytest.mark.parametrize(("unknown", "passed"), [(6, False), (61, True)])
def test_overlap_of_a_long_horizon_is_not_mistaken_for_foresight(unknown: int, passed: bool) -> None:  # noqa: FBT001
    """Half a year above the mean, half a year below: with a horizon of 60 sessions that is few independent outcomes."""
    known = [0.15 + (0.33 if session // 125 % 2 == 0 else -0.33) for session in range(1000)]
    long = pl.DataFrame(
        {
            "algorithm": "ridge",
            "session": pl.date_range(date(2015, 1, 1), date(2019, 1, 1), eager=True)[: 1000 + unknown],
            "rank_ic": [*known, *[None] * unknown],
        }
    )
    assert forecasts_are_not_too_good(long).passed == passed


def test_the_preview_shows_a_curve_for_each_algorithm_and_the_benchmark() -> None:
    shown = preview(pl.concat([track("momentum"), track("ridge", net=0.0)]).sort("session", "algorithm"))
    assert set(shown) == {"growth_momentum", "growth_ridge", "growth_benchmark", "newest"}
    assert f"1.009 → {1.009**120:.4g}" in shown["growth_momentum"].value
    assert "1 → 1 " in shown["growth_ridge"].value
    assert f"1.002 → {1.002**120:.4g}" in shown["growth_benchmark"].value
    assert str(SESSIONS[119]) in shown["newest"].value
    assert str(SESSIONS[0]) not in shown["newest"].value
