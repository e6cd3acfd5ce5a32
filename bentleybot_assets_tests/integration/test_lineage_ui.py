"""What people see: the lineage UI in a real browser, after a run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import Desk

pytestmark = [pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium")]

GROUPS = sorted({key.split("/")[0] for key in EXPECTED})
SERVING = "Serving dagster-webserver"
READY_MILLISECONDS = 120_000


@pytest.fixture(scope="module")
def address(finished_desk: Desk) -> Iterator[str]:
    """A `dagster dev` over a desk that has run, on loopback; given out once it says that it serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        finished_desk.command("dagster", "dev", "--port", str(port), "--host", "127.0.0.1"),
        cwd=finished_desk.folder,
        env=finished_desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = list(until_it_serves(server))
        assert said, "dagster dev said nothing"
        assert SERVING in said[-1], "".join(said)
        # Whoever reads its output must go on reading, or the server stops when the pipe is full.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def until_it_serves(server: subprocess.Popen[str]) -> Iterator[str]:
    """The server's lines up to the one that says that it serves, or to its end."""
    for line in server.stdout:
        yield line
        if SERVING in line:
            return


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1920, "height": 1200})
        page.set_default_timeout(READY_MILLISECONDS)
        yield page
        browser.close()


def open_page(page: Page, url: str) -> None:
    """Open a page of the UI, past the greeting that a first visit gets."""
    page.goto(url)
    page.get_by_text("Lineage").first.wait_for()
    greeting = page.get_by_role("button", name="Skip")
    if greeting.count():
        greeting.first.click()


def test_the_lineage_shows_every_group_and_asset_and_no_error(page: Page, address: str, artefacts: Path) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    open_page(page, f"{address}/asset-groups/?expanded={urllib.parse.quote(expanded)}")
    for key in sorted(EXPECTED):
        page.get_by_text(key.split("/")[-1], exact=False).first.wait_for()
    page.screenshot(path=artefacts / "lineage.png")
    text = page.inner_text("body")
    for group in GROUPS:
        assert re.search(rf"\b{group}\b", text), group
    assert "error" not in text.lower()


def test_an_asset_shows_its_materialisation_columns_and_preview(page: Page, address: str, artefacts: Path) -> None:
    open_page(page, f"{address}/assets/signals/trading_signals")
    page.get_by_text("What to do with each member").first.wait_for()
    page.screenshot(path=artefacts / "asset.png", full_page=True)
    text = page.inner_text("body")
    assert "percentile" in text
    assert "team:research" in text
