"""The command ``init``: a file with all settings of ``tune``, to edit and keep."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from optuna_layerwise.cli.options import console, group
from optuna_layerwise.cli.tune import tune_command
from optuna_layerwise.data.folder import split_named
from optuna_layerwise.data.formats import has_image_suffix
from optuna_layerwise.data.present import ARCHIVES, TABLES
from optuna_layerwise.experiments.settings import SETTINGS
from optuna_layerwise.experiments.settings_file import BESIDE, shown_defaults
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.texts import quoted

NAME = "tune.yaml"
_WIDTH = 96
_HEAD = f"""\
# Settings of `optuna-layerwise tune --config {NAME}`; keep this file beside your code.
#
# A key is an option of `tune` without its dashes. To set one, remove the # in front of it; the
# lines that are commented out say the defaults. An option that is repeatable takes a list, as in
# [lr, bn], and one with name=value takes {{name: value}}. Options that are typed win over this
# file. Paths are relative to its folder.
"""


def init_command(
    folder: Annotated[Path, typer.Argument(help="Folder that the file is written to.")],
) -> None:
    """Write tune.yaml, a file with all settings of `tune` and what they mean.

    Where the folder holds images in class folders, or a table of images, the file names them.
    `tune --config` reads it.
    """
    path = folder / NAME
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"FOLDER must be a folder for {NAME}, got the file {str(folder)!r}")
    if path.exists():
        raise ValueError(f"{path} is there already; move it away, or name another folder")
    data = data_in(folder) if folder.is_dir() else None
    write_whole(path, template(data))
    console.print(f"{quoted(str(path))} has all settings of tune; run it with", soft_wrap=True)
    model = "" if data is None else " --model resnet18"
    console.print(f"  optuna-layerwise tune --config {quoted(str(path))}{model}", soft_wrap=True)


def template(data: str | None = None) -> str:
    """The text of a file in which all settings that have a default are commented out.

    Args:
        data: Where the images are, from the folder of the file, if that is known.
    """
    defaults = shown_defaults(data)
    lines = [_HEAD]
    panel = None
    for parameter in _parameters():
        if parameter.rich_help_panel != panel:
            panel = parameter.rich_help_panel
            lines.append(f"\n# ---- {panel} ----\n")
        lines += textwrap.wrap(parameter.help, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        name, key = parameter.name, max(parameter.opts, key=len)[2:]
        value = defaults.get(name, "") if name in SETTINGS else parameter.default or ""
        if name == "data" and data is not None:
            lines.append(f"{key}: {_scalar(data)}\n")
        else:
            lines.append(f"#{key}: {_scalar(value)}".rstrip() + "\n")
    return "\n".join(lines)


def _parameters() -> Iterator[Any]:
    """The options of ``tune`` that a file may set, by panel."""
    app = typer.Typer(add_completion=False)
    app.command("tune")(tune_command)
    command = typer.main.get_command(app)
    group(command)
    yield from (each for each in command.params if each.name in {*SETTINGS, *BESIDE})


def data_in(folder: Path) -> str | None:
    """The name of the data in a folder, relative to it; ``None`` if there are none or several."""
    found = [
        path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLES + ARCHIVES
    ]
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    train = [path for path in inner if split_named(path.name) == "train"]
    if _class_folders(inner) > 1 or any(_class_folders(path.iterdir()) > 1 for path in train):
        found.append(".")
    return found[0] if len(found) == 1 else None


def _class_folders(paths: Any) -> int:
    """How many of these are folders with an image in them."""
    return sum(
        path.is_dir() and any(has_image_suffix(inside) for inside in path.iterdir())
        for path in paths
        if not path.name.startswith(".")
    )


def _scalar(text: str) -> str:
    """A text as YAML has it."""
    return text if re.fullmatch(r"[\w./-][\w./:-]*|", text) else json.dumps(text)
