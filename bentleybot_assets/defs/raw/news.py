"""The ``news`` connection: articles and posts, as feeds and sites deliver them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from bentleybot_assets.contracts.raw.news import Articles, SocialPosts
from bentleybot_assets.resources.airbyte.base import Airbyte
from bentleybot_assets.resources.warehouse import WarehouseResource
from bentleybot_assets.wiring.connections import Stream, connection_assets, sync_streams
from bentleybot_assets.wiring.freshness import freshness_checks
from bentleybot_assets.wiring.tables import Finding, first_rows

_CLOCKS_DIFFER = timedelta(hours=1)


def no_article_is_from_the_future(frame: pl.DataFrame) -> Finding:
    """No article says that it was published after it was fetched, by more than clocks differ."""
    early = frame.filter(pl.col("published_at") > pl.col("fetched_at") + _CLOCKS_DIFFER)
    first = first_rows(early, "feed", "article", "published_at", "fetched_at")
    return Finding(early.is_empty(), {"articles": early.height, "first": first})


def no_post_is_from_the_future(frame: pl.DataFrame) -> Finding:
    """No post says that it was published after it was fetched, by more than clocks differ."""
    early = frame.filter(pl.col("published_at") > pl.col("fetched_at") + _CLOCKS_DIFFER)
    first = first_rows(early, "feed", "post", "published_at", "fetched_at")
    return Finding(early.is_empty(), {"posts": early.height, "first": first})


STREAMS = (
    Stream(Articles, warnings=(no_article_is_from_the_future,)),
    Stream(SocialPosts, warnings=(no_post_is_from_the_future,)),
)


@connection_assets("news", STREAMS)
def news(
    context: dg.AssetExecutionContext, airbyte: dg.ResourceParam[Airbyte], warehouse: WarehouseResource
) -> Iterator[Any]:
    """Sync the connection and append what it delivers to the raw log."""
    yield from sync_streams(context, "news", STREAMS, airbyte, warehouse)


news_freshness = freshness_checks("news", [stream.key for stream in STREAMS])
