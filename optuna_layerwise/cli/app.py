"""The command line: parses, calls, prints."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Annotated, Any, get_args

import optuna
import typer
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError
from typer.core import TyperGroup

from optuna_layerwise.cli.compare import compare_command
from optuna_layerwise.cli.control import pause_command, stop_command
from optuna_layerwise.cli.dashboard import dashboard_command
from optuna_layerwise.cli.doctor import doctor_command
from optuna_layerwise.cli.export import export_command
from optuna_layerwise.cli.launch import launch_command
from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, StudyName, console, load_study
from optuna_layerwise.cli.parsing import one_of, parse_assignment
from optuna_layerwise.cli.replaying import replay, stored_sampler
from optuna_layerwise.cli.report import report_command
from optuna_layerwise.cli.resume import resume_command
from optuna_layerwise.cli.settings import Settings
from optuna_layerwise.cli.status import status_command
from optuna_layerwise.cli.worker import worker_command
from optuna_layerwise.encodings import ENCODINGS, Encoding, Head
from optuna_layerwise.launch.exits import WRONG
from optuna_layerwise.results import FinalizedElsewhere
from optuna_layerwise.samplers import SAMPLERS
from optuna_layerwise.studies import StudyDeletedError

_MISTAKES = (ValueError, OSError, StorageInternalError, SQLAlchemyError, StudyDeletedError)


class Commands(TyperGroup):
    """The commands; two are imported when they are asked for, so that the others are quick.

    The options of ``tune`` need torch, and ``bench`` needs much of scipy.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help."""
        return ["tune", *super().list_commands(ctx), "bench"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name."""
        if cmd_name == "bench":
            from optuna_layerwise.cli.bench import app as bench

            return typer.main.get_command(bench)
        if cmd_name != "tune":
            return super().get_command(ctx, cmd_name)
        from optuna_layerwise.cli.tune import tune_command

        alone = typer.Typer(add_completion=False)
        alone.command("tune")(tune_command)
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    help="Which layers of a pretrained network to fine-tune, and how fast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("resume")(resume_command)
app.command("worker")(worker_command)
app.command("launch")(launch_command)
app.command("status")(status_command)
app.command("pause")(pause_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("export")(export_command)
app.command("stop")(stop_command)
app.command("dashboard")(dashboard_command)
app.command("doctor")(doctor_command)


@app.command("replay")
def replay_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    sampler: Annotated[
        str | None, typer.Option(help=f"Of a study of your own: {', '.join(SAMPLERS)}.")
    ] = None,
    sampler_option: Annotated[
        list[str] | None, typer.Option(help="That it was made with, name=value; repeatable.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help=f"That it was given: {', '.join(ENCODINGS)}.")
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="Of the encoding, with commas: stem,layer1,...,head.")
    ] = None,
    head: Annotated[str, typer.Option(help="Of the encoding: always or search.")] = "always",
    lr: Annotated[float, typer.Option(help="Of the encoding.")] = 1e-3,
) -> None:
    """Draw every suggestion of a study again, and say where one differs (exit code 1)."""
    opened = load_study(storage, study, read_only=True)
    if sampler is None:
        made = stored_sampler(opened)
    else:
        if (encoding is None) != (blocks is None):
            raise ValueError("--encoding and --blocks are given together, or neither")
        settings = Settings(
            sampler=one_of("sampler", sampler, tuple(SAMPLERS)),
            sampler_options=dict(map(parse_assignment, sampler_option or ())),
        )
        made = settings.make_sampler(
            Encoding.preset(
                encoding, blocks.split(","), head=one_of("head", head, get_args(Head)), lr=lr
            )
            if encoding and blocks
            else None,
            joins=False,
        )
    if not replay(console, opened, made):
        raise typer.Exit(1)


def main() -> None:
    """Run a command; a mistake of the user's, and a warning, is one line.

    The environment variable ``OPTUNA_LAYERWISE_TRACEBACK`` shows where it was noticed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {_one_line(message)}\n"
    try:
        app()
    except (*_MISTAKES, FinalizedElsewhere) as error:
        if os.environ.get("OPTUNA_LAYERWISE_TRACEBACK"):
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(WRONG)


def _one_line(said: Exception | str) -> str:
    if isinstance(said, json.JSONDecodeError):
        said = (
            f"the database has something that is no JSON ({said.doc[:40]!r}); "
            "`optuna-layerwise doctor` says where, and --repair removes it"
        )
    elif isinstance(said, StorageInternalError | SQLAlchemyError):
        said = f"the database does not do what was asked: {said.__cause__ or said}"
        return said.strip().splitlines()[0]
    return " ".join(str(said).split())
