"""What the universe's own check finds."""

from __future__ import annotations

from datetime import date

import polars as pl

from bentleybot_assets.defs.market.instruments import memberships_end_after_they_begin
from bentleybot_assets_tests.scenario import instruments_for

DAY = date(2019, 1, 3)


def test_open_memberships_and_those_of_a_single_session_pass() -> None:
    universe = pl.concat(
        [instruments_for(("AAA",), valid_from=DAY), instruments_for(("BBB",), valid_from=DAY, valid_to=DAY)]
    )
    finding = memberships_end_after_they_begin(universe)
    assert finding.passed
    assert finding.evidence == {"instruments": []}


def test_a_membership_that_ends_before_it_begins_is_named() -> None:
    universe = pl.concat(
        [instruments_for(("AAA",)), instruments_for(("BBB",), valid_from=DAY, valid_to=date(2019, 1, 2))]
    )
    finding = memberships_end_after_they_begin(universe)
    assert not finding.passed
    assert finding.evidence == {"instruments": ["BBB"]}
