"""The documentation site builds strictly, asks nothing from elsewhere, and is searched offline."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from pages import ROOT
from playwright.sync_api import sync_playwright

SITE = ROOT / "build" / "site"
PAGES = ("index.html", "reference/commands.html", "reference/optuna_layerwise.html")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_site_is_read_and_searched_as_files_on_wide_and_narrow_screens() -> None:
    subprocess.run([sys.executable, "docs/site.py"], cwd=ROOT, check=True)
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for width in (1280, 400):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("request", lambda request: asked.append(request.url))
            for name in PAGES:
                page.goto(f"file://{SITE / name}")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"file://{SITE / 'docs' / 'data.html'}")
        page.click("input[name=query]")
        page.keyboard.type("surrogate")
        page.get_by_text("matching documents").wait_for()
        browser.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
