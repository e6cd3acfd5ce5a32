"""When connections are looked after beside the daily run."""

import dagster as dg

from bentleybot_assets.contracts.sessions import EXCHANGE_TIMEZONE
from bentleybot_assets.defs.raw.market import market_freshness
from bentleybot_assets.defs.raw.news import news_freshness
from bentleybot_assets.defs.raw.portfolio import portfolio_freshness

raw_hourly_job = dg.define_asset_job(
    "raw_hourly_job",
    selection=dg.AssetSelection.checks(market_freshness, portfolio_freshness, news_freshness),
    description="Look whether the connections were synced when they should have been; nothing is read.",
)

raw_hourly_schedule = dg.ScheduleDefinition(
    name="raw_hourly_schedule",
    job=raw_hourly_job,
    cron_schedule="15 * * * *",
    execution_timezone=EXCHANGE_TIMEZONE,
    description="Every hour: a run that does not happen cannot say so itself.",
)
