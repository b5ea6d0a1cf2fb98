"""Reports opened from disk in a real browser, with the network off."""

from __future__ import annotations

import time
from pathlib import Path

import optuna
import pytest
from playwright.sync_api import Browser
from report_studies import (
    HOSTILE,
    a_hostile_study,
    a_study,
    keep_predictions,
    predictions_of_a_team,
)

from optuna_layerwise.reporting.report import report

pytestmark = pytest.mark.slow

SECONDS = 120


class Opened:
    """A report in a window; what its console said and what it wanted from the network."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: str) -> None:
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        self.page = context.new_page()
        self.said: list[str] = []
        self.wanted: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.wanted.append(request.url))
        self.page.set_default_timeout(1_000 * SECONDS)
        self.page.goto(path.as_uri(), wait_until="commit")
        self.page.wait_for_selector("body[data-figures]")

    def sizes(self) -> list[tuple[float, float]]:
        """Width and height of every drawn figure."""
        script = "all => all.map(e => [e.getBoundingClientRect().width, e.clientHeight])"
        found = self.page.eval_on_selector_all(".figure .main-svg:first-of-type", script)
        return [(width, height) for width, height in found]

    def wait_until(self, script: str) -> None:
        """Playwright's own waiting needs ``eval``, which the report's policy forbids."""
        ends = time.monotonic() + SECONDS
        while not self.page.evaluate(script):
            assert time.monotonic() < ends, script
            self.page.wait_for_timeout(50)

    def paper(self) -> str:
        """The colour of the page, as of the first figure."""
        body = "getComputedStyle(document.body).backgroundColor"
        figure = "document.querySelector('.figure .main-svg').style.background"
        colours = {self.page.evaluate(body), self.page.evaluate(figure)}
        return " ".join(sorted(colours))


@pytest.fixture(scope="module")
def a_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    study = a_study(25)
    keep_predictions(study, predictions_of_a_team(), path.with_suffix(".npz"))
    path.write_text(report(study), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("width", "scheme", "paper"),
    [(1280, "light", "rgb(255, 255, 255)"), (400, "dark", "rgb(21, 24, 29)")],
)
def test_a_report_opens_offline_with_every_figure_and_a_silent_console(
    browser: Browser, a_report: Path, width: int, scheme: str, paper: str
) -> None:
    opened = Opened(browser, a_report, width, scheme)
    n = opened.page.locator(".figure").count()
    sizes = opened.sizes()
    assert n >= 7
    assert len(sizes) == n
    assert all(0.6 * width < w <= width and h >= 150 for w, h in sizes)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.paper() == paper
    assert opened.said == []
    pictures = "[...document.images].filter(e => e.complete && e.naturalWidth == 64).length"
    opened.page.eval_on_selector_all("img", "all => all.map(e => e.loading = 'eager')")
    opened.wait_until(f"{pictures} == document.images.length")
    assert opened.page.locator(".gallery img").count() > 20
    assert opened.wanted == [a_report.as_uri()]


def test_the_figures_follow_the_scheme_and_the_paper(browser: Browser, a_report: Path) -> None:
    opened = Opened(browser, a_report, 1280, "light")
    opened.page.emulate_media(color_scheme="dark")
    opened.wait_until(
        "document.querySelector('.figure .main-svg').style.background == 'rgb(21, 24, 29)'"
    )
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    opened.wait_until(
        "document.querySelector('.figure .main-svg').style.background == 'rgb(255, 255, 255)'"
    )
    assert all(width <= 680 for width, _ in opened.sizes())


def test_figures_keep_their_height_when_the_window_is_made_small(
    browser: Browser, a_report: Path
) -> None:
    opened = Opened(browser, a_report, 1280, "light")
    before = [height for _, height in opened.sizes()]
    opened.page.set_viewport_size({"width": 400, "height": 900})
    narrow = "[...document.querySelectorAll('.figure .main-svg')].every(e => e.clientWidth <= 400)"
    opened.wait_until(narrow)
    assert [height for _, height in opened.sizes()] == before
    places = "all => all.map(e => e.clientHeight)"
    assert opened.page.eval_on_selector_all(".figure > div", places) == before


def test_a_hostile_study_runs_nothing_and_fits_a_small_window(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.html"
    study = a_hostile_study()
    texts = {"class_name": HOSTILE, "image_name": HOSTILE}
    keep_predictions(study, predictions_of_a_team(200, 900, **texts), tmp_path / HOSTILE[2:5])
    path.write_text(report(study), encoding="utf-8")
    opened = Opened(browser, path, 400, "light")
    assert opened.said == []
    assert opened.wanted == [path.as_uri()]
    assert "<script>document.title=" in opened.page.title()
    assert opened.page.locator("main img:not(.gallery img), main a").count() == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_large_studies_are_drawn(browser: Browser, tmp_path: Path) -> None:
    wide = a_study(60, blocks=[f"block{i}" for i in range(160)], final=False)
    long = optuna.create_study(study_name="long", direction="maximize")
    make = optuna.trial.create_trial
    long.add_trials([make(value=i % 977 / 977) for i in range(5_000)])
    for study in (wide, long):
        path = tmp_path / f"{study.study_name}.html"
        path.write_text(report(study), encoding="utf-8")
        opened = Opened(browser, path, 1280, "light")
        assert opened.said == []
        assert len(opened.sizes()) == opened.page.locator(".figure").count()
