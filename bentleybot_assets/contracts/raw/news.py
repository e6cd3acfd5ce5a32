"""The streams of the ``news`` connection, as feeds and sites deliver them: neither cleaned nor judged here."""

from __future__ import annotations

from bentleybot_assets.contracts._base import TableRules, Utc, column
from bentleybot_assets.contracts.raw._base import RawContract

STANCES = ("bullish", "bearish")


class Articles(RawContract):
    """Articles as delivered by the news connection: an append-only log.

    A feed is an entry of the connection's settings. A later delivery of the same article is a newer version.
    """

    _rules = TableRules(grain=("feed", "article", "fetched_at"), is_log=True, may_be_empty=True)

    feed: str = column("Entry of the settings that the article is read through")
    article: str = column("Natural key within the feed: its id, else its address, else a hash of its text")
    publisher: str = column("Who published it, where the feed tells", nullable=True)
    url: str = column("Address of the article", nullable=True, is_long=True)
    title: str = column("Headline", nullable=True, is_long=True)
    summary: str = column("Summary or text, markup as delivered", nullable=True, is_long=True)
    author: str = column("Who wrote it", nullable=True)
    language: str = column("Language that the feed or article states", nullable=True)
    tags: str = column("The feed's own tags, as a JSON list", nullable=True, is_long=True)
    symbols: str = column("Tickers that the feed attaches, as a JSON list", nullable=True, is_long=True)
    published_at: Utc = column("When it was published, as the feed states", nullable=True)
    updated_at: Utc = column("When it was changed, as the feed states", nullable=True)


class SocialPosts(RawContract):
    """Posts as delivered by the news connection: an append-only log."""

    _rules = TableRules(grain=("feed", "post", "fetched_at"), is_log=True, may_be_empty=True)

    feed: str = column("Entry of the settings that the post is read through")
    post: str = column("Natural key within the feed")
    author: str = column("Name of who wrote it", nullable=True)
    body: str = column("Text, as delivered", nullable=True, is_long=True)
    url: str = column("Address of the post", nullable=True, is_long=True)
    symbols: str = column("Tickers that the site attaches, as a JSON list", nullable=True, is_long=True)
    stance: str = column("What the author says of the price to come", isin=STANCES, nullable=True)
    likes: float = column("How many liked it when it was fetched", nullable=True, finite=False)
    published_at: Utc = column("When it was published, as the site states", nullable=True)
