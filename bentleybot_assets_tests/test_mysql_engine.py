"""Engines made of nothing but an address say what is wrong, and give a silent server up together.

Does not belong here: TLS and passwords (``integration.test_tls``), outages (``integration.test_run_outages``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError

from bentleybot_assets.mysql import MySqlError, MySqlServer, patience
from bentleybot_assets.mysql_engine import engine_url


@pytest.fixture
def engine(mysql_server: MySqlServer) -> Iterator[sa.Engine]:
    engine = sa.create_engine(engine_url(mysql_server, "of somebody"))
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "kind", "said"),
    [
        ("SELECT 1 FROM missing", ProgrammingError, r"table missing: .*\(error 1146\)\..* `bentleybot db upgrade`"),
        ("INSERT INTO things VALUES (1), (1)", IntegrityError, r"table things: .*\(error 1062\)\."),
    ],
)
def test_an_error_that_others_look_for_keeps_its_class_and_names_server_table_and_remedy(
    engine: sa.Engine, mysql_server: MySqlServer, statement: str, kind: type[Exception], said: str
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE things (id INT PRIMARY KEY)"))
        with pytest.raises(kind, match=f"{mysql_server.shown}, {said}"):
            connection.execute(sa.text(statement))


def test_an_error_that_says_nothing_of_the_data_is_ours(engine: sa.Engine, mysql_server: MySqlServer) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE things (id INT PRIMARY KEY)"))
        with pytest.raises(MySqlError, match=rf"{mysql_server.shown}, table things: .*\(error 1054\)\."):
            connection.execute(sa.text("SELECT other FROM things"))


def test_a_statement_that_was_given_up_leaves_other_engines_their_time(
    mysql_server: MySqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_given_up", {})  # other tests use the server too
    server = replace(mysql_server, options={"read_timeout": "2"})
    one, other = (sa.create_engine(engine_url(server, "of somebody")) for _ in range(2))
    other.connect().close()
    with pytest.raises(MySqlError, match=r"error 2013"), one.connect() as connection:
        connection.execute(sa.text("SELECT SLEEP(4)"))
    with other.connect() as connection:
        assert connection.execute(sa.text("SELECT SLEEP(1.5)")).scalar() == 0
