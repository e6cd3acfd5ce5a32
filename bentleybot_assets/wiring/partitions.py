"""The one partitioning there is: exchange sessions.

Does not belong here: what a session is (``contracts.sessions``).
"""

from __future__ import annotations

from datetime import date, datetime, time

import dagster as dg

from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE, closures

DEFAULT_FIRST_SESSION = date(2022, 1, 3)


def session_partitions(first: date) -> dg.TimeWindowPartitionsDefinition:
    """Partitions of the New York sessions from ``first`` on, holidays excluded.

    A session's key exists from the midnight (New York) on which it begins, so that the decision of a session can be
    made in the evening of the same day. (On a holiday the next session's key exists early; its assets refuse to
    decide because the session has no bars yet.)
    """
    return dg.TimeWindowPartitionsDefinition(
        start=datetime.combine(first, time()),
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * 1-5",
        timezone=EXCHANGE_TIMEZONE,
        end_offset=1,
        exclusions=[datetime.combine(day, time()) for day in closures() if day >= first],
    )


sessions = session_partitions(DEFAULT_FIRST_SESSION)
"""What partitioned assets declare; see :func:`move_sessions_start`."""


def sessions_of(context: dg.AssetExecutionContext) -> list[date]:
    """The sessions a run of a partitioned asset is about, oldest first."""
    return [date.fromisoformat(key) for key in context.partition_keys]


one_session_at_a_time = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""For path-dependent assets: a session's books follow from the session before."""


def move_sessions_start(definitions: dg.Definitions, first: date) -> dg.Definitions:
    """The same definitions with session partitions that begin at ``first``."""
    if first == DEFAULT_FIRST_SESSION:
        return definitions
    moved = session_partitions(first)
    return definitions.map_resolved_asset_specs(
        func=lambda spec: spec.replace_attributes(partitions_def=moved) if spec.partitions_def else spec
    )
