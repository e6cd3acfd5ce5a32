"""What the forecasts' own checks find."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.contracts.signals import Forecasts
from bentleybot_assets.defs.signals.forecasts import one_version_is_champion, scores_differ_between_members

DAY, NEXT = date(2022, 12, 27), date(2022, 12, 28)


def said(version: str, day: date = DAY, *, is_champion: bool, **scores: float) -> pl.DataFrame:
    rows = [
        {
            "model_version": version * 16,
            "symbol": symbol,
            "session": day,
            "algorithm": "ridge",
            "score": score,
            "percentile": 0.5,
            "is_champion": is_champion,
        }
        for symbol, score in scores.items()
    ]
    return pl.DataFrame(rows, schema=Forecasts.polars_schema())


CHAMPION = said("a", is_champion=True, AAA=0.1, BBB=0.2)
CHALLENGER = said("b", is_champion=False, AAA=0.1, BBB=0.2)


def test_a_champion_beside_its_challenger_passes() -> None:
    finding = one_version_is_champion(pl.concat([CHAMPION, CHALLENGER]))
    assert finding.passed
    assert finding.evidence == {"sessions": []}


def test_sessions_with_no_champion_or_two_are_named() -> None:
    two = said("c", is_champion=True, AAA=0.3)
    nobody = said("b", NEXT, is_champion=False, AAA=0.1)
    finding = one_version_is_champion(pl.concat([nobody, CHAMPION, two]))
    assert not finding.passed
    assert finding.evidence == {"sessions": ["2022-12-27", "2022-12-28"]}


def test_scores_that_differ_pass_and_a_lone_member_does_too() -> None:
    finding = scores_differ_between_members(pl.concat([CHAMPION, said("c", is_champion=False, AAA=0.1)]))
    assert finding.passed
    assert finding.evidence == {"versions": []}


def test_a_version_with_one_score_for_all_members_is_named() -> None:
    constant = said("c", is_champion=False, AAA=0.1, BBB=0.1)
    finding = scores_differ_between_members(pl.concat([CHAMPION, constant]))
    assert not finding.passed
    assert finding.evidence == {"versions": ["c" * 16]}
