"""What is asked again and again is not asked before its last read, and says at its end what could not be read."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bentleybot_assets.connectors.feeds import IncompleteError
from bentleybot_assets.connectors.polling import ending_in, is_before_last_read

LOGGER = logging.getLogger("airbyte.polling")
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "is_before"),
    [
        (NOON, True),
        (NOON - timedelta(days=1), True),
        (NOON + timedelta(milliseconds=900), True),
        (NOON.astimezone(timezone(timedelta(hours=-5))), True),
        (NOON + timedelta(seconds=1), False),
    ],
)
def test_a_part_is_not_read_at_the_second_of_its_last_read_or_before(caplog, now, is_before):
    assert is_before_last_read(now, {"fetched_at": "2024-02-29T12:00:00Z"}, "It", LOGGER) is is_before
    assert ("It was read at 2024-02-29T12:00:00Z" in caplog.text) is is_before


@pytest.mark.parametrize("mark", [None, {}, {"page": 3}])
def test_a_part_that_was_never_read_is_read(caplog, mark):
    assert not is_before_last_read(NOON, mark, "It", LOGGER)
    assert caplog.text == ""


def test_records_come_before_the_report():
    problem = IncompleteError("A half is missing.", {})
    records = ending_in(problem, [{"a": 1}, {"a": 2}])
    assert [next(records), next(records)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(IncompleteError, match="A half is missing"):
        next(records)
