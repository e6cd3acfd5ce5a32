"""The elements of an OFX file, taken one by one, so that none is lost.

Belongs here: values and their faults, what is kept, what is ignored. Does not belong here: tags (``ofx_tree``), what an
element means (``ofx``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from bentleybot_assets.connectors.portfolio.ofx_tree import Element
from bentleybot_assets.contracts._base import CURRENCY_PATTERN

_SESSION = "about the download, not the account"
_REQUEST = "number of the request that was answered"
_QUOTE = "about a security that is not held"

IGNORED: Mapping[str, Mapping[str, str]] = {
    "SONRS": dict.fromkeys(
        (
            *("STATUS", "LANGUAGE", "DTPROFUP", "DTACCTUP", "USERKEY", "TSKEYEXPIRE", "SESSCOOKIE", "ACCESSKEY"),
            *("INTU.BID", "INTU.USERID"),
        ),
        _SESSION,
    ),
    **{
        f"{wrapper}STMTTRNRS": {"TRNUID": _REQUEST, "CLTCOOKIE": _REQUEST, "STATUS": _SESSION}
        for wrapper in ("", "CC", "INV")
    },
    "INVTRANLIST": {"DTSTART": "the period of the list", "DTEND": "the period of the list"},
    "SECLIST": {"*": _QUOTE},
}
"""Elements that are read and dropped: parent to element to reason. Other elements are mapped or kept."""

_DATE = re.compile(
    r"(?P<day>\d{8})(?P<time>\d{6}|\d{4})?(?:\.\d+)?"
    r"\s*(?:\[\s*(?P<sign>[+-]?)(?P<hours>\d{1,2})(?:[.:](?P<part>\d{1,2}))?\s*(?::[^\]]*)?\])?",
    re.ASCII,
)
_AMOUNT = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)", re.ASCII)
_QUARTERS = {None: 0, "0": 0, "00": 0, "15": 15, "25": 15, "30": 30, "5": 30, "50": 30, "45": 45, "75": 45}
"""Minutes of an offset's part: some write them, some a fraction of the hour. No zone has other than quarters."""

_EARLIEST, _LATEST = 1900, 2199


@dataclass(frozen=True)
class Moment:
    """An OFX date: the instant, and the day as the institution writes it."""

    at: datetime
    day: date


class Reader:
    """Takes the elements of an aggregate one by one; what is not taken is kept as it is.

    Args:
        element: the aggregate.
        problems: grows by what is wrong with an element.
    """

    def __init__(self, element: Element, problems: list[str]) -> None:
        self._element = element
        self._problems = problems
        self._left = list(element.children)

    @property
    def tag(self) -> str:
        """The aggregate's name."""
        return self._element.tag

    @property
    def place(self) -> str:
        """The aggregate and its line."""
        return f"{self.tag} in line {self._element.line}"

    def problem(self, tag: str, text: str, child: Element | None = None) -> None:
        """Note what is wrong with a child."""
        self._problems.append(f"line {(child or self._element).line}: {self.tag}/{tag} {text}")

    def within(self, aggregate: Element) -> Reader:
        """Reads an aggregate that stays."""
        return Reader(aggregate, self._problems)

    def child(self, tag: str) -> Element | None:
        """The next child with this name, which stays."""
        return next((child for child in self._left if child.tag == tag), None)

    def take(self, tag: str) -> Element | None:
        """The next child with this name."""
        for position, child in enumerate(self._left):
            if child.tag == tag:
                return self._left.pop(position)
        return None

    def text(self, tag: str, *, required: bool = False, keep: bool = False) -> str | None:
        """The value of a child; None if there is none or it is empty. One to keep also stays as it is."""
        element = self.child(tag) if keep else self.take(tag)
        if element is not None and element.text:
            return element.text
        if required:
            what = "is missing" if element is None else "is empty"
            self.problem(tag, f"{what}. Download the statement again, or write the value.", element)
        return None

    def number(self, tag: str, *, required: bool = False, keep: bool = False) -> float | None:
        """The amount that a child tells."""
        element = self.child(tag)
        text = self.text(tag, required=required, keep=keep)
        if text is None:
            return None
        value = float(text.replace(",", ".")) if _AMOUNT.fullmatch(text) else math.inf
        if not math.isfinite(value):
            self.problem(tag, f"is {text!r}, which is no amount. Write it like -1234.56.", element)
            return None
        return value

    def currency(self) -> str | None:
        """CURSYM of CURRENCY, in which the amounts are then; None if they are in the account's."""
        aggregate = self.child("CURRENCY")
        return None if aggregate is None else currency_of(self.within(aggregate), "CURSYM")

    def moment(self, tag: str, *, required: bool = False) -> Moment | None:
        """The date that a child tells; without an offset it is in UTC, as OFX has it."""
        element = self.child(tag)
        text = self.text(tag, required=required)
        if text is None:
            return None
        try:
            return _moment(text)
        except ValueError:
            self.problem(
                tag, f"is {text!r}, which is no date. Write it like 20221228 or 20221228093000[-5:EST].", element
            )
            return None

    def aggregate(self, *tags: str, required: bool = False) -> Reader | None:
        """The next child with one of these names."""
        for tag in tags:
            if (element := self.take(tag)) is not None:
                return Reader(element, self._problems)
        if required:
            self.problem(tags[0], "is missing. Download the statement again.")
        return None

    def aggregates(self, tags: Iterable[str]) -> list[Reader]:
        """All children with one of these names, in their order."""
        wanted = set(tags)
        found = [child for child in self._left if child.tag in wanted]
        self._left = [child for child in self._left if child.tag not in wanted]
        return [Reader(child, self._problems) for child in found]

    def rest(self) -> dict[str, Any]:
        """What was not taken and is not ignored, as JSON; empty elements tell nothing."""
        ignored = IGNORED.get(self.tag, {})
        return _as_json(child for child in self._left if child.tag not in ignored)


def _as_json(elements: Iterable[Element]) -> dict[str, Any]:
    """Elements by name; of several with one name a list."""
    found: dict[str, Any] = {}
    for element in elements:
        value = _as_json(element.children) if element.children else element.text
        if not value:
            continue
        if element.tag not in found:
            found[element.tag] = value
        elif isinstance(found[element.tag], list):
            found[element.tag].append(value)
        else:
            found[element.tag] = [found[element.tag], value]
    return found


def _moment(text: str) -> Moment:
    """An OFX date.

    Raises:
        ValueError: it is none.
    """
    found = _DATE.fullmatch(text)
    if found is None or found["part"] not in _QUARTERS:
        raise ValueError(text)
    told = found["day"] + (found["time"] or "").ljust(6, "0")
    if not _EARLIEST <= int(told[:4]) <= _LATEST:
        raise ValueError(text)
    offset = timedelta(hours=int(found["hours"] or 0), minutes=_QUARTERS[found["part"]])
    zone = timezone(-offset if found["sign"] == "-" else offset)
    local = datetime.strptime(told, "%Y%m%d%H%M%S").replace(tzinfo=zone)
    return Moment(local.astimezone(UTC), local.date())


def currency_of(reader: Reader, tag: str) -> str | None:
    """The ISO 4217 code that a child tells."""
    element = reader.child(tag)
    code = reader.text(tag, required=True)
    if code is not None and not re.fullmatch(CURRENCY_PATTERN, code):
        reader.problem(tag, f"is {code!r}, which is no currency. Write an ISO 4217 code like USD.", element)
        return None
    return code
