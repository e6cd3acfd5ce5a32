"""kill -9 at every point of a restore: nobody opens what it left, and the next one ends with the whole desk."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bentleybot_assets.contracts.models import Labels
from bentleybot_assets.deployment import resources_of
from bentleybot_assets.mysql import MySqlServer
from bentleybot_assets_tests.faults import killed_restore
from bentleybot_assets_tests.faults.dying import Context, exit_code, forkserver, parts
from bentleybot_assets_tests.faults.killed_restore import count_or_die, digest, killing_client, make, settings_of
from bentleybot_assets_tests.integration.desk import production_variables
from bentleybot_assets_tests.ledger.sessions_of_work import FIRST
from bentleybot_assets_tests.mariadb import MariaDb

STRIDE = 8


@pytest.fixture(scope="module")
def processes() -> Context:
    return forkserver(killed_restore.__name__)


@dataclass(frozen=True)
class Restored:
    """Where a desk is restored to."""

    folder: Path
    archive: Path
    server: MySqlServer | None
    mariadb: MariaDb | None

    @property
    def variables(self) -> dict[str, str]:
        return {"BENTLEYBOT_HOME": str(self.home)} | (production_variables(self.server) if self.server else {})

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def begin_anew(self) -> None:
        """Nothing there."""
        shutil.rmtree(self.home, ignore_errors=True)
        if self.mariadb is not None and self.server is not None:
            self.mariadb.database(self.server.database)

    def refusals(self) -> list[str]:
        """What those who would open warehouse and ledger are told; nothing where they may."""
        resources = resources_of(settings_of(self.variables, self.folder))
        told = []
        for use in (
            lambda: resources["warehouse"].open().row_count(Labels),
            lambda: resources["ledger"].open().orders(FIRST),
        ):
            try:
                use()
            except RuntimeError as error:
                told.append(str(error))
        return told

    def require_refused_or(self, *whole: dict[str, Any]) -> bool:
        """Whether the desk is refused, with its name and the remedy; if not, it is as it was or as it will be."""
        found = digest(self.home, self.server)
        if found in whole:
            return False
        told = self.refusals()
        assert len(told) == 2, found.keys()
        name = f"database {self.server.database}" if self.server else str(self.home)
        assert all(name in words and "run `bentleybot restore` again" in words for words in told), told
        return True


@pytest.fixture(params=["embedded", "production"])
def desk(request, processes: Context, tmp_path: Path, monkeypatch) -> Restored:
    """A desk that was backed up and is gone."""
    mariadb = request.getfixturevalue("mariadb") if request.param == "production" else None
    monkeypatch.chdir(tmp_path)
    for name in ("BENTLEYBOT_PROFILE", "MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"):
        monkeypatch.delenv(name, raising=False)  # and as it was when the test ends
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    server = mariadb.database("killed") if mariadb else None
    desk = Restored(tmp_path, tmp_path / "desk.tar.gz", server, mariadb)
    assert exit_code(processes, make, desk.variables, desk.folder, server, desk.archive) == 0
    desk.begin_anew()
    return desk


@pytest.mark.parametrize("first", parts(STRIDE))
def test_a_restore_killed_at_any_point_is_refused_until_the_next_one(
    desk: Restored, processes: Context, first: int
) -> None:
    nothing = digest(desk.home, desk.server)
    assert exit_code(processes, count_or_die, desk.variables, desk.folder, desk.archive, None) == 0
    expected = digest(desk.home, desk.server)
    assert len(expected) > 5
    assert desk.refusals() == []
    points = int((desk.folder / "points").read_text())
    assert points > 30

    refused = 0
    for die_at in range(first, points, STRIDE):
        desk.begin_anew()
        assert (
            exit_code(processes, count_or_die, desk.variables, desk.folder, desk.archive, die_at) == -signal.SIGKILL
        ), die_at
        is_refused = desk.require_refused_or(nothing, expected)
        refused += is_refused
        if is_refused or digest(desk.home, desk.server) == nothing:
            assert exit_code(processes, count_or_die, desk.variables, desk.folder, desk.archive, None) == 0, die_at
        assert digest(desk.home, desk.server) == expected, die_at
        assert desk.refusals() == []
    assert refused


@pytest.mark.parametrize("desk", ["production"], indirect=True)
def test_a_program_that_outlives_its_restore_is_ended_by_the_next_one(desk: Restored, processes: Context) -> None:
    assert exit_code(processes, count_or_die, desk.variables, desk.folder, desk.archive, None) == 0
    expected = digest(desk.home, desk.server)

    desk.begin_anew()
    programs = desk.folder / "programs"
    programs.mkdir()
    killing_client(str(shutil.which("mariadb")), programs)
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    assert exit_code(processes, count_or_die, desk.variables | path, desk.folder, desk.archive, None) == -signal.SIGKILL
    assert desk.require_refused_or()
    try:
        assert exit_code(processes, count_or_die, desk.variables, desk.folder, desk.archive, None) == 0
    finally:
        (programs / "go").write_text("")
        (programs / "ended").read_text()
    assert digest(desk.home, desk.server) == expected
