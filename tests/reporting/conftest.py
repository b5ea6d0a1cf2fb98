"""A browser and studies that several tests of this room share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from made_up import DigitsStudy, digits_search
from playwright.sync_api import Browser, Page, sync_playwright
from serving import OpenPage

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_SECONDS = 300
"""Of everything in a page: a busy machine needs its time."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium, without a window; missing ones are skipped, but not in CI."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        message = f"none of {', '.join(BROWSERS)} is here; on Debian: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path, args=arguments, timeout=TIMEOUT_SECONDS * 1000
        )
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address; at the end no page may have complained on its console.

    ``offline`` cuts the network off; ``dark`` asks for the dark scheme.
    """
    complaints: list[str] = []
    contexts = []

    def open_(
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        offline: bool = False,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            offline=offline,
        )
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{message.type}: {message.text}")
                if message.type == "error"
                else None
            ),
        )
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def digits_study(tmp_path_factory: pytest.TempPathFactory) -> DigitsStudy:
    """A real search on the embedded digits, with its page kept up to date, finalized."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return digits_search(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures of pages go; ``OLW_SCREENSHOTS`` names a folder that stays."""
    folder = Path(os.environ.get("OLW_SCREENSHOTS", str(tmp_path)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
