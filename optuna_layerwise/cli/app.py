"""The command line: parses, calls, prints."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from optuna_layerwise.cli.terminal import safe_errors
from optuna_layerwise.launch.exits import WRONG
from optuna_layerwise.texts import visible

COMMANDS = {
    # name: function in the module of this folder, and the first sentence of its help
    "tune": ("tune.tune_command", "Search which blocks to train, and how fast."),
    "resume": ("resume.resume_command", "Continue a study with its stored settings."),
    "finalize": ("finalize.finalize_command", "Retrain the best trials, and test one of them."),
    "worker": ("worker.worker_command", "Work on a study that `tune` created, beside others."),
    "launch": ("launch.launch_command", "Work on a study with many workers."),
    "status": ("status.status_command", "How far the studies of a database are."),
    "pause": ("control.pause_command", "Ask all workers to stop after their running trials."),
    "compare": ("compare.compare_command", "Compare methods over seeds and data sets."),
    "report": ("report.report_command", "Write what a study found, and how sure that is."),
    "export": ("export.export_command", "Write the chosen policy, its weights and a model card."),
    "stop": ("control.stop_command", "End a study's workers after their running trials."),
    "dashboard": ("dashboard.dashboard_command", "Browse the studies in optuna-dashboard."),
    "doctor": ("doctor.doctor_command", "Say what is wrong with studies, and repair it."),
    "replay": ("replay.replay_command", "Draw every suggestion of a study again."),
    "bench": ("bench.app", "Benchmarks: samplers, encodings and published methods."),
}


class Commands(TyperGroup):
    """The commands; each is imported when it is asked for, so that the others are quick."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(".")
        made = getattr(import_module(f"optuna_layerwise.cli.{module}"), name)
        if not isinstance(made, typer.Typer):
            function, made = made, typer.Typer(add_completion=False)
            made.command(cmd_name)(function)
        command = typer.main.get_command(made)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, which names the commands and imports none."""
        listed: dict[str, Any] = {
            name: TyperCommand(name, help=says) for name, (_, says) in COMMANDS.items()
        }
        TyperGroup(
            name=self.name, commands=listed, help=self.help, params=self.params
        ).format_help(ctx, formatter)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("optuna-layerwise"))
        except PackageNotFoundError:  # run from a source tree
            print("unknown")
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
) -> None:
    """Which layers of a pretrained network to fine-tune, and how fast."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def main() -> None:
    """Run a command; a mistake of the user's, and a warning, is one line.

    The environment variable ``OPTUNA_LAYERWISE_TRACEBACK`` shows where it was noticed.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {_one_line(message)}\n"
    with safe_errors():
        try:
            app()
        except Exception as error:
            if os.environ.get("OPTUNA_LAYERWISE_TRACEBACK"):
                raise
            if not _is_mistake(error):
                traceback.print_exc()
                sys.exit(1)
            print(f"error: {_one_line(error)}", file=sys.stderr)
            sys.exit(WRONG)


def _is_mistake(error: Exception) -> bool:
    """Whether the message is all that the user needs."""
    if isinstance(error, ValueError | OSError | RecursionError) or _is_of_database(error):
        return True
    from optuna_layerwise.studies import StudyDeletedError

    return isinstance(error, StudyDeletedError)


def _is_of_database(error: Exception | str) -> bool:
    from optuna.exceptions import StorageInternalError

    if isinstance(error, StorageInternalError):
        return True
    known = sys.modules.get("sqlalchemy.exc")  # what was never imported has raised nothing
    return known is not None and isinstance(error, known.SQLAlchemyError)


def _one_line(said: Exception | str) -> str:
    if isinstance(said, RecursionError):  # JSON of the database, in code that is not ours
        said = (
            "the database has something that is nested too deeply; "
            "`optuna-layerwise doctor` says where"
        )
    elif isinstance(said, json.JSONDecodeError):
        said = (
            f"the database has something that is no JSON ({said.doc[:40]!r}); "
            "`optuna-layerwise doctor` says where, and --repair removes it"
        )
    elif isinstance(said, Exception) and _is_of_database(said):
        said = f"the database does not do what was asked: {said.__cause__ or said}"
        said = said.strip().splitlines()[0]
    return " ".join(visible(said, lines=True).split())
