"""The command ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    console,
    load_study,
)
from optuna_layerwise.cli.report import command_of
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.io.texts import quoted

if TYPE_CHECKING:
    from optuna_layerwise.reporting.export import PlanFormat

_FORMATS: tuple[PlanFormat, ...] = ("json", "yaml")
_FILES = {
    *(".json", ".yaml", ".yml", ".md", ".txt", ".html", ".pdf", ".csv", ".safetensors", ".pt"),
    *(".pth", ".onnx", ".zip", ".tar", ".gz", ".tgz"),
}


def export_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    to: Annotated[
        Path, typer.Option(help="Folder for the plan, the card and the weights.")
    ] = Path("exported"),
    format: Annotated[str, typer.Option(help="Format of the plan: json or yaml.")] = "json",
    trial: Annotated[
        int | None,
        typer.Option(
            help="Number of a trial, of which the plan alone is written; it need not be tested."
        ),
    ] = None,
    result: Annotated[
        int | None,
        typer.Option(help="Number of the result, if there are several. Default: the latest."),
    ] = None,
) -> None:
    """Write the chosen policy, its fine-tuned weights (safetensors) and a model card."""
    kind = one_of("--format", format, _FORMATS)
    if to.suffix.lower() in _FILES and not to.is_dir():
        raise ValueError(f"--to must be a folder, got a name that is a file's: {str(to)!r}")
    opened = load_study(storage, study, read_only=True)
    from optuna_layerwise.reporting.export import export  # with yaml and jinja

    command = command_of(opened)
    try:
        export(opened, to, trial=trial, result=result, format=kind, command=command)
    finally:
        for name in (f"policy.{kind}", "README.md", "weights.safetensors"):
            if (to / name).is_file():
                console.print(quoted(str(to / name)), soft_wrap=True)
