"""The command ``report``."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import optuna
import typer

from optuna_layerwise.cli.compare import find_studies
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    console,
    format_of,
    say_refused,
)
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.io.fields import assignments
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.io.texts import file_name
from optuna_layerwise.records.attributes import UnreadableAttribute

if TYPE_CHECKING:  # with scipy and plotly
    from optuna_layerwise.reporting.report import Format

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "html": (".html", ".htm"),
    "md": (".md", ".markdown", ".txt"),
}
"""Format to how its files are called."""
_STDOUT = Path("-")


def report_command(
    study: Annotated[
        list[str],
        typer.Option(
            help="Name of a study, or pattern with *; repeatable. Several studies are compared."
        ),
    ],
    storage: Storage = DEFAULT_STORAGE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write, .html or .md; - prints the report. Default: STUDY.html.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Format of the report, html or md. Default: what the file's name says."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a method and a pattern of its studies, as for `compare`; repeatable."
        ),
    ] = None,
    images: Annotated[
        bool,
        typer.Option(
            "--images/--no-images",
            help="Show small pictures of test images that were answered wrong or are disputed.",
        ),
    ] = True,
) -> None:
    """Write what a study found, how sure that is, what it cost and how to repeat it.

    One file that opens without a network. Markdown, for terminals and pull requests, has the same
    without the figures.
    """
    if output is None or output == _STDOUT:
        kind = one_of("--format", format or ("md" if output else "html"), tuple(SUFFIXES))
    else:
        kind = format_of("output", output, SUFFIXES, format)
    studies, refused = find_studies(storage, study)
    from optuna_layerwise.reporting.report import report  # with scipy and plotly

    if output is None and format == "md":
        output = _STDOUT
    if output is None:
        name = studies[0].study_name if len(studies) == 1 else "comparison"
        output = Path(f"{file_name(name)}.html")
    groups = {name: str(pattern) for name, pattern in assignments("--group", group).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be read is said in the report
        commands = {s.study_name: command for s in studies if (command := command_of(s, storage))}
        text = report(studies, format=kind, commands=commands, groups=groups, images=images)
    if output == _STDOUT:
        print(text, end="")
        say_refused(refused)
        return
    write_whole(output, text)
    console.print(f"wrote {output} ({len(text.encode()) / 1e6:.1f} MB)")
    say_refused(refused)


def command_of(study: optuna.Study, storage: str | None = None) -> str:
    """What repeats a study; nothing for one that `tune` did not make.

    Without a storage it names no folder of this machine.
    """
    from optuna_layerwise.experiments.repeating import tune_command_of
    from optuna_layerwise.reporting.shareable import shareable

    if SETTINGS_KEY not in study.user_attrs:
        return ""
    try:
        settings = Settings.from_study(study)
    except UnreadableAttribute:
        return ""
    if storage is not None:
        return tune_command_of(settings, storage, study.study_name)
    data, weights = (value and PurePath(value).name for value in (settings.data, settings.weights))
    shared = dataclasses.replace(
        settings,
        data=data or "",
        data_root=None,
        image_root=(),
        weights=weights,
        model=shareable(settings.model),
        model_args=shareable(settings.model_args),
    )
    return tune_command_of(shared, DEFAULT_STORAGE, study.study_name)
