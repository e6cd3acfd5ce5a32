"""What every test stands on: an environment of its own, and no skip that nobody declared.

Does not belong here: data (``scenario.py``) and fixtures that one folder alone needs (its own ``conftest.py``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.mariadb import MariaDb, running

# The same examples on every machine and at every run; how long one takes says nothing about the code.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=50)
hypothesis.settings.load_profile("repeatable")

DECLARED_SKIPS: tuple[str, ...] = ()
"""Beginnings of the reasons for which CI may skip a test. CI has every server and recording, so there are none."""


USER_HOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give libraries a home to keep ids, caches and profiles in that is not the user's. Some do so when imported."""
    config.stash[USER_HOME] = os.environ["HOME"] = tempfile.mkdtemp(prefix="bentleybot-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[USER_HOME], ignore_errors=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own; nothing that the user's environment says about the desk reaches a test."""
    own_names = {
        str(alias)
        for field in Settings.model_fields.values()
        if field.validation_alias is not None
        for alias in getattr(field.validation_alias, "choices", [field.validation_alias])
    }
    for name in os.environ:
        if name != "BENTLEYBOT_FIXTURES" and (name.startswith("BENTLEYBOT_") or name in own_names):
            monkeypatch.delenv(name)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("BENTLEYBOT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A MariaDB server that the tests of this process share."""
    with running(MariaDb(tmp_path_factory.mktemp("mariadb"))) as server:
        yield server


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """A server that the tests of a module may kill."""
    with running(MariaDb(tmp_path_factory.mktemp("mortal"))) as server:
        yield server


@pytest.fixture
def mysql_server(mariadb: MariaDb) -> MySqlServer:
    """An empty database of the test's own."""
    return mariadb.database("desk")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _undeclared_skips(terminalreporter.config):
        terminalreporter.write_line(f"CI skipped a test without a declared reason: {reason}", red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that quietly stops running is a test lost: in CI a skip must be one of DECLARED_SKIPS."""
    if session.exitstatus == pytest.ExitCode.OK and _undeclared_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _undeclared_skips(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("CI") != "true":
        return []
    # longrepr of a skip is (file, line, "Skipped: reason").
    reasons = (
        f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}"
        for report in reporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    return [reason for reason in reasons if not any(f": {declared}" in reason for declared in DECLARED_SKIPS)]
