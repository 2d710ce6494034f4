"""A report in Chromium: no request, every chart drawn, filters, both themes, and axe-core."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from perfmodel.reporting import report

CPUS = ["xeon_8490h", "epyc_9654", "ampereone_192"]


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report(["resnet50"], CPUS, rate=1000), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    assert found, "no Chromium: install it, or name it in CHROMIUM"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_in_a_browser(browser: Browser, page_file: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector("body[data-ready]")
    sections = page.locator("section").count()
    assert sections == 1 + len(CPUS) + 3
    assert page.locator(".chart svg").count() == sections
    assert page.inner_text("#shown") == f"{sections} of {sections} charts are shown."

    serious = [
        (violation["id"], violation["nodes"][0]["html"])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []

    # By keyboard: to the first box, and off.
    page.locator("input[name=cpu][value=xeon_8490h]").focus()
    page.keyboard.press("Space")
    page.wait_for_function(
        "text => document.getElementById('shown').textContent === text",
        arg=f"{sections - 1} of {sections} charts are shown.",
    )
    assert page.locator("section[data-cpu=xeon_8490h]").is_hidden()
    page.locator("#s0 summary").click()
    assert page.locator("#s0 tbody tr:visible").count() == len(CPUS) - 1

    # What the page itself is of: the file, and nothing else.
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [page_file.as_uri()]
    assert faults == []
    context.close()
