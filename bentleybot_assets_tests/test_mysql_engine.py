from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError

from bentleybot_assets.mysql import MySqlError, MySqlServer
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
