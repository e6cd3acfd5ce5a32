"""A source as a program says what is wrong with its configuration without showing what it holds."""

from __future__ import annotations

import json
import re
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

SECRET = "hunter2-hunter2"  # noqa: S105 - a made-up one
BANK = {"name": "Bank", "kind": "plaid", "client_id": SECRET, "secret": SECRET, "access_token": SECRET}
WRONG = {
    "market": (
        {"mode": "sample", "symbols": [SECRET]},
        r"Market: its configuration at symbols\[0\] breaks the rule pattern: ",
    ),
    "portfolio": (
        {"mode": "institutions", "institutions": [BANK | {"products": ["transactions"], "enviroment": "sandbox"}]},
        r"Portfolio: its configuration at institutions\[0\] has enviroment, which it does not know; it knows ",
    ),
    "news": (
        {
            "mode": "feeds",
            "feeds": [{"name": "wire", "kind": "newsapi", "api_key": SECRET, "query": "stocks", "languge": "en"}],
        },
        r"News: its configuration at feeds\[0\] has languge, which it does not know; it knows ",
    ),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the cdk replaces

    def started(connector: str, command: str, **files: Any) -> None:
        arguments = [command]
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
            arguments += [f"--{name}", str(tmp_path / name)]
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        runpy.run_module(f"bentleybot_assets.connectors.{connector}", run_name="__main__")

    return started


@pytest.mark.parametrize("connector", WRONG)
def test_check_fails_and_says_why(connector: str, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config, said = WRONG[connector]
    run(connector, "check", config=config)
    told = capsys.readouterr().out
    (status,) = [message for message in map(json.loads, told.splitlines()) if message["type"] == "CONNECTION_STATUS"]
    assert status["connectionStatus"]["status"] == "FAILED"
    assert re.match(said, status["connectionStatus"]["message"])
    assert SECRET not in told


@pytest.mark.parametrize("command", ["discover", "read"])
@pytest.mark.parametrize("connector", WRONG)
def test_nothing_is_read_and_it_is_said_why(
    connector: str, command: str, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config, said = WRONG[connector]
    files = {"config": config} | ({"catalog": {"streams": []}} if command == "read" else {})
    with pytest.raises(AirbyteTracedException) as raised:
        run(connector, command, **files)
    assert raised.value.failure_type is FailureType.config_error
    assert re.match(said, str(raised.value.message))
    told = capsys.readouterr().out + str(raised.value.as_airbyte_message())
    assert SECRET not in told + "".join(traceback.format_exception(raised.value))
