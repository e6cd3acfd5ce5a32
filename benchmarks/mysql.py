"""The MySQL warehouse against what people use: whole tables, slices and upserts; CPU of client and server together.

The server is MariaDB on this machine, started for it (package mariadb-server). Slow ways get a tenth of the rows; what
is compared is rows per CPU second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks._measure import Bar, Line, Options, Report, Section, barred_line, function_case, take_turns, work_folder
from benchmarks.contracts import Bars
from benchmarks.data import FULL, QUICK, stored
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.warehouse.mysql.warehouse import MySqlWarehouse
from bentleybot_assets_tests.mariadb import MariaDb, is_installed

_TENTH = 10
_TABLE = Bars.table_name()
_CLOCK_TICKS = 100


def measure(options: Options) -> Report:
    """Run the benchmark."""
    if not is_installed():
        why = "the package mariadb-server is not installed"
        return Report("mysql", "the MySQL warehouse", (barred_line("load", None, "x", Bar(5, is_minimum=True), why),))
    size = options.pick(FULL, QUICK)
    parquet = str(stored(size).parquet)
    with tempfile.TemporaryDirectory(dir=work_folder()) as folder:
        server = MariaDb(Path(folder), options=("--innodb-buffer-pool-size=1G",))
        server.install()
        server.start()
        try:
            where = server.database("bench")
            common = {"parquet": parquet, "port": where.port, "pid": server.pid}
            cases = {
                name: function_case(name, function, **common)
                for name, function in {
                    "ours: publish": publish,
                    "LOAD DATA": load_data,
                    "to_sql": to_sql,
                    "executemany": executemany,
                    "ours: read": read,
                    "read_sql": read_sql,
                    "ours: replace a session": replace_session,
                    "delete and executemany of a session": delete_and_insert_session,
                    "ours: merge a tenth": merge,
                    "ON DUPLICATE KEY executemany": upsert,
                }.items()
            }
            samples = take_turns(cases, options.pick(3, 1))
        finally:
            server.stop()
    speed = {name: sample.told["rows"] / sample.median for name, sample in samples.items()}
    lines = (
        *(Line(name, value, "rows/CPU s") for name, value in speed.items()),
        barred_line("load: ours / to_sql", speed["ours: publish"] / speed["to_sql"], "x", Bar(5, is_minimum=True)),
        Line("load: ours / plain LOAD DATA", speed["ours: publish"] / speed["LOAD DATA"], "x"),
        Line("load: ours / executemany", speed["ours: publish"] / speed["executemany"], "x"),
        barred_line("read: ours / read_sql", speed["ours: read"] / speed["read_sql"], "x", Bar(8, is_minimum=True)),
        Line("a session: ours / delete and executemany", _ratio(speed, "ours: replace a session", "delete and"), "x"),
        Line("upsert: ours / executemany", _ratio(speed, "ours: merge a tenth", "ON DUPLICATE"), "x"),
    )
    return Report("mysql", f"{size}; client and server CPU together", lines)


def publish(section: Section, **where: Any) -> dict[str, int]:
    """A table that is not there yet."""
    frame, warehouse = _frame(where), _warehouse(where)
    _drop(where)
    with _both(section, where):
        warehouse.publish(Bars, frame)
    return {"rows": frame.height}


def load_data(section: Section, **where: Any) -> dict[str, int]:
    """A file and one statement."""
    frame = _frame(where)
    _drop(where)
    connection = _server(where).connect(table=_TABLE, read_timeout=600, local_infile=True)
    from bentleybot_assets.warehouse.mysql.ddl import table_of

    with connection.cursor() as cursor, tempfile.TemporaryDirectory() as folder, _both(section, where):
        cursor.execute(table_of(Bars).create(_TABLE))
        file = Path(folder, "rows.csv")
        frame.sort("session", "symbol").write_csv(file, include_header=False, null_value="\\N")
        with connection.offering(file):
            cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE `{_TABLE}` FIELDS TERMINATED BY ','")
    return {"rows": frame.height}


def to_sql(section: Section, **where: Any) -> dict[str, int]:
    """What pandas does."""
    from sqlalchemy import create_engine

    frame = _frame(where).head(_frame(where).height // _TENTH)
    _drop(where)
    _warehouse(where).publish(Bars, frame.clear())
    engine = create_engine(_server(where).sqlalchemy_url())
    table = frame.to_pandas()
    with _both(section, where):
        table.to_sql(_TABLE, engine, if_exists="append", index=False)
    return {"rows": frame.height}


def executemany(section: Section, **where: Any) -> dict[str, int]:
    """What the driver does."""
    frame = _frame(where).head(_frame(where).height // _TENTH)
    _drop(where)
    _warehouse(where).publish(Bars, frame.clear())
    with _both(section, where):
        _insert(where, frame, "")
    return {"rows": frame.height}


def read(section: Section, **where: Any) -> dict[str, int]:
    """The whole table."""
    _fill(where, _frame(where))
    warehouse = _warehouse(where)
    with _both(section, where):
        frame = warehouse.read(Bars)
    return {"rows": frame.height}


def read_sql(section: Section, **where: Any) -> dict[str, int]:
    """What pandas does."""
    import pandas as pd
    from sqlalchemy import create_engine

    frame = _frame(where).head(_frame(where).height // _TENTH)
    _fill(where, frame)
    engine = create_engine(_server(where).sqlalchemy_url())
    with _both(section, where):
        table = pd.read_sql(f"SELECT * FROM `{_TABLE}`", engine)  # noqa: S608
    return {"rows": len(table)}


def replace_session(section: Section, **where: Any) -> dict[str, int]:
    """One session of a whole table."""
    frame = _frame(where)
    _fill(where, frame)
    day, rows = _a_session(frame)
    warehouse = _warehouse(where)
    with _both(section, where):
        warehouse.publish(Bars, rows, [day])
    return {"rows": rows.height}


def delete_and_insert_session(section: Section, **where: Any) -> dict[str, int]:
    """The same by hand."""
    frame = _frame(where)
    _fill(where, frame)
    day, rows = _a_session(frame)
    with _both(section, where):
        _insert(where, rows, "", before=f"DELETE FROM `{_TABLE}` WHERE session = '{day}'")  # noqa: S608
    return {"rows": rows.height}


def merge(section: Section, **where: Any) -> dict[str, int]:
    """A table of which a tenth has changed; what is unchanged is read and compared too."""
    frame = _frame(where)
    _fill(where, frame)
    is_changed = pl.int_range(pl.len()) % _TENTH == 0
    changed = frame.with_columns(volume=pl.when(is_changed).then(pl.col("volume") + 1).otherwise("volume"))
    warehouse = _warehouse(where)
    with _both(section, where):
        warehouse.publish(Bars, changed)
    return {"rows": frame.height // _TENTH}


def upsert(section: Section, **where: Any) -> dict[str, int]:
    """The same rows by statement."""
    frame = _frame(where)
    _fill(where, frame)
    rows = frame.gather_every(_TENTH * _TENTH)
    updates = ", ".join(f"`{name}` = VALUES(`{name}`)" for name in frame.columns if name not in Bars.rules().grain)
    with _both(section, where):
        _insert(where, rows, f" ON DUPLICATE KEY UPDATE {updates}")
    return {"rows": rows.height}


def _ratio(speed: dict[str, float], ours: str, other: str) -> float:
    return speed[ours] / next(value for name, value in speed.items() if name.startswith(other))


def _frame(where: dict[str, Any]) -> pl.DataFrame:
    return pl.read_parquet(where["parquet"]).select(Bars.polars_schema().keys())


def _server(where: dict[str, Any]) -> MySqlServer:
    from bentleybot_assets_tests.mariadb import PASSWORD

    return MySqlServer("127.0.0.1", where["port"], "desk", PASSWORD, "bench")


def _warehouse(where: dict[str, Any]) -> MySqlWarehouse:
    return MySqlWarehouse(_server(where))


def _drop(where: dict[str, Any]) -> None:
    connection = _server(where).connect(table=_TABLE, read_timeout=600)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS `{_TABLE}`")
    connection.close()


def _fill(where: dict[str, Any], frame: pl.DataFrame) -> None:
    """Put the table into the state that a case starts from."""
    _drop(where)
    _warehouse(where).publish(Bars, frame)


def _a_session(frame: pl.DataFrame) -> tuple[date, pl.DataFrame]:
    day = frame["session"].max()
    return day, frame.filter(session=day).with_columns(pl.col("volume") + 1)


def _insert(where: dict[str, Any], frame: pl.DataFrame, suffix: str, before: str | None = None) -> None:
    connection = _server(where).connect(table=_TABLE, read_timeout=600)
    columns = ", ".join(f"`{name}`" for name in frame.columns)
    places = ", ".join(["%s"] * frame.width)
    with connection.cursor() as cursor:
        connection.begin()
        if before:
            cursor.execute(before)
        cursor.executemany(f"INSERT INTO `{_TABLE}` ({columns}) VALUES ({places}){suffix}", frame.rows())  # noqa: S608
        connection.commit()
    connection.close()


@contextmanager
def _both(section: Section, where: dict[str, Any]) -> Iterator[None]:
    """Count the server's CPU beside this process's own."""
    before = _server_cpu(where["pid"])
    with section:
        yield
    section.cpu += _server_cpu(where["pid"]) - before


def _server_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
