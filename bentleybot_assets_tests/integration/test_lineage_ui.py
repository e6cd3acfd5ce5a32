"""What people see: the lineage UI in a real browser, after a run."""

from __future__ import annotations

import re
import shutil
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Error, Page, Response, expect, sync_playwright

from bentleybot_assets.contracts.signals import TradingSignals
from bentleybot_assets_tests.architecture.test_keys import EXPECTED
from bentleybot_assets_tests.integration.desk import SESSION, Desk
from bentleybot_assets_tests.integration.services import free_port, serving

pytestmark = [pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium")]

GROUPS = sorted({key.split("/")[0] for key in EXPECTED})
READY_MILLISECONDS = 120_000


@pytest.fixture(scope="module")
def address(finished_desk: Desk) -> Iterator[str]:
    """A `dagster dev` over a desk that has run, on loopback."""
    port = free_port()
    with serving(
        finished_desk.command("dagster", "dev", "--port", str(port), "--host", "127.0.0.1"),
        folder=finished_desk.folder,
        environment=finished_desk.environment,
        log=finished_desk.folder.with_name("dagster_dev.log"),
        port=port,
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the browser and the server's answers complained of since the last test ended."""
    return []


@pytest.fixture(scope="module")
def page(address: str, complaints: list[str]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1920, "height": 1200})
        page.set_default_timeout(READY_MILLISECONDS)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", lambda answer: complaints.extend(faults_of(answer)))
        yield page
        browser.close()


def faults_of(answer: Response) -> Iterator[str]:
    """Why an answer is none; GraphQL tells of errors inside answers that succeed."""
    if not answer.ok:
        yield f"{answer.url}: HTTP {answer.status}"
    elif answer.url.endswith("/graphql"):
        try:
            told = answer.json()
        except Error:
            return  # of a page that was left in the meantime
        if "errors" in told:
            yield f"{answer.request.post_data}: {told['errors']}"


@pytest.fixture(autouse=True)
def _nobody_complained(page: Page, complaints: list[str]) -> Iterator[None]:
    yield
    assert complaints == []


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_text("Lineage").first.wait_for()


BOXES = """boxes => boxes.map(box => ({
    is_group: box.classList.contains("group"), name: box.textContent.trim(), ...box.getBoundingClientRect().toJSON()
}))"""


def nodes(page: Page) -> list[tuple[str, str]]:
    """(group, asset) of each node that is drawn; a node belongs to the group in whose box it stands."""
    boxes = page.locator("svg foreignObject").evaluate_all(BOXES)
    groups = [box for box in boxes if box["is_group"]]
    return sorted(
        (group["name"], node["name"])
        for node in boxes
        for group in groups
        if node["name"]
        and not node["is_group"]
        and group["left"] <= node["left"] <= node["right"] <= group["right"]
        and group["top"] <= node["top"] <= node["bottom"] <= group["bottom"]
    )


def test_the_lineage_shows_every_asset_in_its_group_and_no_error(page: Page, address: str, artefacts: Path) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    open_page(page, f"{address}/asset-groups/?expanded={urllib.parse.quote(expanded)}")
    # Two assets are named daily_bars: each must be there.
    for name, count in Counter(key.split("/")[-1] for key in EXPECTED).items():
        node = page.locator("svg foreignObject:not(.group)").filter(has_text=re.compile(rf"^\s*{name}\s*$"))
        expect(node).to_have_count(count, timeout=READY_MILLISECONDS)
    page.screenshot(path=artefacts / "lineage.png")
    assert nodes(page) == sorted((key.split("/")[0], key.split("/")[-1]) for key in EXPECTED)
    assert "error" not in page.inner_text("body").lower()


def test_an_asset_shows_what_its_run_published(page: Page, address: str, artefacts: Path) -> None:
    open_page(page, f"{address}/assets/signals/trading_signals")
    status = rf"Latest materialization\s.*\b{SESSION}\s+Latest check results\s+3\s+Row count\s+25\b"
    expect(page.locator("body")).to_contain_text(
        re.compile(status, re.DOTALL), use_inner_text=True, timeout=READY_MILLISECONDS
    )
    page.screenshot(path=artefacts / "asset.png")
    text = page.inner_text("body")
    assert re.search(r"Owners\s+research\b", text)
    for column in TradingSignals.to_schema().columns:
        assert re.search(rf"^{column}$", text, flags=re.MULTILINE), column


def test_an_asset_shows_a_preview_of_its_rows(page: Page, address: str, artefacts: Path) -> None:
    open_page(page, f"{address}/assets/signals/trading_signals")
    show = page.get_by_text("[Show Markdown]").first
    show.scroll_into_view_if_needed()
    show.click()
    preview = page.get_by_role("dialog").get_by_role("table")
    preview.wait_for()
    page.screenshot(path=artefacts / "asset_preview.png", animations="disabled")
    header, *rows = (row.split("\t") for row in preview.inner_text().splitlines() if row.strip())
    assert header == ["symbol", "action", "percentile", "reasons"]
    assert len(rows) == 25
    assert "XOM" in {row[0] for row in rows}


def test_the_checks_of_an_asset_all_passed(page: Page, address: str, artefacts: Path) -> None:
    open_page(page, f"{address}/assets/signals/trading_signals?view=checks")
    # A name is there twice: as it is shown, and whole.
    passed = r"\s+".join(
        rf"(?:{check}\s+)+Succeeded" for check in ("contract", "no_rows_quarantined", "sells_rank_below_buys")
    )
    expect(page.locator("body")).to_contain_text(re.compile(passed), use_inner_text=True, timeout=READY_MILLISECONDS)
    page.screenshot(path=artefacts / "asset_checks.png")


def test_a_published_table_says_what_data_it_holds_and_where(page: Page, address: str) -> None:
    open_page(page, f"{address}/assets/raw/market/daily_bars")
    body = page.locator("body")
    for shown in (
        r"data_mode\s.*\bsample\b",
        r"location\s.*/warehouse/raw/market\b",
        r"Storage\s+raw__market__daily_bars",
    ):
        expect(body).to_contain_text(re.compile(shown, re.DOTALL), use_inner_text=True, timeout=READY_MILLISECONDS)


def test_what_the_browser_complains_of_is_heard(page: Page, address: str, complaints: list[str]) -> None:
    open_page(page, f"{address}/assets/signals/trading_signals")
    with page.expect_event("console", lambda said: said.text == "planted message"):
        page.evaluate("console.error('planted message')")
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw new Error('planted error') })")
    with page.expect_event("console", lambda said: "400" in said.text):
        page.evaluate("fetch('/graphql?query={planted}')")
    heard = " ".join(complaints)
    complaints.clear()
    for complaint in ("planted message", "planted error", f"{address}/graphql?query={{planted}}: HTTP 400"):
        assert complaint in heard


def test_an_error_inside_an_answer_is_found() -> None:
    asked = SimpleNamespace(post_data="{assets}")
    answer = SimpleNamespace(
        ok=True, url="http://127.0.0.1/graphql", request=asked, json=lambda: {"errors": ["planted"]}
    )
    assert list(faults_of(answer)) == ["{assets}: ['planted']"]
    assert list(faults_of(SimpleNamespace(ok=True, url=answer.url, json=lambda: {"data": {}}))) == []
