"""The command line: parses, calls, prints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, get_args

import optuna
import typer
from typer.core import TyperGroup

from optuna_layerwise.cli import show
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    absolute,
    console,
    load_study,
)
from optuna_layerwise.cli.parsing import one_of, parse_assignment
from optuna_layerwise.cli.replaying import replay, stored_sampler
from optuna_layerwise.cli.settings import Settings
from optuna_layerwise.encodings import ENCODINGS, Encoding, Head
from optuna_layerwise.results import FinalizedElsewhere, stored_final
from optuna_layerwise.samplers import SAMPLERS
from optuna_layerwise.storage import open_storage
from optuna_layerwise.studies import pause


class Commands(TyperGroup):
    """The commands; ``tune``, whose options need torch, is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help."""
        return ["tune", *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name."""
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


@app.command("resume")
def resume_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    trials: Annotated[int | None, typer.Option(help="New target of finished trials.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the same data lies now.")] = None,
    data_root: Annotated[
        str | None, typer.Option(help="Where the data sets that go by name lie now.")
    ] = None,
    download: Annotated[bool, typer.Option(help="Download the data if they are missing.")] = False,
    weights: Annotated[str | None, typer.Option(help="Where the same weights lie now.")] = None,
    device: Annotated[str | None, typer.Option(help="Default as before.")] = None,
    threads: Annotated[int | None, typer.Option(help="Default as before.")] = None,
) -> None:
    """Continue a study with its stored settings; the data and weights must be the same."""
    from optuna_layerwise.cli.running import run  # with torch

    stored = Settings.from_study(load_study(storage, study))
    changed: dict[str, Any] = {
        "device": device,
        "threads": threads,
        "trials": trials,
        "data": absolute(data),
        "data_root": data_root and os.path.abspath(os.path.expanduser(data_root)),
        "weights": absolute(weights),
    }
    given = {field: value for field, value in changed.items() if value is not None}
    settings = dataclasses.replace(stored, **given)
    run(console, settings, stored, storage, study, unpause=True, download=download)


@app.command("status")
def status_command(
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[str | None, typer.Option(help="One study; default all.")] = None,
) -> None:
    """How far the studies of a database are."""
    opened = open_storage(storage, create=False)
    names = [study] if study else optuna.get_all_study_names(opened)
    console.print(show.status([load_study(storage, name) for name in names]))


@app.command("pause")
def pause_command(study: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Ask all workers of a study to stop after their running trials."""
    pause(load_study(storage, study))
    console.print(f"study {study!r} pauses; go on with `optuna-layerwise resume`")


@app.command("compare")
def compare_command(studies: list[str], storage: Storage = DEFAULT_STORAGE) -> None:
    """A table of several studies."""
    console.print(show.comparison([load_study(storage, name) for name in studies]))


@app.command("export")
def export_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    to: Annotated[Path, typer.Option(help="Folder for policy.json and the weights.")] = Path(
        "exported"
    ),
) -> None:
    """Write the chosen policy (JSON) and its fine-tuned weights (safetensors)."""
    opened = load_study(storage, study)
    final, settings = stored_final(opened), Settings.from_study(opened)
    if final is None:
        raise ValueError(
            f"study {study!r} has no result yet; finish it with `optuna-layerwise resume`"
        )
    to.mkdir(parents=True, exist_ok=True)
    policy = {
        "policy": final.chosen.policy,
        "chosen": dataclasses.asdict(final.chosen),
        "settings": json.loads(settings.to_json()),
    }
    (to / "policy.json").write_text(json.dumps(policy, indent=2) + "\n")
    console.print(f"wrote {to / 'policy.json'}")
    saved = final.weights or {"path": "", "sha256": ""}
    weights = Path(saved["path"])
    content = weights.read_bytes() if weights.is_file() else b""
    if hashlib.sha256(content).hexdigest() != saved["sha256"]:
        raise FileNotFoundError(
            f"the weights of study {study!r} are no longer in {weights}; policy.json is written"
        )
    (to / "weights.safetensors").write_bytes(content)
    console.print(f"wrote {to / 'weights.safetensors'}")


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
    opened = load_study(storage, study)
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


@app.command("dashboard")
def dashboard_command(
    storage: Storage = DEFAULT_STORAGE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8080,
) -> None:
    """Browse the studies in optuna-dashboard."""
    from optuna_dashboard import run_server

    if host not in ("127.0.0.1", "localhost", "::1"):
        console.print(
            f"[bold red]warning:[/bold red] optuna-dashboard has no passwords: whoever reaches "
            f"{host}:{port} can change and delete studies"
        )
    opened = open_storage(storage, create=False)
    console.print(f"http://{host}:{port}/ (Ctrl-C ends it)")
    run_server(opened, host=host, port=port)


def main() -> None:
    """Run a command; a mistake of the user's is one line.

    The environment variable ``OPTUNA_LAYERWISE_TRACEBACK`` shows where it was noticed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    try:
        app()
    except (ValueError, OSError, FinalizedElsewhere) as error:
        if os.environ.get("OPTUNA_LAYERWISE_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
