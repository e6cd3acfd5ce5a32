"""RSS and Atom feeds: articles as publishers syndicate them.

Belongs here: from feedparser's fields to records. Does not belong here: fetching (``fetch``), XML (``parse``).

Markup is delivered raw: what is shown is cleaned where it is shown, and cleaning here would lose what was said.

What a feed shows when it is first read is history: it counts as known since it says that it was published or changed.
Whatever appears later was first seen when it was fetched, however old it says to be. A date counts if it names an
instant: with a time of day, and an offset that is understood. Feedparser takes others for Greenwich's, which makes
articles known before they were there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from bentleybot_assets.connectors.feeds import ConfigError, IncompleteError, Mark, Record, iso
from bentleybot_assets.connectors.news.feed import NewsContract, fitted, named, news_since, short_key
from bentleybot_assets.connectors.news.fetch import Answer, FeedClient, shown
from bentleybot_assets.connectors.news.parse import Parsed, ParseError, parse
from bentleybot_assets.connectors.polling import ending_in, is_before_last_read
from bentleybot_assets.contracts.raw.news import Articles

_IGNORED = frozenset(
    {
        "guidislink",  # how feedparser took the id
        "published_parsed",  # and the other times: feedparser's reading of texts that are kept
        "updated_parsed",
        "created_parsed",
        "expired_parsed",
        "author_detail",  # the last of `authors`
        "publisher_detail",  # `publisher`, taken apart
    }
)
"""Fields that repeat others. What a feed says of itself beyond its title and language is about the feed."""

_SHAPES: Mapping[str, type] = {
    **dict.fromkeys(("id", "link", "title", "summary", "author", "language", "publisher", "published", "updated"), str),
    **dict.fromkeys(("tags", "links", "authors", "content", "published_parsed", "updated_parsed"), list),
    **dict.fromkeys(("source", "title_detail", "summary_detail"), dict),
}
"""What is read of feedparser's fields. A publisher's own element of such a name looks otherwise, and is just kept."""

_FIRST_YEAR = 1990
"""Earlier dates are broken ones: a clock at zero, a year of two digits."""

_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}

_logger = logging.getLogger("airbyte.news")


class RssFeed:
    """A feed in RSS or Atom. See :class:`ConfiguredFeed`.

    Args:
        entry: ``name`` and ``url``.
        start_date: articles that say they were published before are left out.
        clock: the present, timezone-aware.
        client: fetches it.
    """

    SETTINGS: Mapping[str, Mapping[str, Any]] = {
        "url": {
            "type": "string",
            "pattern": "^https?://",
            "title": "Address",
            "description": "Where the feed is. It must be on the public internet, or on one of the private hosts.",
        },
    }
    REQUIRED: tuple[str, ...] = ("url",)
    contract: NewsContract = Articles

    def __init__(
        self, entry: Mapping[str, Any], start_date: date, clock: Callable[[], datetime], *, client: FeedClient
    ) -> None:
        self.name: str = entry["name"]
        self._url: str = entry["url"]
        self._called = f"Feed {self.name} ({shown(self._url)})"
        self._start = f"{start_date.isoformat()}T00:00:00Z"
        self._client = client
        self._clock = clock

    def check(self) -> None:
        """See :class:`Feed`."""
        with named(self._called):
            answer = self._client.get(self._url)
            self._parsed(answer)

    def read(self, mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Feed`. The mark is when the feed was read, its validators and what it told."""
        now = self._clock()
        if is_before_last_read(now, mark, f"Feed {self.name}", _logger):
            return (), mark
        fetched_at, known = iso(now), mark or {}
        address = hashlib.sha256(self._url.encode()).hexdigest()
        validators = known["validators"] if known.get("address") == address else {}
        with named(self._called):
            answer = self._client.get(self._url, validators)
            if answer.content is None:
                return (), {**known, "fetched_at": fetched_at}
            parsed = self._parsed(answer)
        shows = self._articles(parsed, shown(answer.url), fetched_at, is_first_read=mark is None)
        news, told = news_since(known.get("told", {}), shows, Articles)
        news.sort(key=lambda record: record["event_at"])
        new_mark = {"fetched_at": fetched_at, "address": address, "validators": {}, "told": told}
        if parsed.fault:
            # Without validators the next read sees and reports the fault again.
            said = f"{self._called}: It is {parsed.fault}. Its articles are delivered as far as they can be read. "
            return ending_in(IncompleteError(f"{said}Tell the publisher.", new_mark), news), new_mark
        got = answer.headers
        return news, {**new_mark, "validators": {sent: got[name] for name, sent in _VALIDATORS.items() if name in got}}

    def _articles(self, parsed: Parsed, url: str, fetched_at: str, *, is_first_read: bool) -> list[Record]:
        """What the feed at ``url`` shows, one record per article."""
        articles = {}
        for record in to_records(parsed, url):
            published, updated = record["published_at"], record["updated_at"]
            if published is not None and published < self._start:
                continue
            stated = max(published or "", updated or "")
            is_modelled = is_first_read and "" < stated <= fetched_at
            articles[record["article"]] = record | {
                "feed": self.name,
                "event_at": min(published or updated or fetched_at, fetched_at),
                "available_at": stated if is_modelled else fetched_at,
                "is_modelled": is_modelled,
                "fetched_at": fetched_at,
                "source": f"rss/{urlsplit(self._url).hostname}",
                "source_version": f"feedparser {importlib.metadata.version('feedparser')}",
            }
        return list(articles.values())

    def _parsed(self, answer: Answer) -> Parsed:
        """The answer, read.

        Raises:
            ConfigError: it is no feed, or a broken one without articles.
        """
        fix = "Open it in a browser: if it is no feed or has moved, mend or remove `url`, otherwise tell the publisher."
        try:
            # Links are relative to the address without its query, in which private feeds carry their secret.
            parsed = parse(answer.content or b"", answer.headers, shown(answer.url))
        except ParseError as error:
            raise ConfigError(f"It is not read: {error}. {fix}") from error
        entries = [entry for entry in parsed.entries if _says_something(entry)]
        if parsed.fault and not entries:
            raise ConfigError(f"It has no article and is {parsed.fault}. {fix}")
        if not parsed.version and not entries:
            raise ConfigError(f"It is neither RSS nor Atom, but {answer.headers.get('content-type')}. {fix}")
        if empty := len(parsed.entries) - len(entries):
            _logger.warning("Feed %s has %d items that say nothing; they are left out.", self.name, empty)
        return Parsed(parsed.version, parsed.feed, entries, parsed.fault)


def to_records(parsed: Parsed, url: str) -> Iterator[Record]:
    """Items as records, but for their source and the times of their delivery; each of them once.

    An item's key is its id: Atom's is the same in all the world, a permanent link of RSS is an address, and any other
    ``guid`` is the feed's own, which here means of the entry of the settings. None of them depends on where the feed
    is. Of an item without an id it is the link.

    Args:
        parsed: the feed.
        url: what relative links are relative to.
    """
    is_atom = parsed.version.startswith("atom")
    once = {json.dumps(entry, sort_keys=True): entry for entry in parsed.entries}.values()
    told = [_told_apart(entry) for entry in once]
    distinct = [(_with_own_link(entry, url, is_atom=is_atom), own) for entry, own in told]
    shared = {
        name: {value for value, times in Counter(entry.get(name) for entry, _ in distinct).items() if times > 1}
        for name in ("id", "link")
    }
    about, _ = _told_apart(parsed.feed)
    for entry, own in distinct:
        names = [entry[name] for name in ("id", "link") if entry.get(name) and entry[name] not in shared[name]]
        yield _record(entry, own, about, names[0] if names else f"sha256:{_text_hash(entry)}")


def _with_own_link(entry: dict[str, Any], url: str, *, is_atom: bool) -> dict[str, Any]:
    """The fields of an item; a link that feedparser took from the id is completed, or left out if it is no address."""
    identity = entry.get("id")
    if (
        identity is None
        or entry.get("link") != identity
        or identity in (link.get("href") for link in entry.get("links", ()))
    ):
        return entry
    others = {name: value for name, value in entry.items() if name != "link"}
    if is_atom:  # where an id never is an address to go to
        return others
    try:
        return {**others, "link": urljoin(url, identity)}
    except ValueError:
        return others


def _told_apart(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Feedparser's fields, and a publisher's own elements that have their names."""
    own = {name: value for name, value in fields.items() if not isinstance(value, _SHAPES.get(name, object))}
    return {name: value for name, value in fields.items() if name not in own}, own


def _record(entry: Mapping[str, Any], own: Mapping[str, Any], feed: Mapping[str, Any], article: str) -> Record:
    source = entry.get("source", {})
    tags = [tag["term"] or tag["label"] for tag in entry.get("tags", ())]
    columns = {
        "article": short_key(article),
        "publisher": source.get("title") or entry.get("publisher") or feed.get("title") or None,
        "url": entry.get("link") or None,
        "title": entry.get("title") or None,
        "summary": entry.get("summary") or None,
        "author": entry.get("author") or None,
        "language": _language(entry) or feed.get("language") or None,
        "tags": json.dumps(tags, ensure_ascii=False) if tags else None,
        "published_at": _instant(entry.get("published", "")),
        "updated_at": _instant(entry.get("updated", "")),
    }
    extra = {**_beyond(entry, columns), **own}
    return fitted({**dict.fromkeys(Articles.polars_schema()), **columns}, extra, Articles)


def _beyond(entry: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """What an item says that its columns do not."""
    said = {
        "id": columns["article"],
        "link": columns["url"],
        "title": columns["title"] or "",
        "summary": columns["summary"] or "",
        "author": columns["author"] or "",
        "language": columns["language"],
        "publisher": columns["publisher"],
        # Dates stay as they were delivered if they could not be read.
        "published": entry.get("published") if columns["published_at"] else None,
        "updated": entry.get("updated") if columns["updated_at"] else None,
        "links": [{"rel": "alternate", "type": "text/html", "href": columns["url"]}],
        "authors": [{"name": columns["author"]}],
        "source": {"title": columns["publisher"]},
    }
    extra: dict[str, Any] = {}
    for name, value in entry.items():
        if name in _IGNORED or (name in said and value == said[name]):
            continue
        if name in ("title_detail", "summary_detail"):
            extra[name] = _form(value)
        elif name == "content":
            extra[name] = [{**_form(part), "value": part["value"]} for part in value]
        elif name != "tags" or any(tag["scheme"] or tag["label"] for tag in value):
            extra[name] = value
    return extra


def _form(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What form a text has: its type, for instance HTML, and its language.

    Its base, to complete relative links in it, is left out: mostly it is the feed's own address.
    """
    return {name: value for name, value in detail.items() if name not in ("base", "value") and value is not None}


def _language(entry: Mapping[str, Any]) -> str | None:
    """The language that an item states of itself, or of its text."""
    texts = [entry.get("title_detail", {}), *entry.get("content", ()), entry.get("summary_detail", {})]
    stated = [entry.get("language"), *(text.get("language") for text in texts)]
    return next(filter(None, stated), None)


def _instant(date_text: str) -> str | None:
    """A date of ISO 8601 (Atom) or RFC 2822 (RSS) as the protocol's text; None if it names no instant, or is broken."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            instant = read(date_text.strip())
            if instant.tzinfo is not None and instant.year >= _FIRST_YEAR:
                return iso(instant)
        except (ValueError, OverflowError):
            continue
    return None


def _says_something(entry: Mapping[str, Any]) -> bool:
    return any(entry.get(name) for name in ("id", "link", "title", "summary", "content"))


def _text_hash(entry: Mapping[str, Any]) -> str:
    text = [entry.get("title"), entry.get("summary"), [part["value"] for part in entry.get("content", ())]]
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()
