"""Statements of one institution: what several of them tell together, and what of it is news.

Belongs here: overlaps, removals, marks. Does not belong here: what a file says (``csv_tables``, ``ofx``), where files
are (``files``).

Statements overlap, are imported twice or arrive late. So each read takes all that are there, in their order; of what
several tell, the last holds; delivered is what was not told before, or not like this. That makes neither the order in
which files arrive nor their repetition matter. The mark keeps a digest of each row told, about fifty bytes.

A pending transaction that a later statement of its day does not tell any more is delivered as ``removed``. A posted one
stays: an export may be filtered, a bank may state a longer period than it tells, and a file may be archived.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from operator import itemgetter
from typing import Any

from bentleybot_assets.connectors.feeds import ConfigError, Mark, Record, iso
from bentleybot_assets.connectors.portfolio.institutions import knowledge_time, record
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

_KEYS: Mapping[type[RawContract], tuple[str, ...]] = {
    contract: tuple(name for name in contract.rules().grain if name not in {"institution", "event_at", "fetched_at"})
    for contract in (Accounts, Balances, Positions, Transactions)
}
_DATED = (Balances, Positions)
"""Streams in which another instant is another row, not another version."""

_IF_NOT_UNIQUE = (
    "If the institution's numbers are not unique, let transactions be told apart by what they tell: with "
    "`transaction_key: content` of an ofx entry, without `transaction` in the mapping of a csv entry."
)
_OTHERWISE: Mapping[type[RawContract], str] = {
    Transactions: f". {_IF_NOT_UNIQUE}",
    Positions: ", or export one row per security, not per lot.",
}
_MOST_PROBLEMS = 5
_DIGEST_DIGITS = 12
_KEY_DIGITS = 20


class StatementError(ValueError):
    """A statement cannot be read; the message names the places in it and says what to do."""


def refuse(problems: Sequence[str]) -> None:
    """Raise a StatementError that tells the first of the problems, if there are any."""
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise StatementError(" ".join(problems[:_MOST_PROBLEMS]) + (f" And {more} more." if more > 0 else ""))


@dataclass(frozen=True)
class Row:
    """What a statement tells in one record.

    Attributes:
        content: column to value, without the columns that all raw tables share and without the institution.
        extra: what has no column.
        event_at: when it was true; None: when it is read.
        place: where the statement tells it.
        posted_at: when the institution posted it, if that may be later than ``event_at``.
    """

    content: Mapping[str, Any]
    extra: Mapping[str, Any]
    event_at: datetime | None
    place: str
    posted_at: datetime | None = None


@dataclass(frozen=True)
class Period:
    """Days of an account whose pending transactions a statement tells in full. ``after`` itself is not one of them."""

    account: str
    after: date
    through: date


@dataclass(frozen=True)
class Statement:
    """What one file says.

    Attributes:
        rows: what it tells, by stream.
        periods: days for which a pending transaction that it does not tell is no more.
        made_at: when the institution made it, if it says so.
        version: the file, and a digest of it.
    """

    rows: Mapping[type[RawContract], Sequence[Row]]
    periods: Sequence[Period] = ()
    made_at: datetime | None = None
    version: str = ""

    def by_key(self, contract: type[RawContract]) -> dict[str, tuple[Row, str]]:
        """The rows of a stream by their key, each with this statement's version.

        Raises:
            StatementError: two rows of one key contradict each other.
        """
        found: dict[str, tuple[Row, str]] = {}
        for row in self.rows.get(contract, ()):
            key = _key(contract, row)
            if key in found and _digest(found[key][0]) != _digest(row):
                raise StatementError(
                    f"{found[key][0].place} and {row.place} tell different things of the same one of "
                    f"{contract.__name__.lower()}, {', '.join(json.loads(key))}. Delete the wrong one from the file"
                    f"{_OTHERWISE.get(contract, '.')}"
                )
            found.setdefault(key, (row, self.version))
        return found


class ContentKeys:
    """Natural keys of one statement's transactions that have no number: a hash of what they tell.

    Transactions that tell the same are counted. So a statement that begins in the middle of such a group shifts none,
    but one whose date, amount or text is changed later is another transaction.
    """

    def __init__(self) -> None:
        self._equals: Counter[str] = Counter()

    def key(
        self, account: str, day: str | None, amount: float | None, narrative: str | None, trade: Sequence[Any] = ()
    ) -> str:
        """The key of the statement's next transaction; of one in a security, ``trade`` is what tells it from others."""
        text = " ".join(unicodedata.normalize("NFKC", narrative or "").casefold().split())
        content = json.dumps([account, day, amount, text, *trade], ensure_ascii=False)
        ordinal = self._equals[content]
        self._equals[content] += 1
        return hashlib.sha256(f"{content} {ordinal}".encode()).hexdigest()[:_KEY_DIGITS]


def news(
    contract: type[RawContract],
    statements: Iterable[Statement],
    mark: Mark | None,
    *,
    institution: str,
    source: str,
    start: date,
    fetched_at: datetime,
) -> tuple[list[Record], Mark]:
    """What the statements tell of a stream after ``mark``, oldest first, and the new mark.

    Args:
        contract: of the stream.
        statements: all there are, the newest last.
        mark: of the read before; None if there was none.
        institution: whose they are.
        source: says where the records come from.
        start: what was true, or posted, before this day is left out; accounts are not.
        fetched_at: when the statements were read.
    """
    told: Mapping[str, str] = mark["told"] if mark else {}
    latest = {
        key: (row, version, row.event_at or fetched_at)
        for key, (row, version) in _latest(contract, statements, mark).items()
        if contract is Accounts or (row.posted_at or row.event_at or fetched_at).date() >= start
    }
    now = {key: _digest(row) for key, (row, _, _) in latest.items()}
    if contract is Positions:
        told = _without_changed_holdings(told, now)
    records = [
        (
            event_at,
            record(
                contract,
                row.extra,
                institution=institution,
                **row.content,
                **knowledge_time(event_at, fetched_at, is_history=mark is None, posted_at=row.posted_at),
                source=source,
                source_version=version,
            ),
        )
        for key, (row, version, event_at) in latest.items()
        if told.get(key) != now[key]
    ]
    records.sort(key=itemgetter(0))
    pending = {
        key: {"event_at": event_at.isoformat(), "content": row.content, "extra": row.extra, "version": version}
        for key, (row, version, event_at) in latest.items()
        if row.content.get("status") == "pending"
    }
    return _one_of_each_instant(contract, [made for _, made in records]), {
        "fetched_at": iso(fetched_at),
        "told": {**told, **now},
        "pending": pending,
    }


def _without_changed_holdings(told: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What was told of positions, but for what an account held at an instant of which now something else is told.

    That is told again as a whole: what it leaves out is not held.
    """

    def holdings(key: str) -> tuple[str, str]:
        account, *_, at = json.loads(key)
        return account, at

    told_now = {holdings(key) for key in now}
    gone = {holdings(key) for key in told.keys() - now.keys()} & told_now
    changed = gone | {holdings(key) for key in now if told.get(key) != now[key]}
    return {key: digest for key, digest in told.items() if holdings(key) not in changed}


def _one_of_each_instant(contract: type[RawContract], records: Iterable[Record]) -> list[Record]:
    """Several that are dated ahead are true of one instant: the last is told, with what only earlier ones tell."""
    found: dict[tuple[Any, ...], Record] = {}
    for told in records:
        key = tuple(told[name] for name in contract.rules().grain)
        before = found.get(key, told)
        found[key] = {name: before[name] if value is None else value for name, value in told.items()}
    return list(found.values())


def _latest(
    contract: type[RawContract], statements: Iterable[Statement], mark: Mark | None
) -> dict[str, tuple[Row, str]]:
    """The last that is told of each key, and by which statement's version."""
    latest: dict[str, tuple[Row, str]] = {}
    for key, kept in (mark["pending"] if mark else {}).items():
        event_at = datetime.fromisoformat(kept["event_at"])
        latest[key] = Row(kept["content"], kept["extra"], event_at, "the STATE"), kept["version"]
    for statement in statements:
        told = statement.by_key(contract)
        if contract is Transactions:
            for key in _gone(latest, told, statement.periods):
                row, _ = latest[key]
                latest[key] = replace(row, content={**row.content, "status": "removed"}), statement.version
            _refuse_reused_numbers(latest, told)
        latest.update(told)
    return latest


def _refuse_reused_numbers(latest: Mapping[str, tuple[Row, str]], told: Mapping[str, tuple[Row, str]]) -> None:
    """A posted transaction may be corrected. With another day and another amount it is another one.

    Raises:
        ConfigError: the institution gives one number twice.
    """
    for key in latest.keys() & told.keys():
        (before, before_in), (now, now_in) = latest[key], told[key]
        is_posted = before.content["status"] == now.content["status"] == "posted"
        if is_posted and all(before.content[name] != now.content[name] for name in ("posted_date", "amount")):
            raise ConfigError(
                f"{before.place} of {before_in} and {now.place} of {now_in} have one number, "
                f"{now.content['transaction']}, but other days and amounts. {_IF_NOT_UNIQUE}"
            )


def _gone(latest: Mapping[str, tuple[Row, str]], told: Mapping[str, Any], periods: Sequence[Period]) -> list[str]:
    """Keys of pending transactions that a statement should tell but does not."""
    return [
        key
        for key, (row, _) in latest.items()
        if row.content["status"] == "pending"
        and key not in told
        and any(
            period.account == row.content["account"] and period.after < _day(row) <= period.through
            for period in periods
        )
    ]


def _day(row: Row) -> date:
    return date.fromisoformat(row.content["transacted_date"] or row.content["posted_date"])


def _key(contract: type[RawContract], row: Row) -> str:
    key = [row.content[name] for name in _KEYS[contract]]
    if contract in _DATED and row.event_at is not None:
        key.append(iso(row.event_at))
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def _digest(row: Row) -> str:
    """Of what a row tells, not of who tells it when."""
    content = json.dumps([row.content, row.extra], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_DIGITS]
