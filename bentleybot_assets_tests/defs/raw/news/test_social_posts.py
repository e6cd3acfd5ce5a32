"""What the posts' own check finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bentleybot_assets.contracts.raw.news import SocialPosts
from bentleybot_assets.defs.raw.news import no_post_is_from_the_future
from bentleybot_assets_tests.scenario import delivered

FETCHED = datetime(2022, 12, 28, 21, tzinfo=UTC)
POST = {"feed": "site", "post": "p1", "fetched_at": FETCHED}


@pytest.mark.parametrize("published_at", [None, FETCHED - timedelta(days=9), FETCHED + timedelta(minutes=5)], ids=str)
def test_posts_of_the_past_or_without_a_date_pass(published_at: datetime | None) -> None:
    assert no_post_is_from_the_future(delivered(SocialPosts, {**POST, "published_at": published_at})).passed


def test_a_post_of_tomorrow_is_named() -> None:
    finding = no_post_is_from_the_future(delivered(SocialPosts, {**POST, "published_at": FETCHED + timedelta(days=1)}))
    assert not finding.passed
    assert finding.evidence["first"].startswith("feed=site, post=p1, published_at=2022-12-29 21:00:00+00:00")
