"""What the model versions' own checks find, and what the asset shows of itself."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.contracts.models import ReturnForecaster
from bentleybot_assets.defs.models.return_forecaster import (
    no_training_label_reaches_into_service,
    one_champion_serves_at_a_time,
    preview,
)


def version(name: str, year: int, *, is_champion: bool = True, newest_exit: date | None = None) -> pl.DataFrame:
    row = {
        "model_version": name * 16,
        "algorithm": "ridge" if is_champion else "momentum",
        "serves_from": date(year, 1, 2),
        "serves_to": date(year, 12, 31),
        "train_start": date(year - 8, 1, 2),
        "train_end": date(year - 1, 12, 20),
        "newest_exit_session": newest_exit or date(year - 1, 12, 31),
        "is_champion": is_champion,
        "has_edge": False,
    }
    return pl.DataFrame([row], schema=ReturnForecaster.polars_schema())


VERSIONS = pl.concat([version("a", 2019), version("b", 2019, is_champion=False), version("c", 2020)])


def test_versions_trained_before_they_serve_pass() -> None:
    finding = no_training_label_reaches_into_service(VERSIONS)
    assert finding.passed
    assert finding.evidence == {"versions": []}


def test_a_version_whose_newest_outcome_ends_on_its_first_session_is_named() -> None:
    finding = no_training_label_reaches_into_service(
        pl.concat([VERSIONS, version("d", 2021, newest_exit=date(2021, 1, 2))])
    )
    assert not finding.passed
    assert finding.evidence == {"versions": ["d" * 16]}


def test_one_champion_in_each_period_passes() -> None:
    finding = one_champion_serves_at_a_time(VERSIONS)
    assert finding.passed
    assert finding.evidence == {"periods": []}


def test_periods_with_no_champion_or_two_are_named() -> None:
    nobody = version("d", 2021, is_champion=False)
    finding = one_champion_serves_at_a_time(pl.concat([VERSIONS, version("e", 2020), nobody]))
    assert not finding.passed
    assert finding.evidence == {"periods": ["2020-01-02", "2021-01-02"]}


def test_the_preview_shows_the_newest_versions_first() -> None:
    rows = preview(VERSIONS)["versions"].value.splitlines()[2:]
    assert [next(name for name in "abc" if name * 16 in row) for row in rows] == ["c", "b", "a"]
