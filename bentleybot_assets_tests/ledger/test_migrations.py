"""The migrations lead to the declared tables, wherever they start and whoever else starts with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, inspect, text

from bentleybot_assets.ledger import migrations, tables
from bentleybot_assets.ledger.engines import place_of
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets_tests.ledger.sessions_of_work import DECISION, FIRST, intents, url_of

REFUSAL_ID = "24e01048b1514011ea6f0960a42cf171"
"""Of the fault in these tests: ids of earlier releases stay what they are."""


@pytest.fixture(params=["sqlite", "mysql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | MySqlServer:
    """A ledger that is not there yet."""
    return url_of(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("mysql_server")


def _schema(engine: Engine) -> dict[str, dict[str, str]]:
    """What the database knows of each table: columns, keys, checks and indices."""
    database = inspect(engine)
    asked = {
        "columns": database.get_columns,
        "primary key": database.get_pk_constraint,
        "foreign keys": database.get_foreign_keys,
        "unique": database.get_unique_constraints,
        "checks": database.get_check_constraints,
        "indices": database.get_indexes,
    }
    names = set(database.get_table_names()) - {tables.version.name}
    return {name: {what: repr(ask(name)) for what, ask in asked.items()} for name in names}


def test_migrating_leads_to_the_declared_tables(where: str | MySqlServer, tmp_path: Path) -> None:
    Ledger(where).orders(FIRST)
    engine = place_of(where).engine
    migrated = _schema(engine)
    if isinstance(where, MySqlServer):
        tables.metadata.drop_all(engine)
        with engine.begin() as connection:
            connection.execute(text("ALTER DATABASE COLLATE utf8mb4_bin"))  # as the migrations make each table
    else:
        engine = create_engine(url_of(tmp_path / "declared.db"))
    tables.metadata.create_all(engine)
    assert migrated == _schema(engine)
    assert set(migrated) == set(tables.metadata.tables)


@contextmanager
def _at_version(where: str | MySqlServer, version: str) -> Iterator[Connection]:
    """A connection to a ledger of an earlier release."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with place_of(where).engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        yield connection


def test_decisions_from_before_accounts_were_kept_stand_and_their_account_is_unknown(where: str | MySqlServer) -> None:
    with _at_version(where, "0001") as connection:
        placed = intents(FIRST, AAPL=3)
        connection.execute(tables.decisions.insert().values(session=FIRST, **DECISION))
        then = Table("orders", MetaData(), autoload_with=connection)
        connection.execute(then.insert(), placed.rename({"reference_price_usd": "reference_price"}).to_dicts())

    ledger = Ledger(where)
    assert ledger.orders(FIRST).equals(placed)
    assert ledger.decided([FIRST], DECISION["strategy"]) == {FIRST}
    assert ledger.account(FIRST, DECISION["strategy"]) is None


def test_a_refusal_from_before_runs_were_counted_was_met_by_one_and_counts_on(where: str | MySqlServer) -> None:
    fault = {"check": "c", "table": "t", "evidence": "e"}
    with _at_version(where, "0003") as connection:
        then = Table("refusals", MetaData(), autoload_with=connection)
        old = {"refusal_id": REFUSAL_ID, "session": FIRST, "code": "HALT", "check_name": "c", "table_name": "t"}
        connection.execute(then.insert().values(**old, evidence="e", dagster_run_id="r1"))

    ledger = Ledger(where)
    assert ledger.refusals(FIRST)["times_met"].to_list() == [1]
    for run in ("r1", "r2"):
        assert ledger.record_refusal(FIRST, **fault, dagster_run_id=run) == REFUSAL_ID
    assert ledger.refusals(FIRST)["times_met"].to_list() == [2]


def test_the_declared_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [tables.SCHEMA_VERSION]


def test_the_version_is_kept_in_a_table_of_its_own(tmp_path: Path) -> None:
    Ledger(url_of(tmp_path / "ledger.db")).orders(FIRST)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT version_num FROM ledger_alembic_version").fetchall() == [(tables.SCHEMA_VERSION,)]
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None
    connection.close()


def test_a_ledger_from_a_newer_release_is_refused_by_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(url_of(path)).orders(FIRST)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE ledger_alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="at version 9999, which this release"):
        Ledger(url_of(path)).orders(FIRST)
    assert connection.execute("SELECT version_num FROM ledger_alembic_version").fetchone() == ("9999",)
    connection.close()
