"""What is shared by all that is asked again and again: no read before the last one, and records that end in a report.

Does not belong here: what is asked (a source's feeds), the protocol (``streams``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from bentleybot_assets.connectors.feeds import IncompleteError, Mark, Record, iso


def is_before_last_read(now: datetime, mark: Mark | None, name: str, logger: logging.Logger) -> bool:
    """Whether a part was read at this time or later; a warning says so.

    It must not be read then: versions are told apart and ordered by when they were fetched.

    Args:
        now: the present, timezone-aware.
        mark: of the part; it may have ``fetched_at``, when the part was last read.
        name: what the part is called.
        logger: where the warning goes.
    """
    last = (mark or {}).get("fetched_at", "")
    if iso(now) > last:
        return False
    logger.warning(
        "%s was read at %s, and it is %s now: nothing is read before. If that is wrong, set the clock.",
        name,
        last,
        iso(now),
    )
    return True


def ending_in(problem: IncompleteError, records: Iterable[Record]) -> Iterator[Record]:
    """The records, and then the report of what could not be read."""
    yield from records
    raise problem
