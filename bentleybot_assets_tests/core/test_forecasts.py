"""Who says what of a session's members, and when nothing may be said."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from bentleybot_assets.contracts.features import Matrix
from bentleybot_assets.contracts.market import Instruments
from bentleybot_assets.contracts.models import ReturnForecaster
from bentleybot_assets.core.forecasts import forecasts
from bentleybot_assets.core.walk_forward import fit

DAY = date(2022, 12, 28)
RIDGE, MOMENTUM = "a" * 16, "b" * 16
SYMBOLS = ("A", "B", "C", "D", "E")


def typed(rows: list[dict[str, object]], contract: type) -> pl.DataFrame:
    schema = contract.polars_schema()
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema, orient="row")


def members(*momenta: float | None) -> pl.DataFrame:
    return typed(
        [
            {"symbol": symbol, "session": DAY, "momentum_12_1": momentum, "return_1d": momentum}
            for symbol, momentum in zip(SYMBOLS, momenta, strict=False)
        ],
        Matrix,
    )


UNIVERSE = typed(
    [{"symbol": symbol, "valid_from": date(2000, 1, 3), "is_tradable": True} for symbol in SYMBOLS], Instruments
)
VERSIONS = typed(
    [
        {"model_version": RIDGE, "algorithm": "ridge", "is_champion": False},
        {"model_version": MOMENTUM, "algorithm": "momentum", "is_champion": True},
    ],
    ReturnForecaster,
)
MODEL = fit(pl.DataFrame({"return_1d": [-0.5, 0.0, 0.5], "forward_rank": [0.5, 0.0, -0.5]}), ("return_1d",))


def test_champion_and_challenger_rank_the_members_side_by_side() -> None:
    said = forecasts(members(-0.5, -0.25, 0.0, 0.25, 0.5), VERSIONS, UNIVERSE, lambda _: MODEL, session=DAY)

    by_version = {version: said.filter(model_version=version) for version in (RIDGE, MOMENTUM)}
    assert by_version[MOMENTUM]["percentile"].to_list() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert by_version[RIDGE]["percentile"].to_list() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert by_version[MOMENTUM]["is_champion"].all()
    assert not by_version[RIDGE]["is_champion"].any()


def test_only_the_version_that_forecasts_is_loaded() -> None:
    loaded: list[str] = []

    def load(version: str) -> object:
        loaded.append(version)
        return MODEL

    forecasts(members(-0.5, -0.25, 0.0, 0.25, 0.5), VERSIONS, UNIVERSE, load, session=DAY)
    assert loaded == [RIDGE]


def test_a_member_without_the_feature_gets_no_forecast() -> None:
    said = forecasts(members(-0.5, None, 0.0, 0.25, 0.5), VERSIONS, UNIVERSE, lambda _: MODEL, session=DAY)
    assert "B" not in said["symbol"]
    assert said.filter(model_version=MOMENTUM)["percentile"].to_list() == [0.0, 1 / 3, 2 / 3, 1.0]


def test_a_session_without_features_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"no row of session 2022-12-28.*Sync the market connection"):
        forecasts(members(), VERSIONS, UNIVERSE, lambda _: MODEL, session=DAY)


def test_a_session_of_which_most_members_are_missing_is_not_ranked() -> None:
    said = r"Only 3 of 5 members have the features at session 2022-12-28 that momentum .* needs; D, E lack them"
    with pytest.raises(ValueError, match=said):
        forecasts(members(-0.5, 0.0, 0.5), VERSIONS, UNIVERSE, lambda _: MODEL, session=DAY)


def test_a_version_that_can_score_few_members_ranks_nobody() -> None:
    few = members(-0.5, -0.25, 0.0, 0.25, 0.5).with_columns(return_1d=pl.Series([0.1, None, None, None, 0.2]))
    with pytest.raises(ValueError, match=rf"Only 2 of 5 members .* that ridge \(version {RIDGE}\) needs"):
        forecasts(few, VERSIONS, UNIVERSE, lambda _: MODEL, session=DAY)


def test_a_session_that_no_version_serves_is_an_error() -> None:
    with pytest.raises(ValueError, match="No version of models/return_forecaster serves session 2022-12-28"):
        forecasts(members(-0.5, -0.25, 0.0, 0.25, 0.5), VERSIONS.clear(), UNIVERSE, lambda _: MODEL, session=DAY)
