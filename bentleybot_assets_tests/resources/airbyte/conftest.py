"""A server that has the desk's ``market`` connection."""

from __future__ import annotations

import pytest

from bentleybot_assets_tests.resources.airbyte.fake_server import FakeAirbyte, serving
from bentleybot_assets_tests.resources.airbyte.server_desk import CONFIG, STREAMS, empty_raw_database


@pytest.fixture
def fake(mariadb, mysql_server):
    empty_raw_database(mariadb)
    with serving(FakeAirbyte(mariadb)) as server:
        server.add_connection("market", CONFIG, STREAMS)
        yield server
