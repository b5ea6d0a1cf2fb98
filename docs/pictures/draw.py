"""The picture of the README: the plans of a search whose trials are committed.

python docs/pictures/draw.py

The search is one of benchmarks/training/curves.py: 60 trials of BioTune on citrus leaves, which
fine-tune MobileNetV2 0.35 for 6 epochs at 64 px. Needs playwright and a chromium.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import plotly.io
from playwright.sync_api import sync_playwright

from optuna_layerwise import Encoding, visualization

HERE = Path(__file__).parent
CURVES = HERE.parents[1] / "benchmarks" / "results" / "curves.jsonl"
BLOCKS = ("stem", "stage1", "stage2", "stage3", "stage4", "last_conv", "head")
DATA, SPLIT = "citrus", 0


def search() -> dict[str, Any]:
    """The line of the search."""
    lines = map(json.loads, CURVES.read_text().splitlines())
    return next(line for line in lines if (line["data"], line["split"]) == (DATA, SPLIT))


def study_of(line: dict[str, Any]) -> optuna.Study:
    """Its trials as a study that searched learning rates."""
    lr = json.loads(line["recipe"])["lr"]
    encoding = Encoding.preset("hybrid", BLOCKS, lr=lr)
    study = optuna.create_study(study_name=DATA, direction="maximize")
    for trial in line["trials"]:
        policy = dict(zip(BLOCKS, trial["policy"], strict=True))
        study.add_trial(
            optuna.trial.create_trial(
                params=encoding.encode(policy),
                distributions=encoding.search_space,
                value=max(trial["curve"]),
            )
        )
    return study


def main() -> None:
    """Draw it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    figure = visualization.plot_layer_plan(study_of(search()))
    figure.update_layout(width=960, height=440)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1000, "height": 500})
        page.set_content(plotly.io.to_html(figure, include_plotlyjs=True))
        page.wait_for_selector(".main-svg")
        page.locator(".plotly-graph-div").screenshot(path=HERE / "layer_plan.png")


if __name__ == "__main__":
    main()
