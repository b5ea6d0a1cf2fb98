"""One file that says what studies found: HTML that needs no network, or Markdown."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jinja2
import optuna
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from optuna_layerwise.analysis.comparison import compare
from optuna_layerwise.io.packages import installed_versions
from optuna_layerwise.reporting.markdown import page_as_markdown
from optuna_layerwise.reporting.report_comparison import comparison_page
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.reporting.report_page import Page
from optuna_layerwise.reporting.report_study import study_page
from optuna_layerwise.visualization.figures import DARK, LIGHT

Format = Literal["html", "md"]
_TEMPLATES = Path(__file__).parent / "templates"
_TOP = 24
"""Pixels above the axes of a figure without its title."""
_PACKAGES = ("optuna-layerwise", "optuna", "torch", "plotly")


def report(
    studies: optuna.Study | Sequence[optuna.Study],
    *,
    format: Format = "html",
    commands: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    images: bool = True,
) -> str:
    """The report of a study; of several, their comparison.

    Args:
        studies: One or more; of several, what `compare` takes.
        format: ``html``, one file with its figures (plotly.js, 4.8 MB of it, is in the file, so
            that it opens without a network), or ``md``, Markdown without figures.
        commands: Study to the command that repeats it.
        groups: Of `compare`.
        images: Show thumbnails of test images, where a result has saved some; only in the HTML of
            a single study.

    Raises:
        ValueError: if there is no study, or they cannot be compared.

    Examples:
        >>> study = optuna.create_study(study_name="mine")
        >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        >>> report(study, format="md").splitlines()[0]
        '# Study mine'
    """
    studies = [studies] if isinstance(studies, optuna.Study) else list(studies)
    known = [facts(study) for study in studies]
    if len(studies) == 1:
        [name], [fact] = [study.study_name for study in studies], known
        command, versions = (commands or {}).get(name, ""), installed_versions(_PACKAGES)
        page = study_page(fact, command, versions, images=images)
    else:
        page = comparison_page(compare(studies, groups=groups), known, commands)
    return page_as_html(page) if format == "html" else page_as_markdown(page)


def page_as_html(page: Page) -> str:
    """A page as one HTML file; all of its text is escaped, and only its own scripts run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"json": _json, "about": _about}
    own = (_TEMPLATES / "report.js").read_text()
    drawn = any(section.figures for section in page.sections)
    scripts = [get_plotlyjs(), own] if drawn else []
    return environment.get_template("report.html.j2").render(
        page=page,
        style=Markup((_TEMPLATES / "report.css").read_text()),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        templates={"light": LIGHT.to_plotly_json(), "dark": DARK.to_plotly_json()},
    )


def _json(content: Any) -> Markup:
    """JSON inside a script element: no text in it can end the element."""
    if isinstance(content, go.Figure):
        content = json.loads(content.to_json())
        for name in ("template", "title"):  # set by the page, light or dark; above the figure
            content["layout"].pop(name, None)
        content["layout"].setdefault("margin", {})["t"] = _TOP
    text = json.dumps(content, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _about(figure: go.Figure) -> dict[str, str]:
    """The title and the notes of a figure as plain text, which the page can break into lines."""
    title = figure.layout.title
    parts = {"title": title.text or "", "note": (title.subtitle and title.subtitle.text) or ""}
    return {
        name: html.unescape(re.sub("<[^>]*>", " ", text)).strip() for name, text in parts.items()
    }


def _hash(script: str) -> str:
    """For the content security policy, so that no script but ours runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
