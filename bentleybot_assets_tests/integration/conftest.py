"""Desks that several integration tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentleybot_assets_tests.integration.desk import PROJECT, SESSION, Desk


@pytest.fixture(scope="package")
def finished_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk on which the newest sample session was run. Tests may look, and run it again: that changes nothing."""
    desk = Desk.fresh(tmp_path_factory.mktemp("finished_desk"))
    desk.run("bentleybot", "run", "--session", SESSION)
    return desk


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where tests leave pictures for people to look at."""
    folder = PROJECT / ".bentleybot" / "test-artefacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
