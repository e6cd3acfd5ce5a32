"""JSON objects of an API's answers, read field by field.

So that a field that is missing or of another type is an error that names it, and a field that nobody reads is not lost.

Does not belong here: any API, how it is asked (``manifests``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from bentleybot_assets.connectors.feeds import ConfigError

_T = TypeVar("_T")

_LONGEST_SHOWN = 80


class Payload:
    """One JSON object.

    Reading a field gives its value, or None if it is ``optional`` and null, missing or an empty text. What is read or
    ignored is not part of :meth:`rest`.

    Args:
        content: the object.
        place: what it is, for messages, for instance ``Alpaca positions[3]``.

    Raises:
        ConfigError: from all methods that read: the field is missing or not of the type.
    """

    def __init__(self, content: Any, place: str) -> None:
        if not isinstance(content, Mapping):
            raise _unexpected(f"{place} is {_shown(content)}, not an object")
        self._content = content
        self._place = place
        self._read: set[str] = set()
        self._inner: dict[str, Payload | list[Payload]] = {}

    def text(self, name: str, *, optional: bool = False) -> Any:
        """A text; a number counts as one, because some APIs have ids of either kind."""
        return self._value(name, _text, "text", optional=optional)

    def number(self, name: str, *, optional: bool = False) -> Any:
        """A number, also one that is written as a text."""
        return self._value(name, _number, "number", optional=optional)

    def flag(self, name: str, *, optional: bool = False) -> Any:
        """True or false."""
        return self._value(name, _flag, "truth value", optional=optional)

    def day(self, name: str, *, optional: bool = False) -> Any:
        """A date."""
        return self._value(name, _day, "date", optional=optional)

    def instant(self, name: str, *, optional: bool = False) -> Any:
        """An instant with its offset, as an aware datetime in UTC."""
        return self._value(name, _instant, "time with an offset", optional=optional)

    def inner(self, name: str, *, optional: bool = False) -> Payload:
        """The object in a field; an empty one if there is none and it is ``optional``."""
        content = self._content.get(name)
        inner = Payload({} if optional and content is None else content, f"{self._place}.{name}")
        self._inner[name] = inner
        return inner

    def list(self, name: str, *, optional: bool = False) -> list[Payload]:
        """The objects in a field."""
        content = self._content.get(name)
        if optional and content is None:
            content = []
        if not isinstance(content, list):
            raise _unexpected(f"{self._place}: `{name}` is {self._shown(name)}, not a list")
        inner = [Payload(item, f"{self._place}.{name}[{position}]") for position, item in enumerate(content)]
        self._inner[name] = inner
        return inner

    def ignore(self, *names: str) -> None:
        """Leave these fields out of :meth:`rest`, deliberately."""
        self._read.update(names)

    def keep(self, name: str) -> None:
        """Have a field in :meth:`rest` although it was read."""
        self._read.discard(name)

    def rest(self) -> dict[str, Any]:
        """The fields that were not read, without those that are null or empty."""
        rest = {name: value for name, value in self._content.items() if name not in self._read}
        for name in self._inner.keys() - self._read:
            inner = self._inner[name]
            rest[name] = [item.rest() for item in inner] if isinstance(inner, list) else inner.rest()
        return _pruned(rest)  # type: ignore[no-any-return]

    def _value(self, name: str, read: Callable[[Any], _T], kind: str, *, optional: bool) -> _T | None:
        value = self._content.get(name)
        self._read.add(name)
        if optional and value in (None, ""):
            return None
        try:
            return read(value)
        except (TypeError, ValueError) as error:
            raise _unexpected(f"{self._place}: `{name}` is {self._shown(name)}, not a {kind}") from error

    def _shown(self, name: str) -> str:
        return _shown(self._content[name]) if name in self._content else "missing"


def _text(value: Any) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise TypeError
    return str(value)


def _number(value: Any) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _day(value: Any) -> date:
    return date.fromisoformat(value)


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError
    return instant.astimezone(UTC)


def _pruned(value: Any) -> Any:
    """The value without nulls and empty texts, lists and objects in it, at any depth; they tell nothing."""
    if isinstance(value, Mapping):
        kept = {name: _pruned(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [item for item in map(_pruned, value) if item not in (None, "", [], {})]
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _unexpected(what: str) -> ConfigError:
    return ConfigError(f"{what}. This is not what the API documents: check `base_url`, or report it.")
