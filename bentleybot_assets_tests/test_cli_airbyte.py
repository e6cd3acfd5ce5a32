"""The commands around an Airbyte server, and a code location that does without it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bentleybot_assets.cli import app
from bentleybot_assets.definitions import build_defs
from bentleybot_assets.resources.airbyte.raw_tables import set_up
from bentleybot_assets.resources.airbyte.server import ServerAirbyte
from bentleybot_assets.settings import Settings
from bentleybot_assets_tests.mariadb import PASSWORD
from bentleybot_assets_tests.resources.airbyte.fake_server import CLIENT, MYSQL, WORKSPACE, FakeAirbyte, serving
from bentleybot_assets_tests.resources.airbyte.server_desk import CONFIG, STREAMS, empty_raw_database

ONE_CONNECTION = "connections: {market: {config: {mode: sample, symbols: [IBM]}}}"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def variables(monkeypatch, tmp_path):
    """A desk with one connection whose Airbyte server and MySQL server nobody runs."""

    def set_(**names):
        for name, value in names.items():
            monkeypatch.setenv(name, str(value))

    set_(
        BENTLEYBOT_AIRBYTE__MODE="server",
        BENTLEYBOT_AIRBYTE__WORKSPACE_ID=WORKSPACE,
        BENTLEYBOT_AIRBYTE__POLL_SECONDS=0,
        AIRBYTE_API_URL=NOBODY,
        AIRBYTE_CLIENT_ID=CLIENT[0],
        AIRBYTE_CLIENT_SECRET=CLIENT[1],
        MYSQL_HOST="127.0.0.1",
        MYSQL_PORT=1,
        MYSQL_USER="desk",
        MYSQL_PASSWORD=PASSWORD,
        MYSQL_DATABASE="desk",
        AIRBYTE_MYSQL_USER=MYSQL["username"],
        AIRBYTE_MYSQL_PASSWORD=MYSQL["password"],
    )
    (tmp_path / "bentleybot.yaml").write_text(ONE_CONNECTION)
    set_(BENTLEYBOT_CONFIG=tmp_path / "bentleybot.yaml")
    monkeypatch.chdir(tmp_path)
    # It would wait for a server that is away.
    monkeypatch.setattr("bentleybot_assets.resources.airbyte.server._RETRIES", 0)
    return set_


@pytest.fixture
def fake(mariadb, mysql_server, variables):
    empty_raw_database(mariadb)
    with serving(FakeAirbyte(mariadb)) as server:
        variables(AIRBYTE_API_URL=f"{server.url}/api/v1/", MYSQL_PORT=mariadb.port)
        yield server


def said(*arguments):
    """Exit code and output of a command."""
    result = CliRunner().invoke(app, ["airbyte", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_what_the_server_has_is_saved_and_shown(fake, home):
    fake.add_connection("market", CONFIG, STREAMS)
    code, told = said("refresh")
    assert code == 0
    assert re.fullmatch(r"market: corporate_actions, daily_bars \(http://127\S+/connections/\S+\)\n", told)
    assert '"version": 1' in (home / "airbyte.json").read_text()
    assert Settings.load().home == home


def test_a_connection_that_is_missing_is_told_and_what_is_there_is_saved(fake, home):
    code, told = said("refresh")
    assert code == 2
    assert "has no connection named market. `bentleybot airbyte provision` makes" in told
    assert (home / "airbyte.json").exists()


def test_provision_sets_a_server_up_and_refreshes(fake, home):
    code, told = said("provision", "--dry-run")
    assert (code, told.splitlines()[0]) == (0, f"{fake.url}, workspace {WORKSPACE}: nothing is changed")
    assert not (home / "airbyte.json").exists()
    code, told = said("provision")
    assert code == 0
    assert "source definition bentleybot/source-market: created" in told
    assert told.splitlines()[-1].startswith("market: corporate_actions, daily_bars, ")
    assert not any(secret in told for secret in (PASSWORD, MYSQL["password"], CLIENT[1]))
    (destination,) = fake.destinations.values()
    assert destination["configuration"] == MYSQL | {
        "host": "127.0.0.1",
        "port": fake.mysql.port,
        "ssl": destination["configuration"]["ssl"],
        "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
    }
    assert "connection market: as it should be" in said("provision")[1]


@pytest.mark.parametrize(
    "changes", [{"AIRBYTE_MYSQL_USER": ""}, {"AIRBYTE_MYSQL_PASSWORD": ""}, {"AIRBYTE_MYSQL_USER": "desk"}]
)
def test_without_a_mysql_user_of_its_own_airbyte_is_not_set_up(changes, fake, variables):
    variables(**changes)
    code, told = said("provision")
    assert code == 2
    assert "set AIRBYTE_MYSQL_USER (another than MYSQL_USER) and AIRBYTE_MYSQL_PASSWORD." in told
    assert told.splitlines()[-4:] == set_up("desk_airbyte", destination="airbyte", desk="desk")
    assert fake.requests == []


def test_the_rights_that_the_readme_tells_of_are_those_that_are_asked_for():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert "\n".join(set_up("bentley_airbyte", destination="airbyte", desk="desk")) in readme


def test_the_airbyte_server_may_reach_mysql_under_another_name(fake, variables):
    variables(BENTLEYBOT_AIRBYTE__MYSQL_HOST="mysql.internal")
    said("provision")
    (destination,) = fake.destinations.values()
    assert destination["configuration"]["host"] == "mysql.internal"


def test_raw_assets_show_the_page_of_their_connection(fake):
    fake.add_connection("market", CONFIG, STREAMS)
    said("refresh")
    (connection_id,) = fake.connections
    graph = build_defs(Settings.load()).resolve_asset_graph()
    told = {key: graph.get(key).metadata.get("airbyte_connection") for key in graph.get_all_asset_keys()}
    page = f"{fake.url}/workspaces/{WORKSPACE}/connections/{connection_id}"
    assert all((shown is not None) == (key.path[:2] == ["raw", "market"]) for key, shown in told.items())
    assert {shown.value for shown in told.values() if shown is not None} == {page}


@pytest.mark.parametrize("command", ["refresh", "provision"])
def test_a_server_that_is_away_is_one_line_with_its_fix(command, variables, mysql_server):
    variables(MYSQL_PORT=mysql_server.port)
    code, told = said(command)
    assert code == 2
    assert f"Airbyte at {NOBODY}: POST /api/public/v1/applications/token: no answer (ConnectionError)." in told


def test_what_a_server_cannot_read_is_read_here(fake, variables, tmp_path):
    (tmp_path / "bank").mkdir()
    (tmp_path / "bentleybot.yaml").write_text(
        f"""
connections:
  market: {{config: {{mode: sample, symbols: [IBM]}}}}
  portfolio:
    config: {{mode: institutions, institutions: [{{name: bank, kind: ofx, path: {tmp_path / "bank"}}}]}}
"""
    )
    code, told = said("provision")
    assert code == 2
    assert "portfolio: bank: an Airbyte server does not see files of this machine." in told
    variables(BENTLEYBOT_AIRBYTE__EMBEDDED='["portfolio"]')
    code, told = said("provision")
    assert code == 0
    assert "portfolio" not in told
    airbyte = build_defs(Settings.load()).resources["airbyte"]
    assert [airbyte.has(name) for name in ("market", "portfolio", "news")] == [True, True, False]
    assert airbyte.check("market") is None
    assert "There is no file" in airbyte.check("portfolio")


def test_without_a_server_there_is_nobody_to_ask(monkeypatch):
    code, told = said("refresh")
    assert code == 2
    assert "there is no Airbyte server to ask. Set airbyte.mode to server" in told


@pytest.mark.parametrize("saved", [None, "{", '{"version": 2}', '{"version": 1, "connections": []}'])
def test_the_code_location_loads_with_all_its_assets_while_the_server_is_away(saved, variables, home):
    if saved is not None:
        home.mkdir()
        (home / "airbyte.json").write_text(saved)
    definitions = build_defs(Settings.load())
    embedded = build_defs(Settings.load().model_copy(update={"airbyte": type(Settings.load().airbyte)()}))
    keys = set(definitions.resolve_asset_graph().get_all_asset_keys())
    assert keys == set(embedded.resolve_asset_graph().get_all_asset_keys())
    airbyte = definitions.resources["airbyte"]
    assert isinstance(airbyte, ServerAirbyte)
    assert "Run `bentleybot airbyte refresh`" in airbyte.check("market")


def test_no_configuration_that_dagster_keeps_holds_a_secret(variables):
    airbyte = build_defs(Settings.load()).resources["airbyte"]
    assert not any(secret in repr(airbyte) + str(dict(airbyte)) for secret in (CLIENT[1], PASSWORD))
