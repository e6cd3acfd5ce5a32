"""Statements that lie in files and folders.

Belongs here: which files, their sizes, what happens to one that cannot be read. Does not belong here: what a file says
(``csv_tables``, ``ofx``), what of it is news (``statements``).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bentleybot_assets.connectors.feeds import ConfigError, IncompleteError, Mark, Record
from bentleybot_assets.connectors.polling import ending_in, is_before_last_read
from bentleybot_assets.connectors.portfolio.statements import Statement, StatementError, news
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.portfolio import Accounts, Balances, Positions, Transactions

FILE_KINDS = ("csv", "ofx")
"""Kinds of institution whose files lie on the machine that the source runs on."""
MAX_BYTES = 32 * 1024 * 1024
"""The largest file that is read: a statement of a hundred thousand transactions."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_STREAMS: tuple[type[RawContract], ...] = (Accounts, Balances, Positions, Transactions)
_DIGEST_DIGITS = 12
_NAME_CHARACTERS = 200
"""Of a file's name, in the version that its records carry; their digest is what tells files apart."""

_logger = logging.getLogger("airbyte.portfolio")


@dataclass(frozen=True)
class Files:
    """Files of one format.

    Attributes:
        path: a file, a folder, or a folder and a pattern of names such as ``exports/*.csv``.
        suffixes: of the files that are taken from a folder, in lower case.
        parse: name and content of a file to what it says; raises StatementError.
    """

    path: Path
    suffixes: tuple[str, ...]
    parse: Callable[[str, bytes], Statement]

    def found(self) -> list[Path]:
        """The files, in the order of their names.

        Raises:
            ConfigError: there are none.
        """
        if self.path.is_file():
            return [self.path]
        if self.path.is_dir():
            found = [path for path in self.path.iterdir() if path.suffix.lower() in self.suffixes]
            sought = " or ".join(f"*{suffix}" for suffix in self.suffixes)
        elif self.path.parent.is_dir():
            names = self.path.name
            found, sought = [path for path in self.path.parent.iterdir() if fnmatchcase(path.name, names)], names
        else:
            raise ConfigError(f"There is no folder {self.path.parent}. Mend `path`.")
        files = sorted((path for path in found if path.is_file()), key=lambda path: path.name)
        if not files:
            folder = self.path if self.path.is_dir() else self.path.parent
            raise ConfigError(f"There is no file {sought} in {folder}. Put a statement there, or mend `path`.")
        return files


def read_statement(name: str, content: bytes, parse: Callable[[str, bytes], Statement]) -> Statement:
    """What a file says, with its version.

    Raises:
        StatementError: it cannot be read, or contradicts itself.
    """
    digest = hashlib.sha256(content).hexdigest()[:_DIGEST_DIGITS]
    statement = replace(parse(name, content), version=f"{name[:_NAME_CHARACTERS]} sha256:{digest}")
    for contract in _STREAMS:
        statement.by_key(contract)
    return statement


def in_order(statements: Mapping[str, Statement]) -> list[Statement]:
    """By the time the institution says it made them, and where it does not by the names of their files."""
    return [
        statement for _, statement in sorted(statements.items(), key=lambda item: (item[1].made_at or _NEVER, item[0]))
    ]


class FilesInstitution:
    """An institution whose statements lie in files.

    A file that cannot be read is reported and left out; the others are read.

    Args:
        kind: says in its records where they come from.
        settings: see :class:`Institution`.
        start: see :class:`Institution`.
        clock: see :class:`Institution`.
        files: where the statements are.
    """

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, Any],
        start: date,
        clock: Callable[[], datetime],
        files: Sequence[Files],
    ) -> None:
        self._source = f"{kind} file"
        self._name = settings["name"]
        self._start = start
        self._clock = clock
        self._files = files
        self._answer: tuple[list[Statement], list[str], datetime] | None = None

    def check(self) -> None:
        """See :class:`Institution`. Reads every file."""
        _, problems, _ = self._statements()
        if problems:
            raise ConfigError(" ".join(problems))

    def read(self, contract: type[RawContract], mark: Mark | None) -> tuple[Iterable[Record], Mark | None]:
        """See :class:`Institution`."""
        statements, problems, fetched_at = self._statements()
        if is_before_last_read(fetched_at, mark, self._name, _logger):
            return (), mark
        if problems and not statements:
            raise ConfigError(" ".join(problems))
        records, new_mark = news(
            contract,
            statements,
            mark,
            institution=self._name,
            source=self._source,
            start=self._start,
            fetched_at=fetched_at,
        )
        return (ending_in(IncompleteError(" ".join(problems), new_mark), records) if problems else records), new_mark

    def _statements(self) -> tuple[list[Statement], list[str], datetime]:
        """What the files say, why others could not be read, and when; read once, so that streams agree."""
        if self._answer is None:
            statements: dict[str, Statement] = {}
            problems = []
            for files in self._files:
                try:
                    paths = files.found()
                except (ConfigError, OSError) as problem:
                    problems.append(str(problem))
                    continue
                for path in paths:
                    try:
                        statements[str(path)] = read_statement(path.name, _content(path), files.parse)
                    except (StatementError, OSError) as problem:
                        problems.append(f"{path}: {problem}")
            self._answer = in_order(statements), problems, self._clock()
        return self._answer


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise StatementError(f"it has more than {MAX_BYTES:,} bytes. Download a shorter period.")
    return content
