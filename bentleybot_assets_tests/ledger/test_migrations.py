"""The migrations lead to the declared tables, wherever they start and whoever else starts with them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, create_engine, inspect

from bentleybot_assets.ledger import migrations, tables
from bentleybot_assets.ledger.ledger import Ledger, LedgerError
from bentleybot_assets_tests.ledger.sessions_of_work import DECISION, FIRST, intents, url_of


def _schema(path: Path) -> dict[str, dict[str, str]]:
    """What the database knows of each table: columns, keys, checks and indices."""
    database = inspect(create_engine(url_of(path)))
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


def test_migrating_leads_to_the_declared_tables(tmp_path: Path) -> None:
    migrated, declared = tmp_path / "migrated.db", tmp_path / "declared.db"
    Ledger(url_of(migrated)).orders(FIRST)
    tables.metadata.create_all(create_engine(url_of(declared)))
    assert _schema(migrated) == _schema(declared)
    assert set(_schema(declared)) == set(tables.metadata.tables)


def test_decisions_from_before_accounts_were_kept_stand_and_their_account_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    engine = create_engine(url_of(path))
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        placed = intents(FIRST, AAPL=3)
        connection.execute(tables.decisions.insert().values(session=FIRST, **DECISION))
        then = Table("orders", MetaData(), autoload_with=connection)
        connection.execute(then.insert(), placed.rename({"reference_price_usd": "reference_price"}).to_dicts())

    ledger = Ledger(url_of(path))
    assert ledger.orders(FIRST).equals(placed)
    assert ledger.decided([FIRST], DECISION["strategy"]) == {FIRST}
    assert ledger.account(FIRST, DECISION["strategy"]) is None


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
