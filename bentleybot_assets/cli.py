"""The ``bentleybot`` command: run a session, look at tables, see whether the desk is in order.

Does not belong here: anything that the asset graph does; the command only starts it and shows what came out.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import dagster as dg
import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bentleybot_assets.backup import Outcome, back_up, restore_from
from bentleybot_assets.cli_airbyte import app as airbyte
from bentleybot_assets.contracts._base import contract_for
from bentleybot_assets.contracts.sessions import is_session, last_closed_session, last_known_day, previous_session
from bentleybot_assets.databases import inspected, upgrade
from bentleybot_assets.deployment import mysql_account, open_dagster, resources_of
from bentleybot_assets.mysql import MySqlError
from bentleybot_assets.resources.airbyte.base import not_configured
from bentleybot_assets.resources.processes import alone, is_gone, name_of_this_process
from bentleybot_assets.settings import Settings
from bentleybot_assets.terminal import err, explained, fail, load_settings, out
from bentleybot_assets.warehouse.base import MissingTableError, Warehouse
from bentleybot_assets.warehouse.sql import ask, open_sql, view_names
from bentleybot_assets.wiring.alerts import failed_checks_of_run
from bentleybot_assets.wiring.refusals import Stop, refuse

if TYPE_CHECKING:
    import duckdb

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
db = typer.Typer(no_args_is_help=True, help="The databases of this deployment.")
app.add_typer(db, name="db")
app.add_typer(airbyte, name="airbyte")

_DAILY_JOB = "reports_daily_job"
_BRIEF_JOB = "reports_brief_job"
_CALENDAR_NOTICE = timedelta(days=90)
_HIDDEN = ".dagster/"
"""Tags that begin so are not shown in Dagster's list of runs."""


class Format(StrEnum):
    """How ``bentleybot table`` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command()
@explained()
def run(
    session: Annotated[
        str | None, typer.Option(help="Exchange session to decide (YYYY-MM-DD). Default: the newest one there is.")
    ] = None,
) -> None:
    """Carry one session from sync to brief: data, checks, forecasts, signals, orders."""
    settings = load_settings()
    day = _session(settings, _newest_session(settings) if session is None else _day(session))
    resources = resources_of(settings)
    # skops looks for the home of 850 functions in every module loaded so far: the earlier, the cheaper.
    import skops.io  # noqa: F401

    from bentleybot_assets.definitions import defs as definitions

    ledger = resources["ledger"].open()
    stop = Stop()
    with alone(settings.home / ".run.lock", f"session {day}", before_waiting=_say_who_is_at_work):
        # First, as it is refused if the desk is not whole: Dagster would begin a history.
        was_decided = bool(ledger.decided([day], settings.policy.strategy))
        with open_dagster(settings) as instance:
            _close_abandoned_runs(instance)
            result = _execute(definitions, instance, _DAILY_JOB, day, settings.data_mode)
            has_failed = not result.success or _has_errors(result)
            if has_failed:
                # The refusal comes first: whatever else fails now, nothing may be ordered.
                stop = refuse(instance, result.run_id, day, ledger)
                if stop.refusals:
                    brief = _execute(definitions, instance, _BRIEF_JOB, day, settings.data_mode)
                    if not brief.success:
                        stop = replace(stop, beside=refuse(instance, brief.run_id, day, ledger).beside)
            alerts = [check.alert() for check in failed_checks_of_run(instance, result.run_id)]
            resources["notifier"].report(alerts)
    _print_summary(settings, day, result, stop)
    if was_decided:
        out.print(f"{day} was decided before; its decision stands. To start anew, move {settings.home} away.")
    if has_failed:
        raise typer.Exit(1)


@app.command()
@explained()
def table(
    key: Annotated[str, typer.Argument(help="Asset key, for instance signals/trading_signals.")],
    session: Annotated[str | None, typer.Option(help="Only this session (YYYY-MM-DD).")] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show; csv and json hold all.")] = 100,
) -> None:
    """Print a table as it was last published."""
    settings = load_settings()
    warehouse = resources_of(settings)["warehouse"].open()
    try:
        contract = contract_for(key.split("/"))
        if session and not contract.is_by_session():
            fail(f"{key} has no column session; leave --session out.")
        frame = warehouse.read(contract, [_day(session)] if session else None)
    except MissingTableError as error:
        group, connection, *_ = key.split("/")
        is_left_out = group == "raw" and connection not in settings.connections
        fail(f"{key} was never published: {not_configured(connection)}" if is_left_out else str(error))
    except LookupError as error:
        fail(str(error))
    if output is Format.TABLE and frame.height > limit:
        err.print(f"The first {limit} of {frame.height:,} rows; --limit shows more, --format csv all.")
        frame = frame.head(limit)
    _print_frame(frame, output)


@app.command()
@explained()
def sql(
    query: Annotated[str | None, typer.Argument(help="A query over views such as market__daily_bars.")] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Query the tables with DuckDB; without a query, at a prompt.

    On a MySQL server, the tables that a query names are read whole before it is answered.
    """
    import duckdb

    warehouse, connection = resources_of(load_settings())["warehouse"].open(), open_sql()
    if query is not None:
        try:
            _print_frame(_rows(connection, warehouse, query), output)
        except (duckdb.Error, LookupError) as error:
            fail(str(error))
        return
    out.print(
        f"Views: {', '.join(view_names(warehouse)) or 'none yet; run `bentleybot run` first'}. An empty line ends."
    )
    with suppress(EOFError):
        for line in iter(lambda: out.input("sql> ").strip(), ""):
            try:
                _print_frame(_rows(connection, warehouse, line), Format.TABLE)
            except (duckdb.Error, LookupError, MySqlError) as error:
                err.print(f"[red]{escape(str(error))}")


@db.command("upgrade")
@explained()
def upgrade_databases() -> None:
    """Create and migrate the databases of this deployment: ledger, Dagster's history, MLflow's runs."""
    settings = load_settings()
    for step in upgrade(settings):
        out.print(step, highlight=False)


@app.command()
@explained()
def doctor() -> None:
    """Say whether the desk is in order, and what to mend."""
    settings = load_settings()
    levels = set()
    shown = Table("", "what", "finding", box=None)
    try:
        for level, what, finding in _findings(settings):
            levels.add(level)
            shown.add_row({"ok": "[green]ok", "warn": "[yellow]warn", "fail": "[red]FAIL"}[level], what, finding)
    finally:
        # Also what was found before something could not be looked at.
        out.print(shown)
    if "fail" in levels:
        raise typer.Exit(1)


@app.command()
@explained()
def backup(file: Annotated[Path, typer.Argument(help="Archive to write, a new .tar.gz.")]) -> None:
    """Put the whole desk in one file, while no run is at work."""
    _print_outcome(f"The desk is in {file}", back_up(load_settings(), file, before_waiting=_say_who_is_at_work))


@app.command()
@explained()
def restore(file: Annotated[Path, typer.Argument(help="Archive that `bentleybot backup` wrote.")]) -> None:
    """Bring a desk back from its backup, where there is none yet."""
    settings = load_settings()
    _print_outcome(f"The desk is back in {settings.home}", restore_from(settings, file))


def _print_outcome(done: str, outcome: Outcome) -> None:
    out.print(f"{done}: {outcome.members:,} members, {outcome.size_bytes / 2**20:.1f} MiB.", highlight=False)
    for words in outcome.left_out:
        err.print(f"[yellow]NOT IN IT[/] {escape(words)}", highlight=False, soft_wrap=True)


def _findings(settings: Settings) -> Iterator[tuple[str, str, str]]:
    yield "ok", "python", sys.version.split()[0]
    yield "ok", "mode", f"{settings.data_mode} data, {settings.account.mode} account, state in {settings.home}"
    left = last_known_day() - datetime.now(UTC).date()
    yield (
        "warn" if left < _CALENDAR_NOTICE else "ok",
        "session table",
        f"knows the exchange's closures to {last_known_day()}, {left.days} days ahead"
        + (": extend it with `make calendar`" if left < _CALENDAR_NOTICE else ""),
    )
    existing = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    is_writable = existing.is_dir() and os.access(existing, os.W_OK)
    yield (
        ("ok" if is_writable else "fail"),
        "home",
        f"{settings.home} can be written"
        if is_writable
        else f"{existing} cannot be written: change its rights, or set `home` in bentleybot.yaml",
    )
    free = shutil.disk_usage(existing).free / 2**30
    yield (
        ("ok" if free > 1 else "fail"),
        "disk",
        f"{free:.1f} GiB free at {existing}" + ("" if free > 1 else ": free some"),
    )
    resources = resources_of(settings)
    for name in settings.connections:
        problem = resources["airbyte"].check(name)
        yield ("fail" if problem else "ok"), f"connection {name}", problem or "its source answers"
    if settings.profile == "production":
        for name, problem, lacking in inspected(mysql_account(settings).server()):
            level = "fail" if problem else "warn" if lacking else "ok"
            yield level, f"database {name}", problem or lacking or "can be opened, and this user may do what is needed"
    if settings.mlflow_url:
        problem = resources["mlflow"].check()
        yield ("fail" if problem else "ok"), "mlflow", problem or "it can be reached"
    refusals = resources["ledger"].open().open_refusals(_newest_session(settings))
    stopped = ", ".join(
        f"{refusal['table_name']}: {refusal['check_name']}"
        + (f" (met by {refusal['times_met']} runs)" if refusal["times_met"] > 1 else "")
        for refusal in refusals.iter_rows(named=True)
    )
    yield ("warn" if stopped else "ok"), "refusals", stopped or "none is open for the newest session"
    warehouse = resources["warehouse"].open()
    for key in ("raw/market/daily_bars", "market/daily_bars", "signals/trading_signals", "trading/orders"):
        contract = contract_for(key.split("/"))
        rows = warehouse.row_count(contract)
        if rows is None:
            yield "warn", key, "not there yet: run `bentleybot run`"
        else:
            yield "ok", key, f"{rows:,} rows to {warehouse.newest_session(contract)}"


def _execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job_name: str, day: date, data_mode: str
) -> dg.ExecuteInProcessResult:
    """Run a job for a session in this process, a progress bar showing which asset is at work."""
    job = definitions.resolve_job_def(job_name)
    steps = len(job.graph.node_dict)
    tables = _tables_of_steps(job)
    run_id = str(uuid.uuid4())
    columns = (TextColumn("[bold]{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ExitStack() as run_end,
        Progress(*columns, console=err, refresh_per_second=4, auto_refresh=err.is_terminal) as progress,
    ):
        task = progress.add_task("starting", total=steps)

        def follow(entry: dg.EventLogEntry) -> None:
            event = entry.dagster_event
            if event is None:
                return
            if event.event_type is dg.DagsterEventType.RUN_START:
                _hold_open(instance, run_id, run_end)
            elif event.event_type is dg.DagsterEventType.STEP_START:
                progress.update(task, description=tables.get(event.step_key or "", event.step_key))
            elif event.event_type in (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE):
                progress.advance(task)

        instance.add_event_listener(run_id, follow)
        return job.execute_in_process(
            instance=instance,
            partition_key=day.isoformat(),
            run_id=run_id,
            # Whoever typed the command decides whether to try again.
            tags={**name_of_this_process(_HIDDEN), "data_mode": data_mode, "dagster/max_retries": "0"},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def _has_errors(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a check failed as an error; one that blocks nothing does so in a run that succeeds."""
    checks = result.get_asset_check_evaluations()
    return any(not check.passed and check.severity is dg.AssetCheckSeverity.ERROR for check in checks)


def _tables_of_steps(job: dg.JobDefinition) -> dict[str, str]:
    """Step to the tables it materialises, as a person reads them."""
    tables: dict[str, list[str]] = {}
    for key in job.asset_layer.executable_asset_keys:
        step = job.asset_layer.get_op_output_handle(key).node_handle.name
        tables.setdefault(step, []).append("/".join(key.path))
    return {step: _in_one(sorted(names)) for step, names in tables.items()}


def _in_one(names: list[str]) -> str:
    """``raw/market: 5 tables`` for several tables of one folder."""
    return names[0] if len(names) == 1 else f"{names[0].rpartition('/')[0]}: {len(names)} tables"


def _close_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of this command as failed that say they are going on although their process is gone."""
    under_way = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for abandoned in instance.get_runs(dg.RunsFilter(statuses=under_way)):
        if is_gone(abandoned.tags, _HIDDEN):
            instance.report_run_failed(abandoned, "Its process died; what it had published by then stands.")


def _hold_open(instance: dg.DagsterInstance, run_id: str, until: ExitStack) -> None:
    """Keep a connection to the run's SQLite files.

    Dagster opens one for each event, and the last to leave a file folds its journal into it and removes it: with this
    one left, that happens once.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for shard in ("index", run_id):
            connection = until.enter_context(closing(sqlite3.connect(storage.path_for_shard(shard))))
            # It has the file open only once it has read from it.
            connection.execute("PRAGMA schema_version").fetchone()


def _say_who_is_at_work(holder: str) -> None:
    err.print(f"Another command is at work here ({holder}); waiting for it to end.", highlight=False)


def _print_summary(settings: Settings, day: date, result: dg.ExecuteInProcessResult, stop: Stop) -> None:
    resources = resources_of(settings)
    ledger = resources["ledger"].open()
    checks = result.get_asset_check_evaluations()
    passed = sum(check.passed for check in checks)
    failed = [check for check in checks if not check.passed]
    decided_on = ledger.account(day, settings.policy.strategy)
    cash = f", {decided_on.cash_usd:,.0f} USD cash" if decided_on else ""
    orders = ledger.orders(day)
    shown = Table(title="Bentley Budget Bot", show_header=False, title_justify="left")
    shown.add_row("session", f"{day}")
    shown.add_row("data", "SAMPLE DATA (recorded prices)" if settings.data_mode == "sample" else settings.data_mode)
    shown.add_row("account", f"{settings.account.mode}{cash}")
    if stop.refusals:
        shown.add_row("verdict", f"[red bold]HALT: nothing new is ordered[/] ({orders.height} recorded order(s) stand)")
    else:
        signals = resources["warehouse"].open().read(contract_for(("signals", "trading_signals")), [day])
        counts = Counter(signals["action"])
        value = orders["estimated_value_usd"].sum()
        shown.add_row("signals", ", ".join(f"{counts[action]} {action}" for action in ("BUY", "HOLD", "SELL")))
        shown.add_row("orders", f"{orders.height}, worth {value:,.2f} USD ({settings.account.mode})")
    shown.add_row("checks", f"{passed} passed, {len(failed)} failed")
    state = " [red bold](failed)[/]" if any(line.startswith("reports") for line in stop.beside) else ""
    shown.add_row("brief", f"{resources['reports'].path('daily_brief', day)}{state}")
    out.print(shown)
    for check in failed:
        if check.severity is dg.AssetCheckSeverity.WARN:
            # Its evidence was printed with the alert.
            out.print(f"[yellow]WARN[/] {'/'.join(check.asset_key.path)}, {check.check_name}")
    for reason in stop.refusals:
        out.print(f"[red]HALT[/] {escape(reason)}", highlight=False)
    for failure in stop.beside + stop.overtaken:
        out.print(f"[red]FAILED[/] {escape(failure)}", highlight=False)
    if stop.beside and not stop.refusals:
        out.print("The orders stand: none depends on what failed. Mend what it names, then run again.")
    if stop.overtaken:
        out.print("Another run has let the session's orders through since; they stand.")


def _newest_session(settings: Settings) -> date:
    if settings.data_mode == "sample":
        from bentleybot_assets.connectors.market.sample import SAMPLE_LAST_SESSION

        return SAMPLE_LAST_SESSION
    return last_closed_session(datetime.now(UTC))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a day; write it as 2022-12-28.")


def _session(settings: Settings, day: date) -> date:
    """``day``, if it is a session that the desk can decide."""
    if day < settings.sessions_start:
        fail(
            f"{day} is before {settings.sessions_start}, where this desk's sessions start (sessions_start in "
            f"bentleybot.yaml). The newest session of {settings.data_mode} data is {_newest_session(settings)}."
        )
    try:
        known = is_session(day)
    except ValueError as error:
        fail(str(error))
    if not known:
        fail(f"{day} is not a session of the New York Stock Exchange; the one before it is {previous_session(day)}.")
    if day > _newest_session(settings):
        fail(f"{day} is after the newest session of {settings.data_mode} data, {_newest_session(settings)}.")
    return day


def _rows(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, query: str) -> pl.DataFrame:
    answer = ask(connection, warehouse, query)
    if answer is None:
        raise LookupError(f"{query!r} gives no rows; write a query over the views, as in README.md.")
    return answer.pl()


def _print_frame(frame: pl.DataFrame, output: Format) -> None:
    if output is Format.CSV:
        out.out(frame.write_csv(), end="", highlight=False)
    elif output is Format.JSON:
        out.out(json.dumps(frame.to_dicts(), default=str, indent=2, ensure_ascii=False), highlight=False)
    else:
        shown = Table(*frame.columns)
        for row in frame.iter_rows():
            shown.add_row(*(_cell(value) for value in row))
        # As wide as its content: a cell cut to fit the terminal would be a value nobody can read.
        width = out.measure(shown, options=out.options.update(max_width=sys.maxsize)).maximum
        Console(width=width).print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
