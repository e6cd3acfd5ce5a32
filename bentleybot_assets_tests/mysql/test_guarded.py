"""Servers that ask for files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.mysql_engine import engine_url
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST
from bentleybot_assets_tests.mysql.scripted_server import ScriptedServer


def load(server: MySqlServer) -> None:
    connection = server.connect(table="notes", local_infile=True)
    with server.named_errors("notes"):
        transfer.load(connection, "notes", pl.DataFrame({"text": ["x"]}))


def connect(server: MySqlServer) -> None:
    server.connect(table="notes")


def ask_by_an_engine(server: MySqlServer) -> None:
    engine = sa.create_engine(engine_url(replace(server, options={"ssl_mode": "disabled"}), "of somebody"))
    with engine.connect():
        pass


def look_up(server: MySqlServer) -> None:
    Ledger(server).orders(FIRST)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("of this user alone")
    return file


@pytest.mark.parametrize(
    ("act", "statement"),
    [
        (load, b"SET SESSION"),
        (load, b"SELECT"),
        (load, b"LOAD DATA"),
        (connect, b"SET SESSION"),
        (connect, b"SELECT"),
        (ask_by_an_engine, b"VERSION()"),
        (look_up, b"ISOLATION LEVEL"),
    ],
)
def test_a_server_gets_no_file_but_the_one_that_it_is_to_load(
    secret: Path, act: Callable[[MySqlServer], None], statement: bytes
) -> None:
    rogue = ScriptedServer(file_asked_for=lambda sent: str(secret).encode() if statement in sent else None)
    with pytest.raises(
        (MySqlError, LedgerError), match=rf"asked for the file {secret}, which it was not sent.*verify_identity"
    ):
        act(rogue.account)
    assert rogue.received == []
    rogue.close()


def test_a_server_gets_the_file_that_it_is_to_load() -> None:
    def named(sent: bytes) -> bytes | None:
        return sent.split(b"'")[1] if b"LOAD DATA" in sent else None

    honest = ScriptedServer(file_asked_for=named)
    with pytest.raises(MySqlError, match="0 of 1 rows were taken"):  # it says nothing of rows
        load(honest.account)
    assert honest.received == [b'"x"\n']
    honest.close()
