"""What people see: the lineage UI in a real browser, after a run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import Desk

pytestmark = [pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium")]

GROUPS = sorted({key.split("/")[0] for key in EXPECTED})
READY_SECONDS = 120


@pytest.fixture(scope="module")
def address(finished_desk: Desk) -> Iterator[str]:
    """A `dagster dev` over a desk that has run, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = finished_desk.folder / "dev.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("dagster")), "dev", "--port", str(port), "--host", "127.0.0.1"],
            cwd=finished_desk.folder,
            env=finished_desk.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 15)
            server.wait()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1920, "height": 1200})
        page.set_default_timeout(READY_SECONDS * 1000)
        wait_until_it_answers(page, address)
        yield page
        browser.close()


def wait_until_it_answers(page: Page, address: str) -> None:
    """Ask until the server is up; the browser waits between the attempts."""
    for _ in range(READY_SECONDS):
        try:
            page.goto(f"{address}/asset-groups/", timeout=5000)
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error) and "Timeout" not in str(error):
                raise
            page.wait_for_timeout(1000)
        else:
            return
    raise AssertionError(f"nothing answered at {address}")


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    skip = page.get_by_role("button", name="Skip")
    page.wait_for_load_state("networkidle")
    if skip.count():
        skip.first.click()


def test_the_lineage_shows_every_group_and_asset_and_no_error(page: Page, address: str, artefacts: Path) -> None:
    expanded = ",".join(f"bentleybot_assets@bentleybot_assets:{group}" for group in GROUPS)
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
