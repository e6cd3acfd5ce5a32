"""A field that a provider adds is kept, and reported with its part, whichever connector it comes through."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bentleybot_assets.connectors.market.source import MarketSource
from bentleybot_assets.connectors.news.source import NewsSource
from bentleybot_assets.connectors.portfolio.source import PortfolioSource
from bentleybot_assets.contracts.raw._base import RawContract
from bentleybot_assets.contracts.raw.market import DailyBars
from bentleybot_assets.contracts.raw.news import Articles
from bentleybot_assets.contracts.raw.portfolio import Transactions
from bentleybot_assets.resources.airbyte.embedded import Connection, EmbeddedAirbyte
from bentleybot_assets.warehouse.parquet import ParquetWarehouse
from bentleybot_assets.wiring.connections import schema_has_not_drifted
from bentleybot_assets_tests.connectors.api import Answer, Asked, api
from bentleybot_assets_tests.connectors.market.yahoo_replay import DAYS, chart, config_of, replay_of, stamp
from bentleybot_assets_tests.connectors.portfolio.ofx_files import HEADER, bank, ofx, transaction


class Clock:
    """The present of all sources; a test sets it."""

    now: ClassVar[datetime]


class Market(MarketSource):
    def __init__(self) -> None:
        super().__init__(clock=lambda: Clock.now)


class News(NewsSource):
    def __init__(self) -> None:
        super().__init__(clock=lambda: Clock.now)


class Portfolio(PortfolioSource):
    def __init__(self) -> None:
        super().__init__(clock=lambda: Clock.now)


@dataclass(frozen=True)
class Provider:
    """A provider that goes on a day later, with a field that it did not have before or without.

    Attributes:
        source: of the connector.
        contract: of the stream that has the field.
        config: of the connection.
        part: as the check names it.
        field: as the check names it.
        go_on: lets the provider have something new; told whether with the new field.
    """

    source: type
    contract: type[RawContract]
    config: dict[str, Any]
    part: str
    field: str
    go_on: Callable[[bool], None]


@contextmanager
def yahoo(folder: Path) -> Iterator[Provider]:
    with replay_of({"TEST": chart(DAYS[:4], instrument="ETF")}) as replay:

        def go_on(has_field: bool) -> None:  # noqa: FBT001
            day = stamp(DAYS[5])
            gains = {"capitalGains": {str(day): {"date": day, "amount": 1.5}}} if has_field else {}
            replay.charts["TEST"] = chart(events=gains, instrument="ETF")

        yield Provider(Market, DailyBars, config_of(replay), "TEST", "Capital Gains", go_on)


@contextmanager
def csv(folder: Path) -> Iterator[Provider]:
    head = "Account,Reference,Status,Date,Posted,Type,Payee,Description,Category,Amount,Currency,Balance"
    row = "CHK,{},POSTED,2024-01-16,2024-01-16,CARD,Cafe,COFFEE,Food,-3.50,USD,96.50"
    (folder / "1.csv").write_text(f"{head}\n{row.format('R1')}\n")

    def go_on(has_field: bool) -> None:  # noqa: FBT001
        more = (",Branch", ",North") if has_field else ("", "")
        (folder / "2.csv").write_text(f"{head}{more[0]}\n{row.format('R2')}{more[1]}\n")

    entry = {"kind": "csv", "files": [{"path": str(folder), "mapping": "bank", "account_kind": "checking"}]}
    yield _institution(entry, "Branch", go_on)


@contextmanager
def ofx_file(folder: Path) -> Iterator[Provider]:
    (folder / "1.ofx").write_text(HEADER + ofx(bank(transaction("F1"))))

    def go_on(has_field: bool) -> None:  # noqa: FBT001
        more = "<BRANCH>North" if has_field else ""
        (folder / "2.ofx").write_text(HEADER + ofx(bank(transaction("F2", more=more)), made_at="20240301120000"))

    yield _institution({"kind": "ofx", "path": str(folder)}, "BRANCH", go_on)


@contextmanager
def alpaca(folder: Path) -> Iterator[Provider]:
    dividend = {
        "id": "1",
        "activity_type": "DIV",
        "date": "2024-01-16",
        "net_amount": "5.5",
        "status": "executed",
        "per_share_amount": "0.5",
    }
    activities = [dividend]

    def answer(asked: Asked) -> Answer:
        account = {"id": "acc", "account_number": "PA1", "currency": "USD", "status": "ACTIVE", "cash": "1"}
        return Answer({"/v2/account": account, "/v2/account/activities": activities}[asked.path])

    def go_on(has_field: bool) -> None:  # noqa: FBT001
        activities.append(dividend | {"id": "2"} | ({"withheld": {"country": "US"}} if has_field else {}))

    with api(answer) as served:
        entry = {"kind": "alpaca", "key_id": "PKIDENTIFIER", "secret_key": "alpaca-says-hush", "base_url": served.url}
        yield _institution(entry, "withheld.country", go_on)


@contextmanager
def rss(folder: Path) -> Iterator[Provider]:
    items = ["<item><title>One</title><guid>w:1</guid></item>"]

    def answer(_: Asked) -> Answer:
        text = f"<rss version='2.0' xmlns:x='http://x.example/ns'><channel>{''.join(items)}</channel></rss>"
        return Answer(text.encode(), headers={"Content-Type": "application/rss+xml"})

    def go_on(has_field: bool) -> None:  # noqa: FBT001
        rank = "<x:rank>7</x:rank>" if has_field else ""
        items.append(f"<item><title>Two</title><guid>w:2</guid>{rank}</item>")

    with api(answer) as served:
        entry = {"kind": "rss", "url": f"{served.url}/feed"}
        yield _feed(entry, "x_rank", go_on)


@contextmanager
def newsapi(folder: Path) -> Iterator[Provider]:
    article = {
        "source": {"id": "the-paper", "name": "The Paper"},
        "title": "One",
        "url": "https://paper.example/1",
        "publishedAt": "2024-01-19T10:00:00Z",
    }
    articles = [article]

    def answer(_: Asked) -> Answer:
        return Answer({"status": "ok", "totalResults": len(articles), "articles": articles})

    def go_on(has_field: bool) -> None:  # noqa: FBT001
        source = article["source"] | ({"country": "us"} if has_field else {})  # type: ignore[operator]
        articles.append(article | {"url": "https://paper.example/2", "source": source})

    with api(answer) as served:
        entry = {"kind": "newsapi", "api_key": "newsapi-says-hush", "query": "FND", "base_url": served.url}
        yield _feed(entry, "source.country", go_on)


def _institution(entry: dict[str, Any], field: str, go_on: Callable[[bool], None]) -> Provider:
    config = {"mode": "institutions", "institutions": [{"name": "Mine", **entry}], "start_date": "2023-01-01"}
    return Provider(Portfolio, Transactions, config, "Mine", field, go_on)


def _feed(entry: dict[str, Any], field: str, go_on: Callable[[bool], None]) -> Provider:
    config = {"mode": "feeds", "feeds": [{"name": "mine", **entry}], "allowed_private_hosts": ["127.0.0.1"]}
    return Provider(News, Articles, config, "mine", field, go_on)


@pytest.mark.parametrize("has_field", [True, False], ids=["with a new field", "without"])
@pytest.mark.parametrize("provided", [yahoo, csv, ofx_file, alpaca, rss, newsapi], ids=lambda each: each.__name__)
def test_a_field_that_a_provider_adds_is_reported_and_no_other(
    *, provided: Any, has_field: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder := tmp_path / "files").mkdir()
    warehouse, log = ParquetWarehouse(tmp_path / "warehouse"), logging.getLogger("test.drift")
    with provided(folder) as provider:
        _, name, stream = provider.contract.asset_key()
        source = f"{provider.source.__module__}:{provider.source.__name__}"
        connections = {name: Connection(source=source, config=provider.config)}

        def synced(now: datetime) -> Any:
            Clock.now = now
            result = EmbeddedAirbyte(connections=connections).sync(name, {stream: provider.contract}, warehouse, log)
            assert result.streams[stream].records
            return schema_has_not_drifted(result.streams[stream])

        day = datetime(2024, 1, 19, 12, tzinfo=UTC)
        assert synced(day).passed
        provider.go_on(has_field)
        finding = synced(day + timedelta(days=1))
    assert finding.passed is not has_field
    told = f"{provider.part}: {provider.field}"
    assert finding.evidence == {"new_fields": f"{told} (kept in extra)" if has_field else "none"}
    assert (f"{stream}: {provider.part} has fields that it did not have before: {provider.field}." in caplog.text) is (
        has_field
    )
    kept = warehouse.read(provider.contract)["extra"].str.contains(f'"{provider.field.rpartition(".")[-1]}":')
    assert kept.sum() == has_field
