"""What goes wrong with a server is one error that names server, table and remedy, and never the password."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.ledger.engines import MySqlDatabase
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST, intents, record
from bentleybot_assets_tests.mariadb import PASSWORD, MariaDb
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, labels

READ_ONLY = "only'reads@:/%"
UPGRADE = "Run `bentleybot db upgrade`: it creates what is missing, or prints the GRANT"


def publish(server: MySqlServer) -> None:
    MySqlWarehouse(server).publish(Labels, labels(MONDAY, forward_return=0.2))


def publish_slice(server: MySqlServer) -> None:
    MySqlWarehouse(server).publish(Labels, labels(TUESDAY), [TUESDAY])


def read(server: MySqlServer) -> None:
    MySqlWarehouse(server).read(Labels)


def count(server: MySqlServer) -> None:
    MySqlWarehouse(server).row_count(Labels)


def decide(server: MySqlServer) -> None:
    record(Ledger(server), FIRST, intents(FIRST, AAPL=3))


def look_up(server: MySqlServer) -> None:
    Ledger(server).orders(FIRST)


WRITES = [publish, publish_slice, decide]
READS = [read, count, look_up]
Act = Callable[[MySqlServer], None]


@pytest.fixture
def published(mysql_server: MySqlServer) -> MySqlServer:
    """A server with a table and a ledger that are up to date."""
    MySqlWarehouse(mysql_server).publish(Labels, labels(MONDAY))
    look_up(mysql_server)
    return mysql_server


def refusal(act: Act, server: MySqlServer) -> str:
    """The one error of an act: its message; it is checked to hide the password and to name the account."""
    with pytest.raises((MySqlError, LedgerError)) as refused:
        act(server)
    told = "".join(_chain(refused.value))
    assert server.password not in told
    message = str(refused.value)
    assert server.shown in message
    assert "table " in message or "or newer is needed" in message
    assert "\n" not in message
    return message


def _chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("act", [*WRITES, *READS])
def test_a_wrong_password_names_the_settings_to_mend(published: MySqlServer, act: Act) -> None:
    message = refusal(act, replace(published, password="wr0ng@:/%'x"))  # noqa: S106
    assert message.endswith("(error 1045). Check MYSQL_USER and MYSQL_PASSWORD.")


@pytest.mark.parametrize("act", [*WRITES, *READS])
def test_a_missing_database_names_the_command_that_makes_it(mariadb: MariaDb, act: Act) -> None:
    missing = mariadb.database("gone")
    mariadb.as_root("DROP DATABASE gone")
    message = refusal(act, missing)
    assert "Unknown database 'gone' (error 1049)" in message
    assert UPGRADE in message


@pytest.mark.parametrize("act", [*WRITES, *READS])
def test_a_database_without_any_privilege_names_the_command_that_prints_the_grant(
    mariadb: MariaDb, mysql_server: MySqlServer, act: Act
) -> None:
    mariadb.as_root("CREATE DATABASE IF NOT EXISTS foreign_one")
    message = refusal(act, mysql_server.at("foreign_one"))
    assert "(error 1044)" in message
    assert UPGRADE in message


@pytest.fixture
def reader(mariadb: MariaDb, published: MySqlServer) -> MySqlServer:
    """An account that may only read."""
    mariadb.account("reader", READ_ONLY)
    mariadb.as_root("GRANT SELECT ON desk.* TO 'reader'@'127.0.0.1'")
    return replace(published, user="reader", password=READ_ONLY)


@pytest.mark.parametrize("act", WRITES)
def test_an_account_that_may_only_read_cannot_write_and_is_told_so(reader: MySqlServer, act: Act) -> None:
    message = refusal(act, reader)
    assert "denied" in message
    assert UPGRADE in message


@pytest.mark.parametrize("act", READS)
def test_an_account_that_may_only_read_reads(reader: MySqlServer, act: Act) -> None:
    act(reader)


@pytest.fixture
def read_only(mariadb: MariaDb, published: MySqlServer) -> Iterator[MySqlServer]:
    """A server that takes no writes, as a replica."""
    mariadb.as_root("SET GLOBAL read_only = 1")
    yield published
    mariadb.as_root("SET GLOBAL read_only = 0")


@pytest.mark.parametrize("act", WRITES)
def test_a_server_that_only_reads_is_told_apart(read_only: MySqlServer, act: Act) -> None:
    message = refusal(act, read_only)
    assert message.endswith("(error 1290). The server or this user may only read: use ones that may write.")


@pytest.mark.parametrize("act", READS)
def test_a_server_that_only_reads_is_read(read_only: MySqlServer, act: Act) -> None:
    act(read_only)


@pytest.mark.parametrize("act", [*WRITES, *READS])
def test_a_server_that_is_down_names_the_settings_to_look_at(mysql_server: MySqlServer, act: Act) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        message = refusal(act, replace(mysql_server, port=port, options={"connect_timeout": "1", "read_timeout": "1"}))
    assert "(error 2003). Check that the server runs and is reached under MYSQL_HOST and MYSQL_PORT" in message


@pytest.mark.parametrize("act", [*WRITES, *READS])
def test_warehouse_and_ledger_refuse_an_old_server(
    published: MySqlServer, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    for oldest in ("OLDEST_MYSQL", "OLDEST_MARIADB"):
        monkeypatch.setattr(f"bentleybot_assets.mysql.server.{oldest}", (99, 0))
    assert "99.0 or newer is needed" in refusal(act, published)


@pytest.mark.parametrize("password", [PASSWORD, "@:/%'", "%40", "a b+c", '"\\`$(x)', "пароль😀", "?x=1&y#z"])
def test_any_password_opens_warehouse_and_ledger(published: MySqlServer, mariadb: MariaDb, password: str) -> None:
    mariadb.account("odd", password)
    mariadb.as_root("GRANT ALL ON desk.* TO 'odd'@'127.0.0.1'")
    odd = replace(published, user="odd", password=password)
    for act in (*WRITES, *READS):
        act(odd)


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        lambda server: server.shown,
        lambda server: repr(server.sqlalchemy_url()),
        lambda server: str(MySqlDatabase(server).engine.url),
        lambda server: repr(MySqlDatabase(server).engine),
        lambda server: MySqlDatabase(server).shown,
        lambda server: MySqlWarehouse(server).location(Labels),
        lambda server: repr(server.explained(RuntimeError(f"no mysql://desk:{PASSWORD}@host"), "x")),
        lambda server: repr(server.explained(RuntimeError(f"no {server.connectorx_url()}"), "x")),
    ],
)
def test_nothing_shows_the_password(mysql_server: MySqlServer, shown: Callable[[MySqlServer], Any]) -> None:
    assert PASSWORD not in shown(mysql_server)
    assert quote(PASSWORD, safe="") not in shown(mysql_server)
