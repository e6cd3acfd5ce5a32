"""Session partitions are the exchange's sessions, there in time for the evening's decision."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from bentleybot_assets.contracts.sessions import sessions_between
from bentleybot_assets.wiring.partitions import move_sessions_start, session_partitions, sessions, sessions_of

NEW_YORK = ZoneInfo("America/New_York")


def keys(partitions: dg.PartitionsDefinition, now: datetime) -> list[str]:
    return list(partitions.get_partition_keys(current_time=now))


def test_every_session_and_nothing_else_has_a_partition() -> None:
    now = datetime(2026, 12, 31, 20, tzinfo=NEW_YORK)
    expected = sessions_between(date(2018, 1, 2), now.date())
    assert keys(session_partitions(date(2018, 1, 2)), now) == [day.isoformat() for day in expected]


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        pytest.param(datetime(2022, 12, 28, 23, 59, tzinfo=NEW_YORK), "2022-12-28", id="before midnight"),
        pytest.param(datetime(2022, 12, 29, 0, 1, tzinfo=NEW_YORK), "2022-12-29", id="after midnight"),
        pytest.param(
            datetime(2022, 3, 13, 12, tzinfo=NEW_YORK), "2022-03-11", id="the Sunday on which clocks go forward"
        ),
        pytest.param(datetime(2022, 11, 7, 0, 1, tzinfo=NEW_YORK), "2022-11-07", id="the Monday after they go back"),
    ],
)
def test_a_session_is_there_from_the_midnight_on_which_it_begins(now: datetime, newest: str) -> None:
    assert keys(sessions, now)[-1] == newest


@dg.asset(partitions_def=sessions)
def by_session(context: dg.AssetExecutionContext) -> list[str]:
    return [day.isoformat() for day in sessions_of(context)]


@dg.asset
def whole() -> None:
    """A table that is not partitioned."""


def test_a_desk_that_starts_earlier_has_the_earlier_sessions_too() -> None:
    moved = move_sessions_start(dg.Definitions([by_session, whole]), date(2008, 9, 15))
    graph = moved.resolve_asset_graph()
    now = datetime(2022, 12, 28, 20, tzinfo=NEW_YORK)
    assert keys(graph.get(by_session.key).partitions_def, now)[0] == "2008-09-15"
    assert graph.get(whole.key).partitions_def is None

    job = moved.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(partition_key="2008-09-15", asset_selection=[by_session.key])
    assert result.output_for_node("by_session") == ["2008-09-15"]


def test_a_desk_that_starts_with_the_shipped_session_is_left_as_it_is() -> None:
    definitions = dg.Definitions([by_session])
    assert move_sessions_start(definitions, date(2022, 1, 3)) is definitions
