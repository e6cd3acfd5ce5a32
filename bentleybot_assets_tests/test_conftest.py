"""The rules that the test suite sets itself."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.conftest import USER_HOME

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite with one passing and one skipped test, under our own conftest."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no server here')\n")
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_ci_fails_on_a_skip_that_nobody_declared(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_subprocess(*workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["CI skipped a test without a declared reason: *test_b: no server here"])


def test_a_declared_skip_passes_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    conftest = suite.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("tuple[str, ...] = ()", 'tuple[str, ...] = ("no server",)'))
    assert suite.runpytest_subprocess().ret == pytest.ExitCode.OK


def test_a_skip_on_a_users_machine_is_only_a_skip(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert suite.runpytest_subprocess().ret == pytest.ExitCode.OK


def test_the_network_beyond_this_machine_is_closed() -> None:
    from pytest_socket import SocketConnectBlockedError

    with socket.socket() as connection, pytest.raises(SocketConnectBlockedError):
        connection.connect(("192.0.2.1", 80))


def test_a_test_has_a_home_of_its_own(home: Path, tmp_path: Path) -> None:
    assert Settings.load().home == home
    assert home.is_relative_to(tmp_path)


def test_the_home_of_the_user_is_not_the_users_own(request: pytest.FixtureRequest) -> None:
    own = pwd.getpwuid(os.getuid()).pw_dir
    assert os.environ["HOME"] == request.config.stash[USER_HOME] != own


def test_the_users_environment_does_not_reach_a_test() -> None:
    left = [name for name in os.environ if name.startswith(("BENTLEYBOT_", "MYSQL_", "DAGSTER_HOME"))]
    assert set(left) <= {"BENTLEYBOT_HOME", "BENTLEYBOT_FIXTURES"}
