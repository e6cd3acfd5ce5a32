"""Writes spec.json of each connector beside its metadata.yaml: what its command ``spec`` prints.

Run from the repository's root, after a connector's configuration changed: ``python docker/airbyte/write_specs.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def spec(connector: str) -> dict[str, Any]:
    """The specification that a connector prints."""
    program = [sys.executable, "-m", f"bentleybot_assets.connectors.{connector}", "spec"]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own
    (found,) = (message["spec"] for message in map(json.loads, told.splitlines()) if message["type"] == "SPEC")
    return found  # type: ignore[no-any-return]


if __name__ == "__main__":
    for metadata in sorted(FOLDER.glob("*/metadata.yaml")):
        text = json.dumps(spec(metadata.parent.name), indent=2, ensure_ascii=False)
        metadata.with_name("spec.json").write_text(f"{text}\n", encoding="utf-8")
