from __future__ import annotations

import json
from pathlib import Path

import optuna
import plotly.graph_objects as go
import plotly.offline
import pytest
from made_up import EVIL, DigitsStudy, made_up_study
from playwright.sync_api import Page
from serving import OpenPage

from optuna_layerwise import visualization

pytestmark = pytest.mark.slow

PLOTS = [name for name in visualization.__all__ if name.startswith("plot_")]
# Left and right ends, in pixels, of all text that is drawn and not empty.
TEXT_ENDS = """() => [...document.querySelectorAll('svg text')]
    .filter(text => text.textContent.trim())
    .map(text => text.getBoundingClientRect())
    .filter(box => box.width > 0)
    .map(box => [box.left, box.right])"""


def write(figures: dict[str, go.Figure], folder: Path, *, dark: bool) -> str:
    """A page of its own with every figure; returns its address."""
    (folder / "plotly.js").write_text(plotly.offline.get_plotlyjs())
    parts = ["<!doctype html><meta charset=utf-8><script src=plotly.js></script>"]
    parts.append(f"<body style='margin:0;background:{'#15181D' if dark else '#fff'}'>")
    for name, figure in figures.items():
        figure = go.Figure(figure)
        figure.update_layout(template=visualization.DARK if dark else visualization.LIGHT)
        content = json.dumps(json.loads(figure.to_json())).replace("</", "<\\/")
        parts.append(
            f"<div id={name}></div><script>var f = {content};"
            f"Plotly.newPlot('{name}', f.data, f.layout, {{responsive: true}})</script>"
        )
    path = folder / "figures.html"
    path.write_text("\n".join(parts))
    return path.as_uri()


def drawn(page: Page) -> list[str]:
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    ids: list[str] = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(e => e.id)"
    )
    return ids


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_figure_is_whole_at_every_width_and_scheme(
    open_page: OpenPage,
    digits_study: DigitsStudy,
    tmp_path: Path,
    screenshots: Path,
    width: int,
    dark: bool,
) -> None:
    figures = {name: getattr(visualization, name)(digits_study.study) for name in PLOTS}
    page = open_page(write(figures, tmp_path, dark=dark), width=width, dark=dark, offline=True)
    assert drawn(page) == PLOTS
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ends = page.evaluate(TEXT_ENDS)
    assert min(left for left, _ in ends) >= 0
    assert max(right for _, right in ends) <= width
    scheme = "dark" if dark else "light"
    page.screenshot(path=screenshots / f"figures-{scheme}-{width}.png", full_page=True)


def test_hostile_names_draw_text_and_nothing_else(
    open_page: OpenPage, tmp_path: Path, screenshots: Path
) -> None:
    studies = [
        made_up_study(40, 20, name=EVIL, block=EVIL),
        made_up_study(30, 160, name="x" * 500, block=EVIL),
        made_up_study(0, 1, name="empty"),
        made_up_study(5, 2, name="failed", only_failures=True),
    ]
    one = ("plot_layer_plan", "plot_block_importance", "plot_population", "plot_learning_curves")
    figures: dict[str, go.Figure] = {}
    for i, study in enumerate(studies):
        figures |= {f"{name}{i}": getattr(visualization, name)(study) for name in one}
    figures["best_plans"] = visualization.plot_best_plans(studies)
    figures["rates"] = visualization.plot_rate_distributions(studies)
    figures["best_so_far"] = visualization.plot_best_so_far({EVIL: studies[:2], "b": studies[2:]})
    page = open_page(write(figures, tmp_path, dark=False), offline=True)
    assert drawn(page) == list(figures)
    assert page.locator("svg a").count() == 0
    assert page.locator("img").count() == 0
    assert "<script>" in page.evaluate("document.getElementById('plot_layer_plan0').textContent")
    page.screenshot(path=screenshots / "figures-hostile.png", full_page=True)


def test_figures_show_in_optunas_manner() -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("lr/a", 0, 1), n_trials=3)
    for name in PLOTS:
        assert isinstance(getattr(visualization, name)(study), go.Figure)
