"""The ledger resource opens the ledger its url names, and only when asked to."""

from __future__ import annotations

from pathlib import Path

from bentleybot_assets.resources.ledger import SqliteLedgerResource
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record, url_of


def test_what_one_opening_records_the_next_one_finds(tmp_path: Path) -> None:
    resource = SqliteLedgerResource(url=url_of(tmp_path / "ledger.db"))
    assert not list(tmp_path.iterdir())
    given = intents(FIRST, AAPL=3)
    record(resource.open(), FIRST, given)
    assert resource.open().orders(FIRST).equals(given)
