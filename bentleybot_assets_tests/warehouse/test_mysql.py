"""What the MySQL warehouse promises beyond every warehouse: its tables, its statements, and values bit for bit."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bentleybot_assets.contracts._base import Contract, TableRules, Utc, column, contracts
from bentleybot_assets.contracts.market import DailyBars as CleanBars
from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.contracts.raw.market import CorporateActions, DailyBars
from bentleybot_assets.contracts.trading import TargetWeights
from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets.warehouse.base import SchemaMismatchError
from bentleybot_assets.warehouse.mysql import transfer
from bentleybot_assets.warehouse.mysql.ddl import (
    Column,
    Table,
    quarantine_of,
    quoted,
    table_of,
)
from bentleybot_assets.warehouse.mysql.pushdown import session_condition
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.mariadb import MariaDb, running
from bentleybot_assets_tests.scenario import clean_bars
from bentleybot_assets_tests.warehouse.statements import recorded
from bentleybot_assets_tests.warehouse.tables import MONDAY, TUESDAY, filled, labels, quarantined, raw_bars, weights


class _Notes(Contract):
    """A table that only tests publish; it's \\ quoted."""

    _rules = TableRules(grain=("symbol", "session"), may_be_empty=True)

    symbol: str = column("Instrument")
    session: pl.Date = column("Exchange date")
    text: str = column("What it's about: 100 % \\ free", nullable=True)
    story: str = column("Longer than 255 characters", nullable=True, is_long=True)
    price: float = column("Price", unit="USD", nullable=True)
    count: int = column("Number", nullable=True)
    is_so: bool = column("Whether", nullable=True)
    noted_at: Utc = column("When", nullable=True)
    until: pl.Date = column("Last day", nullable=True)

    @classmethod
    def table_name(cls) -> str:
        return "notes"


class _MoreNotes(_Notes):
    """The same table with a column more."""

    extra: float = column("New", nullable=True)


class _StricterNotes(_Notes):
    """The same table with a column more that must be filled."""

    extra: float = column("New")


class _RegrainedNotes(_Notes):
    """The same columns with another key: rows that were two would silently become one."""

    _rules = TableRules(grain=("symbol",), may_be_empty=True)


class _KeysOnly(Contract):
    """A table that is nothing but its key."""

    _rules = TableRules(grain=("symbol", "session"))

    symbol: str = column("Instrument")
    session: pl.Date = column("Exchange date")

    @classmethod
    def table_name(cls) -> str:
        return "keys_only"


class _RetypedNotes(_Notes):
    """The same table, one column of another type."""

    count: float = column("Number", nullable=True)


class _FewerNotes(Contract):
    """The same table without most of its columns."""

    _rules = TableRules(grain=("symbol", "session"), may_be_empty=True)

    symbol: str = column("Instrument")
    session: pl.Date = column("Exchange date")

    @classmethod
    def table_name(cls) -> str:
        return "notes"


_LOAD_DATA = re.compile(
    r"LOAD DATA LOCAL INFILE '[^']+' INTO TABLE `\w+` CHARACTER SET utf8mb4 "
    r"FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n' \((`\w+`(, )?)+\)"
)
"""In the order of MySQL 8's manual, section 15.2.9."""

NASTY = (
    "",
    "NULL",
    "\\N",
    "null",
    "it's",
    'say "no"',
    '"',
    '""',
    "'",
    "back\\slash",
    "ends in \\",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "\n",
    "a,b",
    "a\x00b",
    "\x1a",
    "%s %(x)s",
    "; DROP TABLE notes; -- ",
    "` OR 1=1",
    "😀🏦",
    "e\u0301",
    " padded ",
)
FLOATS = (
    0.1,
    1 / 3,
    5e-324,  # the smallest denormal
    2.225073858507201e-308,  # the largest denormal
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    123456789.123456789,
    9007199254740993.0,
    1e22,
    1e23,
)


@pytest.fixture
def warehouse(mysql_server: MySqlServer) -> MySqlWarehouse:
    return MySqlWarehouse(mysql_server)


def notes(**columns: list[Any]) -> pl.DataFrame:
    height = len(next(iter(columns.values())))
    keys = {"symbol": [f"S{number:04}" for number in range(height)], "session": [MONDAY] * height}
    schema = _Notes.polars_schema()
    return pl.DataFrame(
        {name: (keys | columns).get(name, [None] * height) for name in schema}, schema=schema, orient="col"
    )


def bits(values: pl.Series) -> list[bytes]:
    return [struct.pack("<d", value) for value in values.to_list()]


# Tables


def test_a_contract_becomes_a_table_with_its_types_comments_and_a_key_that_begins_with_the_date(
    warehouse: MySqlWarehouse, mariadb: MariaDb
) -> None:
    warehouse.publish(_Notes, notes(text=["x"]))
    columns = mariadb.as_root(
        # MariaDB tells a display width that MySQL does not have.
        "SELECT column_name, REPLACE(column_type, 'bigint(20)', 'bigint'), is_nullable, column_comment, "
        "collation_name FROM information_schema.columns "
        "WHERE table_schema = 'desk' AND table_name = 'notes' ORDER BY ordinal_position"
    )
    assert columns == [
        ("symbol", "varchar(255)", "NO", "Instrument", "utf8mb4_bin"),
        ("session", "date", "NO", "Exchange date", None),
        ("text", "varchar(255)", "YES", "What it's about: 100 % \\ free", "utf8mb4_bin"),
        ("story", "longtext", "YES", "Longer than 255 characters", "utf8mb4_bin"),
        ("price", "double", "YES", "Price (USD)", None),
        ("count", "bigint", "YES", "Number", None),
        ("is_so", "tinyint(1)", "YES", "Whether", None),
        ("noted_at", "datetime(6)", "YES", "When", None),
        ("until", "date", "YES", "Last day", None),
    ]
    key = mariadb.as_root(
        "SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = 'desk' "
        "AND table_name = 'notes' AND constraint_name = 'PRIMARY' ORDER BY ordinal_position"
    )
    assert key == [("session",), ("symbol",)]
    table = mariadb.as_root(
        "SELECT engine, table_collation, table_comment FROM information_schema.tables "
        "WHERE table_schema = 'desk' AND table_name = 'notes'"
    )
    assert table == [("InnoDB", "utf8mb4_bin", _Notes.description())]


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.table_name())
def test_every_contract_has_a_table_that_the_server_takes_and_finds_unchanged(
    contract: type[Contract], mariadb: MariaDb, warehouse: MySqlWarehouse
) -> None:
    for table in (table_of(contract), quarantine_of(contract)):
        sqlglot.parse_one(table.create(table.name), dialect="mysql")
    frame = filled(pl.DataFrame({"symbol": ["A"]}), contract)
    for expected in (1, 2 if contract.rules().is_log else 1):
        if contract.rules().is_log:
            warehouse.append_delivery("market", {contract: frame}, {})
        else:
            warehouse.publish(contract, frame, [MONDAY] if contract.is_by_session() else None)
        assert warehouse.row_count(contract) == expected
    assert contract.rules().is_log or not contract.is_by_session() or table_of(contract).primary_key[0] == "session"


def test_a_new_nullable_column_is_added_and_is_null_in_old_rows(warehouse: MySqlWarehouse) -> None:
    old = notes(text=["x", "y"])
    warehouse.publish(_Notes, old)
    new = notes(text=["z"]).with_columns(pl.lit(TUESDAY).alias("session"), pl.lit(2.5).alias("extra"))
    warehouse.publish(_MoreNotes, new, [TUESDAY])
    expected = pl.concat([old.with_columns(extra=pl.lit(None, dtype=pl.Float64)), new]).sort("symbol", "session")
    assert_frame_equal(warehouse.read(_MoreNotes), expected)


def test_reading_a_column_that_was_not_published_yet_says_what_to_do(warehouse: MySqlWarehouse) -> None:
    warehouse.publish(_Notes, notes(text=["x", "y"]))
    with pytest.raises(MySqlError, match=r"table notes: .*'extra'.*Materialise its asset first"):
        warehouse.read(_MoreNotes)


def test_a_whole_publication_adds_the_new_column_too(warehouse: MySqlWarehouse) -> None:
    warehouse.publish(_Notes, notes(text=["x"] * 10))
    new = notes(text=["x"] * 10).with_columns(extra=pl.Series([1.5] + [None] * 9, dtype=pl.Float64))
    warehouse.publish(_MoreNotes, new)
    assert_frame_equal(warehouse.read(_MoreNotes), new)


@pytest.mark.parametrize(
    ("contract", "statement"),
    [
        (
            _StricterNotes,
            "UPDATE `notes` SET `extra` = <what is true of each row>; "  # noqa: ISC004
            "ALTER TABLE `notes` MODIFY COLUMN `extra` double NOT NULL COMMENT 'New'",
        ),
        (_RegrainedNotes, "ALTER TABLE `notes` DROP PRIMARY KEY, ADD PRIMARY KEY (`symbol`)"),
        (_RetypedNotes, "ALTER TABLE `notes` MODIFY COLUMN `count` double NULL COMMENT 'Number'"),
        (_FewerNotes, "ALTER TABLE `notes` DROP COLUMN `text`"),
    ],
)
@pytest.mark.parametrize("sessions", [None, [MONDAY]], ids=["whole", "slices"])
def test_any_other_change_of_a_table_is_refused_with_the_statements_that_make_it(
    warehouse: MySqlWarehouse, contract: type[Contract], statement: str, sessions: list[date] | None
) -> None:
    before = notes(text=["x", "y"])
    warehouse.publish(_Notes, before)
    with pytest.raises(SchemaMismatchError) as refused:
        warehouse.publish(contract, contract.empty_frame(), sessions)
    assert str(refused.value).startswith(f"{warehouse.server.shown}: table notes is not what its contract declares")
    assert statement in str(refused.value)
    assert "DROP TABLE `notes`" in str(refused.value)
    assert_frame_equal(warehouse.read(_Notes), before)


def test_a_table_that_is_nothing_but_its_key_is_merged(warehouse: MySqlWarehouse) -> None:
    def keys(count: int) -> pl.DataFrame:
        return pl.DataFrame({"symbol": [f"S{number:04}" for number in range(count)], "session": [MONDAY] * count})

    for count in (100, 101, 99):
        warehouse.publish(_KeysOnly, keys(count))
        assert_frame_equal(warehouse.read(_KeysOnly), keys(count))


@pytest.mark.parametrize(
    ("before", "sessions"), [(100, [MONDAY]), (100, None), (0, None)], ids=["slice", "merge", "anew"]
)
def test_keys_that_differ_in_trailing_blanks_alone_are_refused_with_the_reason(
    warehouse: MySqlWarehouse, before: int, sessions: list[date] | None
) -> None:
    old, new = notes(price=[1.0] * before), notes(price=[1.0] * 100)
    warehouse.publish(_Notes, old)
    twin = new.head(1).with_columns(symbol=pl.lit("S0000 "), price=pl.lit(2.0))
    with pytest.raises(
        MySqlError, match=r"table notes: .*S0000 .*keys that differ in trailing blanks alone are one to MySQL"
    ):
        warehouse.publish(_Notes, pl.concat([new, twin]), sessions)
    assert_frame_equal(warehouse.read(_Notes), old)


def test_a_key_that_loses_its_trailing_blank_takes_the_place_of_the_old_one(warehouse: MySqlWarehouse) -> None:
    new = notes(price=[1.0] * 100)
    warehouse.publish(_Notes, new.with_columns(pl.col("symbol").replace("S0000", "S0000 ")))
    warehouse.publish(_Notes, new)
    assert_frame_equal(warehouse.read(_Notes), new)


@pytest.mark.parametrize("name", ["", "a`b", "a b", "Labels", "a;b", "a.b", "naïve", "x" * 65, "a\n", "1a", "%s"])
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a table or column"):
        quoted(name)
    with pytest.raises(ValueError, match="cannot name a table or column"):
        Table("fine", (Column(name, "double", is_nullable=True),), ()).create("fine")
    with pytest.raises(ValueError, match="cannot name a table or column"):
        Table("fine", (), ()).create(name)


def test_columns_asked_for_by_a_name_that_is_not_plain_are_refused(warehouse: MySqlWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY))
    with pytest.raises((ValueError, LookupError)):
        warehouse.read(Labels, columns=["symbol` FROM mysql.user -- "])


# Statements


def test_the_newest_session_is_all_that_travels_to_tell_it(
    warehouse: MySqlWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    sent = recorded(monkeypatch)
    assert warehouse.newest_session(Labels) == TUESDAY
    (asked,) = [statement for statement in sent if "FROM `models__labels`" in statement]
    assert asked == "SELECT MAX(`session`) FROM `models__labels`"


def test_every_statement_is_valid_for_mysql_8(warehouse: MySqlWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = recorded(monkeypatch)
    whole = notes(text=[f"x{number}" for number in range(10)])
    warehouse.publish(_Notes, whole)
    warehouse.publish(_Notes, whole.with_columns(price=pl.lit(1.0)))
    warehouse.publish(_Notes, notes(text=["changed", *whole["text"][1:9]]).with_columns(price=pl.lit(1.0)))
    warehouse.publish(_MoreNotes, whole.with_columns(extra=pl.lit(1.0)).head(3), [MONDAY])
    warehouse.read(_MoreNotes, [MONDAY, TUESDAY], columns=["text"])
    warehouse.scan(_MoreNotes).filter(pl.col("session") > MONDAY).select("price").collect()
    warehouse.row_count(_MoreNotes, [MONDAY])
    warehouse.newest_session(_MoreNotes)
    warehouse.quarantine(Labels, quarantined("2022-01-03"))
    warehouse.quarantine(Labels, quarantined("2022-01-04"), [TUESDAY])
    warehouse.read_quarantine(Labels)
    warehouse.append_delivery("market", {DailyBars: raw_bars("A", 1.0)}, {"it's": "\\"})
    warehouse.connection_state("market")

    words = {statement.split()[0] for statement in sent}
    assert words >= {"CREATE", "ALTER", "DROP", "RENAME", "LOAD", "INSERT", "DELETE", "SELECT", "SET", "SHOW"}
    only_for_mariadb = ("RETURNING", " OR REPLACE ", "ADD COLUMN IF NOT EXISTS", "SEQUENCE", "WAIT ", "PERIOD FOR")
    for statement in sent:
        assert not any(word in statement for word in only_for_mariadb), statement
        if statement.startswith("LOAD DATA"):
            assert _LOAD_DATA.fullmatch(statement), statement  # sqlglot does not know it
        else:
            assert sqlglot.parse_one(statement, dialect="mysql"), statement


# Values


@pytest.fixture(scope="module")
def without_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A server that forbids LOAD DATA LOCAL."""
    with running(MariaDb(tmp_path_factory.mktemp("without-local"), options=("--local-infile=0",))) as server:
        yield server


@pytest.fixture(params=["LOAD DATA", "INSERT"])
def either_way(request: pytest.FixtureRequest) -> MySqlWarehouse:
    """A warehouse that is written in bulk, and one on a server that forbids it."""
    name = "mariadb" if request.param == "LOAD DATA" else "without_local"
    server: MariaDb = request.getfixturevalue(name)
    return MySqlWarehouse(server.database("desk"))


def test_texts_come_back_as_they_were_written(either_way: MySqlWarehouse) -> None:
    frame = notes(text=[*NASTY, None], story=[*(text * 300 for text in NASTY), None])
    either_way.publish(_Notes, frame)
    assert_frame_equal(either_way.read(_Notes), frame)


def test_floats_come_back_bit_for_bit(either_way: MySqlWarehouse) -> None:
    frame = notes(price=list(FLOATS))
    either_way.publish(_Notes, frame)
    assert bits(either_way.read(_Notes)["price"]) == bits(frame["price"])


def test_other_values_come_back_as_they_were_written(either_way: MySqlWarehouse) -> None:
    frame = notes(
        count=[2**63 - 1, -(2**63), 0, None],
        is_so=[True, False, None, True],
        noted_at=[
            datetime(2022, 1, 3, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(1971, 1, 1, tzinfo=UTC),
            None,
            datetime(2022, 3, 27, 2, 30, tzinfo=UTC),  # an hour that some zones leave out
        ],
        until=[date(1900, 1, 1), date(9999, 12, 31), None, MONDAY],
    )
    either_way.publish(_Notes, frame)
    assert_frame_equal(either_way.read(_Notes), frame)


def test_raw_values_that_double_cannot_hold_come_back(either_way: MySqlWarehouse) -> None:
    odd = [float("nan"), float("inf"), float("-inf"), None, 0.0, 1.5]
    keys = pl.DataFrame({"symbol": list("ABCDEF"), "close": odd, "open": odd[::-1]})
    frame = filled(keys, DailyBars)
    either_way.append_delivery("market", {DailyBars: frame}, {})
    assert_frame_equal(either_way.read(DailyBars), frame)
    assert_frame_equal(either_way.read(DailyBars, columns=["open"]), frame.select("open"))
    assert_frame_equal(
        either_way.scan(DailyBars).filter(pl.col("close").is_nan()).select("symbol", "open").collect(),
        frame.filter(pl.col("close").is_nan()).select("symbol", "open"),
    )


@given(st.lists(st.tuples(st.none() | st.floats(), st.none() | st.floats())))
def test_values_that_double_cannot_hold_are_set_aside_and_put_back(values: list[tuple[float | None, ...]]) -> None:
    schema = {"open": pl.Float64, "close": pl.Float64}
    frame = filled(pl.DataFrame(values, schema=schema, orient="row"), DailyBars)
    aside = transfer.with_non_finite_aside(DailyBars, frame)
    assert aside.select(pl.all_horizontal(pl.col(pl.Float64).is_finite().all())).item()
    assert_frame_equal(transfer.with_non_finite_back(aside, frame.columns), frame)
    assert_frame_equal(transfer.with_non_finite_back(aside, ["close"]), frame.select("close"))


def test_a_server_that_forbids_bulk_loading_gives_the_same_result_and_the_log_says_why(
    without_local: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse = MySqlWarehouse(without_local.database("desk"))
    frame = notes(text=["x"] * 2500)
    with caplog.at_level(logging.WARNING):
        warehouse.publish(_Notes, frame)
    assert_frame_equal(warehouse.read(_Notes), frame)
    (said,) = {record.getMessage() for record in caplog.records if "batches" in record.getMessage()}
    assert said.startswith("notes")
    assert "because the server says" in said


def test_a_text_that_does_not_fit_is_refused_and_changes_nothing(either_way: MySqlWarehouse) -> None:
    before = notes(text=["x"])
    either_way.publish(_Notes, before)
    said = rf"{either_way.server.port}/desk, table notes: .*'text' at row 2.*mend what computes it"
    for sessions in ([MONDAY], None):
        with pytest.raises(MySqlError, match=said):
            either_way.publish(_Notes, notes(text=["x", "y" * 256]), sessions)
    assert_frame_equal(either_way.read(_Notes), before)


# What is asked of the server


@pytest.mark.parametrize(
    ("predicate", "condition"),
    [
        (pl.col("session") == MONDAY, "`session` = '2022-01-03'"),
        (pl.col("session") < MONDAY, "`session` < '2022-01-03'"),
        (pl.col("session") <= MONDAY, "`session` <= '2022-01-03'"),
        (pl.col("session") > MONDAY, "`session` > '2022-01-03'"),
        (pl.col("session") >= MONDAY, "`session` >= '2022-01-03'"),
        (pl.col("session").is_between(MONDAY, TUESDAY), "`session` BETWEEN '2022-01-03' AND '2022-01-04'"),
        (
            (pl.col("session") >= MONDAY) & (pl.col("session") < TUESDAY),
            "`session` >= '2022-01-03' AND `session` < '2022-01-04'",
        ),
        ((pl.col("symbol") == "A") & (pl.col("session") == MONDAY), "`session` = '2022-01-03'"),
    ],
)
def test_comparisons_of_the_session_are_left_to_the_server(predicate: pl.Expr, condition: str) -> None:
    assert session_condition(predicate) == f" WHERE {condition}"


@pytest.mark.parametrize(
    "predicate",
    [
        pl.col("symbol") == "A' OR 1=1",
        (pl.col("session") == MONDAY) | (pl.col("symbol") == "A"),
        ~(pl.col("session") == MONDAY),
        pl.col("session") != MONDAY,
        pl.col("entry_session") == MONDAY,
        pl.col("session") == pl.col("entry_session"),
        pl.col("session").dt.year() == 2022,
        pl.col("session").is_between(MONDAY, TUESDAY, closed="left"),
        pl.col("session").is_between(MONDAY, pl.col("entry_session")),
        pl.col("session").is_in([MONDAY]),
        pl.col("session").cast(pl.String) == "2022-01-03",
        pl.lit(MONDAY) == pl.col("session"),
    ],
)
def test_what_is_not_understood_is_left_to_polars_and_filters_all_the_same(
    warehouse: MySqlWarehouse, predicate: pl.Expr
) -> None:
    assert not session_condition(predicate)
    frame = labels(MONDAY, TUESDAY)
    warehouse.publish(Labels, frame)
    assert_frame_equal(
        warehouse.scan(Labels).filter(predicate).collect().sort("symbol", "session"), frame.filter(predicate)
    )


def test_a_scan_asks_for_the_columns_and_sessions_it_needs(
    warehouse: MySqlWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = labels(MONDAY, TUESDAY)
    warehouse.publish(Labels, frame)
    sent = recorded(monkeypatch)
    wanted = (pl.col("session") > MONDAY) & (pl.col("symbol") == "A")
    found = warehouse.scan(Labels).filter(wanted).select("forward_return").collect()
    assert_frame_equal(found, frame.filter(wanted).select("forward_return"))
    (query,) = [statement for statement in sent if "FROM `models__labels`" in statement]
    asked, _, condition = query.partition(" FROM `models__labels`")
    assert set(asked.removeprefix("SELECT ").split(", ")) == {"`forward_return`", "`session`", "`symbol`"}
    assert condition == " WHERE `session` > '2022-01-03'"


def test_a_scan_can_be_cut_short_and_counted(warehouse: MySqlWarehouse) -> None:
    warehouse.publish(Labels, labels(MONDAY, TUESDAY))
    assert warehouse.scan(Labels).head(1).collect().height == 1
    assert warehouse.scan(Labels).select(pl.len()).collect().item() == 4
    assert warehouse.scan(Labels).filter(pl.col("session") == MONDAY).select(pl.len()).collect().item() == 2


def test_a_read_of_sessions_asks_for_these(warehouse: MySqlWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.publish(TargetWeights, weights(MONDAY, "A"), [MONDAY])
    sent = recorded(monkeypatch)
    assert warehouse.read(TargetWeights, [MONDAY], columns=["weight"]).columns == ["weight"]
    (query,) = [statement for statement in sent if "FROM `trading__target_weights`" in statement]
    assert query.endswith("WHERE `session` IN ('2022-01-03')")
    assert "reference_price_usd" not in query


# What is written


@pytest.fixture
def watched(warehouse: MySqlWarehouse, mariadb: MariaDb) -> MySqlWarehouse:
    """A table of a hundred rows whose every change the server notes in ``changes``."""
    warehouse.publish(_Notes, notes(price=[float(number) for number in range(100)]))
    mariadb.as_root(
        "USE desk",
        "CREATE TABLE changes (what VARCHAR(9), symbol VARCHAR(9))",
        *(
            f"CREATE TRIGGER on_{what} AFTER {what} ON notes FOR EACH ROW "  # noqa: S608
            f"INSERT INTO changes VALUES ('{what}', {'OLD' if what == 'DELETE' else 'NEW'}.symbol)"
            for what in ("INSERT", "UPDATE", "DELETE")
        ),
    )
    return warehouse


def test_of_a_table_that_changed_little_only_the_changed_rows_are_written(
    watched: MySqlWarehouse, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = recorded(monkeypatch)
    new = notes(price=[float(number) for number in range(102)])
    new = new.with_columns(
        price=pl.when(symbol="S0007").then(pl.lit(None)).when(symbol="S0008").then(8.5).otherwise("price")
    ).filter(pl.col("symbol") != "S0009")
    watched.publish(_Notes, new)
    assert_frame_equal(watched.read(_Notes), new)
    assert sorted(mariadb.as_root("SELECT * FROM desk.changes")) == [
        ("DELETE", "S0009"),
        ("INSERT", "S0100"),
        ("INSERT", "S0101"),
        ("UPDATE", "S0007"),
        ("UPDATE", "S0008"),
    ]
    assert not any(statement.startswith("RENAME") for statement in sent)


def test_a_table_that_did_not_change_is_not_written(watched: MySqlWarehouse, mariadb: MariaDb) -> None:
    watched.publish(_Notes, notes(price=[float(number) for number in range(100)]))
    assert mariadb.as_root("SELECT * FROM desk.changes") == []


def test_a_table_that_changed_much_is_replaced_by_another(
    watched: MySqlWarehouse, mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = recorded(monkeypatch)
    new = notes(price=[float(-number) for number in range(100)])
    watched.publish(_Notes, new)
    assert_frame_equal(watched.read(_Notes), new)
    assert mariadb.as_root("SELECT * FROM desk.changes") == []
    assert [statement for statement in sent if statement.startswith("RENAME")] == [
        "RENAME TABLE `notes` TO `notes__old`, `notes__next` TO `notes`"
    ]
    tables = mariadb.as_root("SELECT table_name FROM information_schema.tables WHERE table_schema = 'desk'")
    assert set(tables) == {("notes",), ("changes",)}


def test_no_file_of_rows_is_left_behind(
    warehouse: MySqlWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    warehouse.publish(_Notes, notes(text=["x"]))
    with pytest.raises(MySqlError):
        warehouse.publish(_Notes, notes(text=["y" * 256]))
    assert list(tmp_path.glob("bentleybot-load-*")) == []


def test_a_log_is_indexed_by_session_and_keyed_by_delivery() -> None:
    assert table_of(DailyBars).primary_key == ("_delivery", "_row")
    assert table_of(DailyBars).index == ("session",)
    assert table_of(CorporateActions).index == ("ex_date",)


def test_a_client_that_shows_a_certificate_reads_the_same_row_by_row(mysql_server: MySqlServer, monkeypatch) -> None:
    bars = clean_bars()
    MySqlWarehouse(mysql_server).publish(CleanBars, bars)
    monkeypatch.setattr(MySqlServer, "shows_certificate", True)
    monkeypatch.setattr(transfer, "_read_columns", None)
    in_clear = replace(mysql_server, options={"ssl_mode": "disabled"})  # or it would have to be there
    assert MySqlWarehouse(in_clear).read(CleanBars).equals(bars)
