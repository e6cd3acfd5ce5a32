from __future__ import annotations

from pathlib import Path

import pytest

from bentleybot_assets.mysql import MySqlError, MySqlServer
from bentleybot_assets_tests.integration.desk import Desk
from bentleybot_assets_tests.mysql.scripted_server import ScriptedServer


@pytest.mark.parametrize("version", ["5.7.44", "8.0.18", "10.5.9-MariaDB", "5.5.5-10.4.1-MariaDB-log"])
def test_a_server_that_is_too_old_is_refused(mysql_server: MySqlServer, version: str) -> None:
    with pytest.raises(MySqlError, match=r"the server is \w+ .*or newer is needed\. Upgrade it") as refused:
        mysql_server.require_version(version)
    assert version in str(refused.value)
    assert mysql_server.shown in str(refused.value)


@pytest.mark.parametrize(
    "version", ["8.0.36", "8.4.0", "9.1.0", "10.11.19-MariaDB-0+deb12u1", "5.5.5-10.11.6-MariaDB", "11.4.2-MariaDB"]
)
def test_a_server_that_is_new_enough_is_taken(mysql_server: MySqlServer, version: str) -> None:
    mysql_server.require_version(version)


@pytest.mark.parametrize(("version", "name"), [("5.7.44", "MySQL 5.7.44"), ("10.4.34-MariaDB", "MariaDB 10.4.34")])
def test_the_command_says_of_a_server_that_is_too_old_that_it_is(tmp_path: Path, version: str, name: str) -> None:
    old = ScriptedServer(version)
    refused = Desk.on(old.account, tmp_path / "desk").run("bentleybot", "table", "models/labels", check=False)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"desk@127.0.0.1:{old.account.port}/desk: the server is {name}")
    assert line.endswith("or newer is needed. Upgrade it, or use another server.")
    old.close()
