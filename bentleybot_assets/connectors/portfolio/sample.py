"""Sample statements, written for this project: of nobody, consistent with each other and with the sample's prices.

===================  =================================  ==========================================================
institution          statements                         what they show
===================  =================================  ==========================================================
Sample Bank          CSV, exported twice                checking: salary, rent, utilities, purchases, transfers;
                                                        a pending purchase that is posted, one that is dropped
Sample Credit Union  OFX                                savings with interest, and a credit card
Sample Broker        CSV, transactions and positions    stocks and a fund at the sample's closes, in cents
===================  =================================  ==========================================================

They are read as a user's own files are. Nobody saw them arrive, so ``is_modelled`` is true of all, and ``fetched_at``
is the instant at which they would have been exported: the log is the same on every machine and every day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files

from bentleybot_assets.connectors.feeds import Mark, Record, iso
from bentleybot_assets.connectors.portfolio import csv_tables, ofx
from bentleybot_assets.connectors.portfolio.csv_mapping import mapping_of
from bentleybot_assets.connectors.portfolio.files import in_order, read_statement
from bentleybot_assets.connectors.portfolio.statements import Statement, news
from bentleybot_assets.contracts.raw._base import RawContract

SOURCE = "bentleybot sample statements"

_FIRST_EXPORT = datetime(2022, 12, 20, 12, tzinfo=UTC)
_LAST_EXPORT = datetime(2022, 12, 28, 12, tzinfo=UTC)
"""On the morning of the sample's last session."""


@dataclass(frozen=True)
class _Csv:
    """How a CSV file of the sample is read."""

    mapping: str
    account: csv_tables.Account

    def parse(self, name: str, content: bytes) -> Statement:
        return csv_tables.read(name, content, mapping_of(self.mapping, name), self.account)


class _Ofx:
    """How an OFX file of the sample is read."""

    def parse(self, _: str, content: bytes) -> Statement:
        return ofx.read(content)


_CHECKING = _Csv("bank", csv_tables.Account(None, "Everyday checking", "checking", None))
_BROKERAGE = csv_tables.Account("SAMPLE-BRK-003", "Brokerage", "brokerage", None)

_EXPORTS: Mapping[str, Sequence[tuple[datetime, str, _Csv | _Ofx]]] = {
    "Sample Bank": (
        (_FIRST_EXPORT, "SAMPLE-checking-2022-12-20.csv", _CHECKING),
        (_LAST_EXPORT, "SAMPLE-checking-2022-12-28.csv", _CHECKING),
    ),
    "Sample Credit Union": ((_LAST_EXPORT, "SAMPLE-credit-union-2022-12-28.ofx", _Ofx()),),
    "Sample Broker": (
        (_LAST_EXPORT, "SAMPLE-brokerage-2022-12-28.csv", _Csv("broker_us", _BROKERAGE)),
        (_LAST_EXPORT, "positions-2022-12-27.csv", _Csv("broker_us_positions", _BROKERAGE)),
    ),
}

NAMES = tuple(_EXPORTS)
"""The institutions of the sample."""


class SampleInstitution:
    """An institution of the sample.

    Args:
        name: one of NAMES.
        start: see :class:`Institution`.
    """

    def __init__(self, name: str, start: date) -> None:
        self._name = name
        self._start = start
        self._statements: list[tuple[datetime, str, Statement]] = []

    def check(self) -> None:
        """See :class:`Institution`."""
        self._exports()

    def read(self, contract: type[RawContract], mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Institution`. What exports tell after the mark, each as if imported when it was made."""
        records: list[Record] = []
        statements = self._exports()
        for exported_at in sorted({at for at, _, _ in statements}):
            if mark is not None and iso(exported_at) <= mark["fetched_at"]:
                continue
            told, mark = news(
                contract,
                in_order({name: statement for at, name, statement in statements if at <= exported_at}),
                mark,
                institution=self._name,
                source=SOURCE,
                start=self._start,
                fetched_at=exported_at,
            )
            records += told
        return [{**told, "is_modelled": True} for told in records], mark

    def _exports(self) -> list[tuple[datetime, str, Statement]]:
        if not self._statements:
            folder = files(f"{__package__}.sample_statements")
            self._statements = [
                (exported_at, name, read_statement(name, folder.joinpath(name).read_bytes(), how.parse))
                for exported_at, name, how in _EXPORTS[self._name]
            ]
        return self._statements
