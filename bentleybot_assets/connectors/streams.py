"""An Airbyte stream that is read part by part: its STATE, its schema, and what happens to a part that cannot be read.

Belongs here: the protocol. Does not belong here: what a part is and where its records come from (each source's feeds).

STATE keeps a mark per part, so that a part added later gets its whole history, and is sent after each part::

    {"mode": "sample", "marks": {"IBM": {"start_date": "1990-01-01", "session": "2013-03-01"}, ...},
     "problems": {"TYPO": "There is no ..."}, "fields": {"IBM": ["vwap"], ...}, "new_fields": {"IBM": ["vwap"]}}

A part that cannot be read never fails the others: why is kept in the STATE, its mark stays, and the next read tries it
again. The stream fails if its feed is unavailable, or if not one part could be read. Of a part that can be read but for
something in it, the mark moves on and why is kept, too.

Fields beyond the columns are in each record's ``extra``; their names are kept per part. What a part has when its first
records are read is how its source is; what the newest read found beside that is ``new_fields``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from airbyte_cdk.models import AirbyteMessage, AirbyteRecordMessage, FailureType, SyncMode, Type
from airbyte_cdk.sources.streams import CheckpointMixin, Stream
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.feeds import (
    ConfigError,
    IncompleteError,
    Mark,
    Read,
    TransientError,
    UnavailableError,
)
from bentleybot_assets.connectors.schema import json_schema
from bentleybot_assets.connectors.undeclared import MOST_FIELDS, Undeclared
from bentleybot_assets.contracts._base import Contract

_MOST_PROBLEMS = 5
"""Of as many parts an error says why they could not be read."""


class PartedStream(Stream, CheckpointMixin):
    """One stream: the contract's columns, one slice per part, a STATE after each.

    Args:
        contract: declares the columns and, as its grain, the primary key.
        cursor: the cursor column.
        parts: what is read one after the other, in a fixed order.
        read: reads one part.
        mode: kept in the STATE, because a log of sample data must never go on as real data.
        start_date: kept in the marks, so that an earlier one reads the history again.
    """

    def __init__(
        self,
        contract: type[Contract],
        cursor: str,
        parts: Sequence[str],
        read: Read,
        *,
        mode: str,
        start_date: str,
    ) -> None:
        self.name = contract.asset_key()[-1]
        self._schema = json_schema(contract)
        self._columns = frozenset(contract.polars_schema())
        self._primary_key = list(contract.rules().grain)
        self._cursor = cursor
        self._parts = parts
        self._read = read
        self._mode = mode
        self._start_date = start_date
        self._state: MutableMapping[str, Any] = {}
        self._left_out: set[str] = set()

    @property
    def primary_key(self) -> list[str]:
        """The contract's grain: a newer version of a record is another record."""
        return self._primary_key

    @property
    def cursor_field(self) -> str:
        """The column that grows."""
        return self._cursor

    def get_json_schema(self) -> Mapping[str, Any]:
        """The contract, as JSON schema."""
        return self._schema

    @property
    def state(self) -> MutableMapping[str, Any]:
        """Marks of the parts read so far, and why others could not be read."""
        return self._state

    @state.setter
    def state(self, value: MutableMapping[str, Any]) -> None:
        if value and value["mode"] != self._mode:
            raise _traced_exception(
                ConfigError(
                    f"This connection's log was read in mode {value['mode']}, the configuration says {self._mode}. "
                    "One log must not mix them: use another warehouse or connection."
                )
            )
        self._state = value

    def stream_slices(self, **_: Any) -> Iterable[Mapping[str, Any]]:
        """One slice per part."""
        return [{"part": part} for part in self._parts]

    def read_records(
        self,
        sync_mode: SyncMode,
        cursor_field: list[str] | None = None,  # noqa: ARG002 - the cdk's signature
        stream_slice: Mapping[str, Any] | None = None,
        stream_state: Mapping[str, Any] | None = None,  # noqa: ARG002 - the cdk's signature
    ) -> Iterable[AirbyteMessage]:
        """The slice's records after its mark, oldest first.

        They come as messages, not as mappings, which spares the cdk copying and wrapping each one.
        """
        part = (stream_slice or {})["part"]
        marks = self._state.get("marks", {})
        mark = marks.get(part)
        if mark is not None and (sync_mode is SyncMode.full_refresh or self._start_date < mark["start_date"]):
            mark = None
        emitted_at = time.time_ns() // 1_000_000
        undeclared: Undeclared | None = None
        try:
            records, new_mark = self._read(part, mark)
            for record in records:
                undeclared = undeclared or Undeclared(self._columns)
                if record["extra"]:
                    undeclared.add(record["extra"])
                yield AirbyteMessage(
                    type=Type.RECORD,
                    record=AirbyteRecordMessage(stream=self.name, data=record, emitted_at=emitted_at),
                )
        except UnavailableError as problem:
            raise _traced_exception(type(problem)(_of_part(part, str(problem)))) from problem
        except IncompleteError as problem:
            self._note(part, mark, problem.mark)
            self._note_fields(part, undeclared)
            self._report(part, "is read but for something in it", problem)
        except (ConfigError, TransientError) as problem:
            self._leave_out(part, problem)
        else:
            self._note(part, mark, new_mark)
            self._note_fields(part, undeclared)

    def _note(self, part: str, mark: Mark | None, new_mark: Mark | None) -> None:
        """Keep the new mark."""
        marks = self._state.get("marks", {})
        if new_mark is not None:
            start_date = mark["start_date"] if mark is not None else self._start_date
            marks = {**marks, part: {"start_date": start_date, **new_mark}}
        self._keep(marks=marks, problems=self._of_other_parts("problems", part))
        self._left_out.discard(part)

    def _note_fields(self, part: str, undeclared: Undeclared | None) -> None:
        """Keep which undeclared fields a part has, and report those that it did not have before."""
        new_fields = self._of_other_parts("new_fields", part)
        if undeclared is None:  # no record came
            self._keep(new_fields=new_fields)
            return
        fields = self._of_other_parts("fields", part)
        known = self._state.get("fields", {}).get(part)
        found = undeclared.since(known or ())
        news = found[: MOST_FIELDS - len(known or ())]
        if len(news) < len(found):
            self.logger.warning(
                "%s: %s has more than %d fields without a column; which are new is not told any more.",
                self.name,
                part,
                MOST_FIELDS,
            )
        if known is not None and news:
            self.logger.warning(
                "%s: %s has fields that it did not have before: %s. They are kept in `extra`.",
                self.name,
                part,
                ", ".join(news),
            )
            new_fields = {**new_fields, part: news}
        self._keep(fields={**fields, part: sorted([*(known or ()), *news])}, new_fields=new_fields)

    def _leave_out(self, part: str, problem: ConfigError | TransientError) -> None:
        """Report a part that could not be read; raise if no part could.

        Raises:
            AirbyteTracedException: this was the last part, and none could be read.
        """
        self._report(part, "is left out", problem)
        self._keep(new_fields=self._of_other_parts("new_fields", part))
        self._left_out.add(part)
        if part == self._parts[-1] and set(self._parts) <= self._left_out:
            raise _traced_exception(type(problem)(self._why_nothing_is_read())) from problem

    def _why_nothing_is_read(self) -> str:
        """The first of the problems that left out all parts."""
        problems = self._state["problems"]
        first = [_of_part(part, problems[part]) for part in self._parts[:_MOST_PROBLEMS]]
        more = len(self._parts) - len(first)
        return " ".join([*first, f"And {more} more."] if more else first)

    def _report(self, part: str, outcome: str, problem: ConfigError | TransientError) -> None:
        """Say what could not be read of a part, and keep it in the STATE."""
        said = filter_secrets(str(problem))
        self.logger.warning("%s: %s %s: %s", self.name, part, outcome, said)
        self._keep(problems={**self._of_other_parts("problems", part), part: said})

    def _keep(self, **changed: Mapping[str, Any]) -> None:
        """Change parts of the STATE. In a new mapping: messages already sent hold on to the old one."""
        empty: dict[str, Mapping[str, Any]] = {"marks": {}, "problems": {}, "fields": {}, "new_fields": {}}
        self._state = {**empty, **self._state, "mode": self._mode, **changed}

    def _of_other_parts(self, name: str, part: str) -> dict[str, Any]:
        """What the STATE has under a name for other parts; for those alone that are still to be read."""
        told = self._state.get(name, {})
        return {other: said for other, said in told.items() if other != part and other in self._parts}


def _of_part(part: str, said: str) -> str:
    """A problem with the name of its part; many say it themselves."""
    return said if re.search(rf"(?<!\w){re.escape(part)}(?!\w)", said) else f"{part}: {said}"


@contextmanager
def traced() -> Iterator[None]:
    """Turn a feed's problems into the protocol's."""
    try:
        yield
    except (ConfigError, TransientError) as problem:
        raise _traced_exception(problem) from problem


def _traced_exception(problem: ConfigError | TransientError) -> AirbyteTracedException:
    is_transient = isinstance(problem, TransientError)
    return AirbyteTracedException(
        message=str(problem),
        internal_message=str(problem),
        failure_type=FailureType.transient_error if is_transient else FailureType.config_error,
        exception=problem,
    )
