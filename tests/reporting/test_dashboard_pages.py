from __future__ import annotations

import time
from pathlib import Path

import optuna
import pytest
from made_up import EVIL, DigitsStudy, made_up_study
from optuna.storages import BaseStorage, InMemoryStorage
from playwright.sync_api import Page
from serving import OpenPage, served

from optuna_layerwise.reporting.dashboard import write_page
from optuna_layerwise.storage import open_storage

pytestmark = pytest.mark.slow

IDS = ("layer-plan", "block-importance", "best-so-far")


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return open_storage(f"sqlite:///{tmp_path}/pages.db")


def traces(page: Page, figure_id: str) -> list[str]:
    """Types of the traces that Plotly has drawn; none if it only says why it is empty."""
    element = f"document.getElementById('user-defined-plot:{figure_id}')"
    page.wait_for_function(
        f"{element} && {element}.layout && {element}.querySelector('.main-svg')"
    )
    types: list[str] = page.evaluate(f"{element}.data.map(trace => trace.type)")
    return types


def text_in(page: Page, figure_id: str) -> str:
    element = f"document.getElementById('user-defined-plot:{figure_id}')"
    text: str = page.evaluate(f"{element}.querySelector('.main-svg').parentElement.innerText")
    return text


def history_page(open_page: OpenPage, address: str, study: optuna.Study, **how: object) -> Page:
    return open_page(f"{address}/dashboard/studies/{study._study_id}", **how)


def no_markup_of_names(page: Page) -> None:
    """What `EVIL` would add to a page if it were taken for markup."""
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("script", has_text="alert(1)").count() == 0


def test_a_real_study_shows_its_three_figures_with_their_traces(
    open_page: OpenPage, digits_study: DigitsStudy, screenshots: Path
) -> None:
    with served(open_storage(digits_study.url)) as address:
        page = history_page(open_page, address, digits_study.study, height=2_400)
        assert traces(page, "layer-plan") == ["scatter", "heatmap", "heatmap"]
        assert traces(page, "block-importance") == ["bar", "scatter"]
        assert set(traces(page, "best-so-far")) == {"scatter"}
        for figure_id, words in zip(
            IDS, ("Layer plans", "Which blocks matter", "Best value so far"), strict=True
        ):
            assert words in text_in(page, figure_id)
        page.screenshot(path=screenshots / "dashboard-figures.png")


@pytest.mark.parametrize("what", ["study", "best trial"])
def test_the_notes_are_readable(
    open_page: OpenPage, digits_study: DigitsStudy, what: str, screenshots: Path
) -> None:
    study = digits_study.study
    best = study.best_trial.number
    where = "note" if what == "study" else f"trials?numbers={best}"
    with served(open_storage(digits_study.url)) as address:
        page = open_page(f"{address}/dashboard/studies/{study._study_id}/{where}")
        page.wait_for_selector("table td:has-text('stage2')")
        shown = page.locator("body").inner_text()
        assert ("trials finished" if what == "study" else "The best trial so far") in shown
        assert "\\" not in shown.split("To go on")[0].split("best trial so far")[-1]
        page.screenshot(path=screenshots / f"dashboard-note-{what.replace(' ', '-')}.png")


def test_names_that_try_html_and_markdown_are_shown_as_they_are(
    open_page: OpenPage, storage: BaseStorage, screenshots: Path
) -> None:
    study = made_up_study(60, 6, name=EVIL, block=EVIL, storage=storage)
    study.set_user_attr("classes", EVIL)
    write_page(study, resume=EVIL)
    with served(storage) as address:
        page = history_page(open_page, address, study, height=2_400)
        assert traces(page, "layer-plan")
        assert "<script>" in text_in(page, "layer-plan")
        no_markup_of_names(page)
        page.screenshot(path=screenshots / "dashboard-hostile-names.png")
        page = open_page(f"{address}/dashboard/studies/{study._study_id}/note")
        page.wait_for_selector("td:has-text('<script>')")
        no_markup_of_names(page)
        assert page.locator("strong", has_text="bold").count() == 1  # the bold heading as a whole
        page.screenshot(path=screenshots / "dashboard-hostile-note.png")


def test_many_trials_of_many_blocks_are_shown_quickly(
    open_page: OpenPage, screenshots: Path
) -> None:
    storage = InMemoryStorage()  # 5,000 trials take a minute to write into a file
    study = made_up_study(5_000, 3, name="many", storage=storage)
    wide = made_up_study(60, 160, name="wide", storage=storage)
    for each in (study, wide):
        started = time.process_time()
        write_page(each)
        assert time.process_time() - started < 10
    with served(storage) as address:
        for each in (study, wide):
            page = history_page(open_page, address, each, height=2_400)
            for figure_id in IDS:
                assert traces(page, figure_id)
            page.screenshot(path=screenshots / f"dashboard-{each.study_name}.png")


@pytest.mark.parametrize("n_trials", [0, 5])
def test_nothing_to_show_is_said(open_page: OpenPage, storage: BaseStorage, n_trials: int) -> None:
    study = made_up_study(n_trials, 3, storage=storage, only_failures=True)
    write_page(study)
    with served(storage) as address:
        page = history_page(open_page, address, study)
        for figure_id in IDS:
            assert traces(page, figure_id) == []
            assert "trial" in text_in(page, figure_id)
