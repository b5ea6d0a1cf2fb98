"""The command line: parses, calls, prints."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from optuna_layerwise.cli.mistakes import as_typed, is_mistake, one_line, usage
from optuna_layerwise.cli.options import group
from optuna_layerwise.cli.terminal import safe_errors
from optuna_layerwise.io.packages import version_of
from optuna_layerwise.io.texts import command
from optuna_layerwise.launch.exits import WRONG

COMMANDS = {
    # name: function in the module of this folder, and the first sentence of its help
    "init": ("init.init_command", "Write a file with all settings of `tune`, to edit and keep."),
    "blocks": ("blocks.blocks_command", "Say into which blocks a network is cut."),
    "tune": ("tune.tune_command", "Search which blocks to train, and how fast."),
    "resume": ("resume.resume_command", "Continue a study with its stored settings."),
    "finalize": ("finalize.finalize_command", "End a search: choose its result, and test it."),
    "worker": ("worker.worker_command", "Work on a study that `tune` created, beside others."),
    "launch": ("launch.launch_command", "Work on a study with many workers."),
    "status": ("status.status_command", "How far the studies of a database are."),
    "pause": ("control.pause_command", "Ask all workers to stop after their running trials."),
    "compare": ("compare.compare_command", "Compare methods over seeds and data sets."),
    "report": ("report.report_command", "Write what a study found, and how sure that is."),
    "export": ("export.export_command", "Write what was found: policy, network, model card."),
    "predict": ("predict.predict_command", "Say the class of new images."),
    "stop": ("control.stop_command", "End a study's workers after their running trials."),
    "dashboard": ("dashboard.dashboard_command", "Browse the studies in optuna-dashboard."),
    "doctor": ("doctor.doctor_command", "Say what is wrong with studies, and repair it."),
    "replay": ("replay.replay_command", "Check that the same seed proposes the same trials."),
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
        group(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names.

        Raises:
            ValueError: for ``bench``, which has left the command line.
        """
        if args[:1] == ["bench"]:
            words = command(["python", "-m", "benchmarks.protocols", *args[1:]])
            raise ValueError(
                "the benchmarks are no longer part of the package; in a copy of the repository, "
                f"`{words}` runs them"
            )
        return super().resolve_command(ctx, args)

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
        print(version_of("optuna-layerwise"))
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
) -> None:
    """Which layers of a pretrained network to fine-tune, and how fast."""
    be_quiet()


def be_quiet() -> None:
    """Let Optuna say what is wrong, and nothing else."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def main() -> None:
    """Run the command ``optuna-layerwise``; see `run`."""
    run(app)


def run(app: typer.Typer) -> None:
    """Run a command line; a mistake of the user's, and a warning, is one line.

    The environment variable ``OPTUNA_LAYERWISE_TRACEBACK`` shows where it was noticed.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {one_line(message)}\n"
    with safe_errors():
        try:
            code = app(standalone_mode=False)
        except Exception as error:
            if hasattr(error, "format_message"):  # Typer's; of a group alone it is the help
                said = usage(error)
            elif os.environ.get("OPTUNA_LAYERWISE_TRACEBACK"):
                raise
            elif is_mistake(error):
                said = as_typed(one_line(error), *_typed(app, sys.argv[1:]))
            else:
                traceback.print_exc()
                sys.exit(1)
            if said:
                print(f"error: {said}", file=sys.stderr)
            sys.exit(WRONG)
        sys.exit(code or 0)


def _typed(app: typer.Typer, words: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """The command that was typed, and the words after it."""
    command = typer.main.get_command(app)
    for index, word in enumerate(words):
        if not isinstance(command, TyperGroup):
            return command, words[index:]
        command = command.get_command(None, word) or command  # type: ignore[arg-type]
    return command, ()
