"""Builds the documentation site: `python docs/site.py`; see `make docs`.

The pages are README.md and whatever Markdown its links lead to, directly or by way of other
pages. They keep their places, so that a link means the same here and on a forge. The reference of
the API and of the commands is generated from the code.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import typer.main

from optuna_layerwise.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
SHIM = "offline_worker.js"
"""Stands for a script that the theme would load from elsewhere, in pages opened as files."""
THEIRS = "https://unpkg.com/iframe-worker/shim"
PACKAGES = (
    "optuna_layerwise",
    "optuna_layerwise.samplers",
    "optuna_layerwise.encodings",
    "optuna_layerwise.models",
    "optuna_layerwise.data",
    "optuna_layerwise.training",
    "optuna_layerwise.prediction",
    "optuna_layerwise.integrations",
    "optuna_layerwise.studies",
    "optuna_layerwise.storage",
    "optuna_layerwise.launch",
    "optuna_layerwise.layerbench",
    "optuna_layerwise.visualization",
)
"""The packages whose ``__all__`` is documented, each on a page."""


def main() -> None:
    """Collect the pages, and build the site strictly: a warning is an error."""
    shutil.rmtree(PAGES, ignore_errors=True)
    collect(ROOT / "README.md")
    reference = PAGES / "reference"
    reference.mkdir()
    for package in PACKAGES:
        (reference / f"{package}.md").write_text(api_page(package), encoding="utf-8")
    (reference / "commands.md").write_text(commands_page(), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], cwd=ROOT, check=True
    )
    shutil.copy(ROOT / "docs" / SHIM, SITE)
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        own = "../" * len(page.parent.relative_to(SITE).parts) + SHIM
        page.write_text(text.replace(THEIRS, own), encoding="utf-8")


def collect(first: Path) -> None:
    """Copy a page and all files of the repository that its links lead to, and theirs."""
    waiting, known = [first], {first}
    while waiting:
        path = waiting.pop()
        target = PAGES / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        if path.suffix == ".md":
            links = re.findall(r"\]\(([^)#\s:]+)", path.read_text(encoding="utf-8"))
            found = {(path.parent / link).resolve() for link in links}
            new = {each for each in found if each.is_file()} - known
            waiting += sorted(new)
            known |= new


def api_page(package: str) -> str:
    """The public names of a package, for mkdocstrings to fill in."""
    module = importlib.import_module(package)
    about = (module.__doc__ or "").strip().partition("\n")[0]
    names = [f"::: {package}.{name}" for name in module.__all__]
    return "\n\n".join([f"# {package}", about, *names]) + "\n"


def commands_page() -> str:
    """Every command with its options, as ``--help`` shows them."""
    group = typer.main.get_command(app)
    context = click.Context(group, info_name="optuna-layerwise")
    parts = ["# Commands", (group.help or "").strip()]
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        its = click.Context(command, info_name=name, parent=context)
        rows = ["| option | what it sets |", "|---|---|"]
        for parameter in command.params:
            typed, said = parameter.get_help_record(its) or (parameter.human_readable_name, "")
            cells = (re.sub(r"\s+", " ", text).replace("|", "\\|") for text in (typed, said))
            rows.append("| `{}` | {} |".format(*cells))
        usage = command.get_usage(its).removeprefix("Usage: ")
        parts += [f"## {name}", (command.help or "").strip(), f"```text\n{usage}\n```"]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
