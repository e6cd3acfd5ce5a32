"""Each connector can be built as a standard Airbyte image: what Airbyte reads of it is sound, and its command runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "airbyte"
SOURCES = sorted(file.parent.name for file in (ROOT / "bentleybot_assets" / "connectors").glob("*/__main__.py"))
CONNECTORS = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir() and folder.name != "__pycache__")

REQUIRED = {
    "name",
    "definitionId",
    "connectorType",
    "dockerRepository",
    "dockerImageTag",
    "license",
    "documentationUrl",
    "githubIssueLabel",
    "connectorSubtype",
    "releaseStage",
}
"""Of metadata.yaml, version 1.0, as Airbyte's metadata service checks it; so are the next two."""
SUBTYPES = {"api", "database", "datalake", "file", "custom", "message_queue", "unknown", "vectorstore"}
OPTIONAL = {"icon", "supportLevel", "tags", "allowedHosts"}


def dockerfile(connector: str) -> dict[str, str]:
    """Instruction to its last argument."""
    lines = (FOLDER / connector / "Dockerfile").read_text().splitlines()
    return dict(re.match(r"([A-Z]+) (.+)", line).groups() for line in lines if re.match(r"[A-Z]+ ", line))


def environment(connector: str) -> dict[str, str]:
    text = (FOLDER / connector / "Dockerfile").read_text()
    return dict(re.findall(r'^ENV (\w+)="?([^"\n]+)"?$', text, flags=re.MULTILINE))


def metadata(connector: str) -> dict[str, object]:
    return yaml.safe_load((FOLDER / connector / "metadata.yaml").read_text())


def test_every_connector_has_an_image() -> None:
    assert set(SOURCES) <= set(CONNECTORS)
    ids = [metadata(connector)["data"]["definitionId"] for connector in CONNECTORS]
    assert len(set(ids)) == len(CONNECTORS)


@pytest.mark.parametrize("connector", CONNECTORS)
def test_what_airbyte_reads_of_an_image_is_sound(connector: str) -> None:
    told = metadata(connector)
    assert told["metadataSpecVersion"] == "1.0"
    data = told["data"]
    assert set(data) >= REQUIRED
    assert set(data) <= REQUIRED | OPTIONAL
    assert str(uuid.UUID(data["definitionId"])) == data["definitionId"]
    assert data["connectorType"] == "source"
    assert data["connectorSubtype"] in SUBTYPES
    assert data["dockerRepository"] == f"bentleybot/source-{connector}"
    assert data["dockerImageTag"] == version("bentleybot-assets")
    assert data["documentationUrl"].startswith("https://")
    icon = ET.fromstring((FOLDER / connector / data["icon"]).read_text())  # noqa: S314 - our own
    assert icon.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_an_image_starts_as_it_says_and_is_labelled_as_it_is(connector: str) -> None:
    told = dockerfile(connector)
    command = json.loads(told["ENTRYPOINT"])
    assert shlex.split(environment(connector)["AIRBYTE_ENTRYPOINT"]) == command
    data = metadata(connector)["data"]
    assert f'io.airbyte.name="{data["dockerRepository"]}"' in told["LABEL"]
    assert f'io.airbyte.version="{data["dockerImageTag"]}"' in told["LABEL"]
    assert told["USER"] == "airbyte"
    copied = re.findall(r"^COPY (\S+)", (FOLDER / connector / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("connector", SOURCES)
def test_the_command_of_an_image_prints_the_spec_that_is_beside_it(connector: str) -> None:
    interpreter, *arguments = json.loads(dockerfile(connector)["ENTRYPOINT"])
    assert interpreter == "python"
    ran = subprocess.run([sys.executable, *arguments, "spec"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    (spec,) = [message["spec"] for message in messages if message["type"] == "SPEC"]
    kept = json.loads((FOLDER / connector / "spec.json").read_text())
    assert kept == spec, "Run `python docker/airbyte/write_specs.py`."
