"""Each connector can be built as a standard Airbyte image: what Airbyte reads of it is sound, and its command runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
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


def dockerfile(connector: str) -> str:
    """The Dockerfile as it is built for a connector: what follows ``ARG CONNECTOR`` knows it."""
    common, own = (FOLDER / "Dockerfile").read_text().split("ARG CONNECTOR\n")
    assert "CONNECTOR}" not in common
    return common + own.replace("${CONNECTOR}", connector)


def instructions(connector: str) -> dict[str, str]:
    """Instruction to its last argument."""
    return dict(re.findall(r"^([A-Z]+) (.+)$", dockerfile(connector), flags=re.MULTILINE))


def environment(connector: str) -> dict[str, str]:
    return dict(re.findall(r'^ENV (\w+)="?([^"\n]+)"?$', dockerfile(connector), flags=re.MULTILINE))


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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert data["license"] == project.get("license", "Proprietary")
    icon = ET.fromstring((FOLDER / connector / data["icon"]).read_text())  # noqa: S314 - our own
    assert icon.tag == "{http://www.w3.org/2000/svg}svg"
    assert icon.attrib["width"] == icon.attrib["height"] == "250"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_an_image_is_labelled_as_it_is(connector: str) -> None:
    told = instructions(connector)
    data = metadata(connector)["data"]
    assert f'io.airbyte.name="{data["dockerRepository"]}"' in told["LABEL"]
    assert f'io.airbyte.version="{data["dockerImageTag"]}"' in told["LABEL"]
    assert told["USER"] == "airbyte"
    copied = re.findall(r"^COPY (\S+)", dockerfile(connector), flags=re.MULTILINE)
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("connector", SOURCES)
def test_the_command_of_an_image_prints_the_spec_that_is_beside_it(connector: str) -> None:
    told = environment(connector)["AIRBYTE_ENTRYPOINT"]
    assert told.startswith("python ")
    variables = {**os.environ, "AIRBYTE_ENTRYPOINT": told.replace("python", sys.executable, 1)}
    command = [*json.loads(instructions(connector)["ENTRYPOINT"]), "spec"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables)
    assert ran.returncode == 0, ran.stderr
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    (spec,) = [message["spec"] for message in messages if message["type"] == "SPEC"]
    kept = json.loads((FOLDER / connector / "spec.json").read_text())
    assert kept == spec, "Run `python docker/airbyte/write_specs.py`."


def test_a_connector_that_is_not_there_is_not_built() -> None:
    (guard,) = re.findall(r"^RUN (test -f .*\\\n.*)$", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    for connector, is_there in (("market", True), ("markets", False), ("", False)):
        variables = {**os.environ, "CONNECTOR": connector}
        ran = subprocess.run(
            ["/bin/sh", "-c", guard], capture_output=True, text=True, check=False, cwd=ROOT, env=variables
        )
        assert (ran.returncode == 0) == is_there
        assert ("build with --build-arg CONNECTOR=market" in ran.stderr) != is_there
