"""What the walk-forward forecasts' own check finds."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.contracts.models import OutOfSample
from bentleybot_assets.defs.models.out_of_sample import scores_differ_between_members

DAY = date(2019, 1, 2)


def scores(algorithm: str, day: date, **by_symbol: float) -> pl.DataFrame:
    rows = [
        {"algorithm": algorithm, "symbol": symbol, "session": day, "score": score}
        for symbol, score in by_symbol.items()
    ]
    return pl.DataFrame(rows, schema=OutOfSample.polars_schema())


def test_scores_that_differ_pass_and_a_lone_member_does_too() -> None:
    finding = scores_differ_between_members(
        pl.concat([scores("ridge", DAY, AAA=0.1, BBB=0.2), scores("momentum", DAY, AAA=0.1)])
    )
    assert finding.passed
    assert finding.evidence == {"sessions_with_one_score": 0}


def test_one_score_for_all_members_of_a_session_is_counted() -> None:
    """The same algorithm at another session, or another algorithm at the same one, does not hide it."""
    finding = scores_differ_between_members(
        pl.concat(
            [
                scores("ridge", DAY, AAA=0.1, BBB=0.1),
                scores("ridge", date(2019, 1, 3), AAA=0.1, BBB=0.2),
                scores("momentum", DAY, AAA=0.3, BBB=0.4),
            ]
        )
    )
    assert not finding.passed
    assert finding.evidence == {"sessions_with_one_score": 1}
