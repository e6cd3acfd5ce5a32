"""Institutions that are asked through an API: what it tells is true now, and is told again at every sync.

Belongs here: what is news of that, and marks. Does not belong here: any API (a module per kind).
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from bentleybot_assets.connectors.feeds import ConfigError, IncompleteError, Mark, Record, iso
from bentleybot_assets.connectors.payloads import Payload
from bentleybot_assets.connectors.polling import ending_in, is_before_last_read
from bentleybot_assets.connectors.portfolio.institutions import knowledge_time, record
from bentleybot_assets.contracts._base import SYMBOL_PATTERN
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

_logger = logging.getLogger("airbyte.portfolio")


@dataclass(frozen=True)
class Told:
    """What an institution tells in one record.

    Attributes:
        content: column to value, without the columns that all raw tables share and without the institution.
        extra: what has no column.
        event_at: when it was true; None: when it is asked.
        is_history: it was told in the first read, so that nobody here saw it arrive.
        posted_at: when the institution posted it, if that may be later than ``event_at``.
    """

    content: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    event_at: datetime | None = None
    is_history: bool = False
    posted_at: datetime | None = None


class PolledInstitution(ABC):
    """Base of the kinds that ask an API.

    Accounts are delivered when they are new or changed. Balances and positions are delivered at every sync, true at
    its time; a position that is not told any more is delivered once with the quantity zero.

    Args:
        settings: the entry of ``institutions``.
        start: nothing that happened before this day is read.
        clock: the present, timezone-aware.
    """

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None:
        self.name = settings["name"]
        self.settings = settings
        self.start = start
        self._clock = clock

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the records come from."""

    @property
    @abstractmethod
    def source_version(self) -> str:
        """Version of the API."""

    @abstractmethod
    def ask_accounts(self) -> Sequence[Told]:
        """The accounts as they are now."""

    @abstractmethod
    def ask_balances(self) -> Sequence[Told]:
        """Their balances."""

    @abstractmethod
    def ask_positions(self) -> Sequence[Told]:
        """What they hold."""

    @abstractmethod
    def ask_transactions(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Told], Mark]:
        """Transactions that are news after ``mark``, and the new mark; it may leave out when it was asked."""

    def check(self) -> None:
        """See :class:`~bentleybot_assets.connectors.portfolio.institutions.Institution`. Asks for the accounts."""
        self.ask_accounts()

    def read(self, contract: type[RawContract], mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`~bentleybot_assets.connectors.portfolio.institutions.Institution`."""
        now = self._clock()
        if is_before_last_read(now, mark, self.name, _logger):
            return (), mark
        of_stream = {
            Accounts: self._accounts,
            Balances: self._balances,
            Positions: self._positions,
            Transactions: self._transactions,
        }
        return of_stream[contract](mark, now)

    def _accounts(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Record], Mark]:
        known: Mapping[str, str] = mark["told"] if mark else {}
        accounts = self.ask_accounts()
        digests = {told.content["account"]: digest(told) for told in accounts}
        news = [told for told in accounts if known.get(told.content["account"]) != digests[told.content["account"]]]
        return self._records(Accounts, news, now), {"fetched_at": iso(now), "told": {**known, **digests}}

    def _balances(self, _: Mark | None, now: datetime) -> tuple[Iterable[Record], Mark]:
        return self._in_currency(Balances, self.ask_balances(), now, {"fetched_at": iso(now)})

    def _positions(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Record], Mark]:
        positions = self.ask_positions()
        held = {_position(told): {**told.content, "price": None, "cost_basis": None} for told in positions}
        if len(held) < len(positions):
            keys = [_position(told) for told in positions]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ConfigError(f"{self.source} tells a position twice: {twice}. Report it.")
        gone = [
            Told({**content, "quantity": 0.0, "value": 0.0})
            for key, content in (mark["held"] if mark else {}).items()
            if key not in held
        ]
        return self._in_currency(Positions, [*positions, *gone], now, {"fetched_at": iso(now), "held": held})

    def _transactions(self, mark: Mark | None, now: datetime) -> tuple[Iterable[Record], Mark]:
        news, new_mark = self.ask_transactions(mark, now)
        records = self._records(Transactions, news, now)
        return sorted(records, key=lambda made: made["event_at"]), {"fetched_at": iso(now), **new_mark}

    def _records(self, contract: type[RawContract], news: Iterable[Told], now: datetime) -> list[Record]:
        return [
            record(
                contract,
                told.extra,
                institution=self.name,
                **told.content,
                **knowledge_time(told.event_at or now, now, is_history=told.is_history, posted_at=told.posted_at),
                source=self.source,
                source_version=self.source_version,
            )
            for told in news
        ]

    def _in_currency(
        self, contract: type[RawContract], news: Sequence[Told], now: datetime, mark: Mark
    ) -> tuple[Iterable[Record], Mark]:
        """Records of what has an ISO currency, without which an amount says nothing; the rest is reported."""
        lost = [told for told in news if told.content["currency"] is None]
        records = self._records(contract, [told for told in news if told.content["currency"] is not None], now)

        if not lost:
            return records, mark
        accounts = sorted({told.content["account"] for told in lost})
        report = (
            f"{len(lost)} of {len(news)} {contract.asset_key()[-1]} have no ISO 4217 currency and are left out: "
            f"{lost[0].extra} of {', '.join(accounts)}."
        )
        return ending_in(IncompleteError(report, mark), records), mark


def ticker(payload: Payload, name: str) -> str | None:
    """A field that holds a ticker; one that no symbol column takes (an option's, for instance) is left to the rest."""
    text = payload.text(name, optional=True)
    if text is None or re.match(SYMBOL_PATTERN, text):
        return text  # type: ignore[no-any-return]
    payload.keep(name)
    return None


def _position(told: Told) -> str:
    return json.dumps([told.content["account"], told.content["security"]])


def digest(told: Told) -> str:
    """Of what is told, not of when: two that are equal are the same news."""
    content = json.dumps([told.content, told.extra], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
