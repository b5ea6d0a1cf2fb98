"""Run notebooks, and keep what they show: text, and pictures in the place of plotly's figures.

    python notebooks/run.py                       # all of them
    python notebooks/run.py notebooks/quickstart.ipynb

A notebook runs in an empty folder. Interactive figures would be 5 MB each; the pictures are made
with playwright and a chromium of this machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
import plotly.io
from nbclient import NotebookClient
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PLOTLY = "application/vnd.plotly.v1+json"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook after a run from top to bottom."""
    notebook = nbformat.read(path, as_version=4)
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress"  # of tqdm, which wants ipywidgets
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=3000, resources={"metadata": {"path": folder}}).execute()
    return notebook


def picture(figure: dict[str, object], page: Page) -> str:
    """A figure as PNG, in base64."""
    page.set_content(plotly.io.to_html(figure, include_plotlyjs=True, full_html=True))
    page.wait_for_selector(".main-svg")
    return base64.b64encode(page.locator(".plotly-graph-div").screenshot()).decode()


def main() -> None:
    """Run the notebooks that are named, and write them back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("*.ipynb")))
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 900, "height": 700})
        for path in parser.parse_args().notebooks:
            notebook = executed(path)
            for cell in notebook.cells:
                cell.metadata.pop("execution", None)
                for output in cell.get("outputs", ()):
                    if figure := output.get("data", {}).get(PLOTLY):
                        output.data = {"image/png": picture(json.loads(json.dumps(figure)), page)}
            notebook.metadata.pop("widgets", None)
            nbformat.write(notebook, path)
            print(path.name, f"{path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
