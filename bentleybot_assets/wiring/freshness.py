"""Whether connections are still synced: nobody would notice it from runs that do not happen.

Does not belong here: how old a decision's data are (measured against its session's cut-off, never against now).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from bentleybot_assets.contracts.sessions import DATA_DELAY, close_at, last_closed_session
from bentleybot_assets.resources.airbyte.base import Airbyte, not_configured

_CHECK = "sync_is_fresh"
GRACE = timedelta(hours=6)
"""How long after a session's data are there a sync may take to come."""


def freshness_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check's spec for one stream."""
    return dg.AssetCheckSpec(
        _CHECK,
        asset=key,
        description="The stream was synced since the last session's data were there. Recorded data do not age, and "
        "nothing is due of a connection that is not configured.",
    )


def freshness_checks(connection: str, keys: Sequence[dg.AssetKey]) -> dg.AssetChecksDefinition:
    """The check of each stream of a connection, evaluated whenever a run or `raw_hourly_job` asks for it."""

    @dg.multi_asset_check(name=f"{connection}_freshness", specs=[freshness_spec(key) for key in keys], can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, airbyte: dg.ResourceParam[Airbyte]
    ) -> Iterator[dg.AssetCheckResult]:
        for check in sorted(context.selected_asset_check_keys):
            if airbyte.has(connection):
                yield _result(context.instance, check.asset_key)
            else:
                yield dg.AssetCheckResult(
                    asset_key=check.asset_key, check_name=_CHECK, passed=True, description=not_configured(connection)
                )

    return checks


def is_fresh(synced_at: datetime | None, now: datetime) -> bool:
    """Whether a sync has come since the newest session that it should have come for.

    Args:
        synced_at: when the last successful sync ended, timezone-aware; None if there was none.
        now: the present, timezone-aware.
    """
    return synced_at is not None and synced_at >= close_at(last_closed_session(now - GRACE)) + DATA_DELAY


def _result(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetCheckResult:
    event = instance.get_latest_materialization_event(key)
    synced_at = datetime.fromtimestamp(event.timestamp, UTC) if event else None
    synced = event.asset_materialization if event else None
    is_recorded = synced is not None and synced.metadata["data_mode"].value == "sample"
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=_CHECK,
        passed=is_recorded or is_fresh(synced_at, datetime.now(UTC)),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"last_sync": synced_at.isoformat(timespec="seconds") if synced_at else "never"},
    )
