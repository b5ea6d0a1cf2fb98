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
from rich.console import Console

from optuna_layerwise import digits
from optuna_layerwise.cli import show
from optuna_layerwise.cli.parsing import channels, one_of, parse_assignment
from optuna_layerwise.cli.presets import PRESETS, preset_named
from optuna_layerwise.cli.replaying import replay, stored_sampler
from optuna_layerwise.cli.running import run
from optuna_layerwise.cli.settings import SAMPLER_NAMES, SETTINGS_KEY, Settings
from optuna_layerwise.data import DATA_NAMES
from optuna_layerwise.encodings import ENCODINGS, Encoding, Head
from optuna_layerwise.finalists import FinalizedElsewhere, stored_final
from optuna_layerwise.models import Granularity, ModelSpec
from optuna_layerwise.samplers import SAMPLERS
from optuna_layerwise.storage import open_storage, without_secrets
from optuna_layerwise.studies import pause

app = typer.Typer(
    help="Which layers of a pretrained network to fine-tune, and how fast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

Storage = Annotated[str, typer.Option(help="SQLAlchemy URL of the study's database.")]
StudyName = Annotated[str, typer.Option(help="Name of the study.")]
DEFAULT_STORAGE = "sqlite:///optuna-layerwise.db"


@app.command("tune")
def tune_command(
    data: Annotated[
        str, typer.Option(help=f"Folder, .csv, .npz, or one of {', '.join(DATA_NAMES)}.")
    ] = "digits",
    data_root: Annotated[
        str | None, typer.Option(help="Folder that holds the data sets that go by name.")
    ] = None,
    download: Annotated[bool, typer.Option(help="Download the data if they are missing.")] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a .csv calls image, label or split: label=dx; repeatable."),
    ] = None,
    group_by: Annotated[
        str, typer.Option(help="Column whose groups stay in one split; auto or none.")
    ] = "auto",
    model: Annotated[
        str | None, typer.Option(help="Torchvision's name of the network, or `digits_cnn`.")
    ] = None,
    model_arg: Annotated[
        list[str] | None, typer.Option(help="Argument of the network, as name=value; repeatable.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="File of pretrained weights, or torchvision's name of them.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Of pixels in [0, 1]: one or three.")] = None,
    std: Annotated[str | None, typer.Option(help="Of pixels in [0, 1]: one or three.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    granularity: Annotated[
        str | None, typer.Option(help="Blocks: stage (default), block or layer.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(ENCODINGS)}; default one that suits the sampler."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="always (trained) or search (may be frozen).")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(SAMPLER_NAMES)}; default biotune.")
    ] = None,
    sampler_option: Annotated[
        list[str] | None,
        typer.Option(help="Of the sampler, such as reproduction=batched; repeatable."),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(help=f"{', '.join(PRESETS)}, or paper: as published, for the sampler."),
    ] = "default",
    trials: Annotated[
        int | None,
        typer.Option(help="Target of finished trials; default 100, of biotune 140."),
    ] = None,
    seed_recipes: Annotated[
        bool | None,
        typer.Option(help="Begin with known recipes, such as full fine-tuning; catcmawm does."),
    ] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement; 0 never stops early.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or sgd.")] = None,
    lr: Annotated[float | None, typer.Option(help="Rate of a block with multiplier 1.")] = None,
    weight_decay: Annotated[float | None, typer.Option()] = None,
    schedule: Annotated[str | None, typer.Option(help="constant or cosine.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, balanced_accuracy, auc or loss.")
    ] = None,
    bn: Annotated[
        str | None, typer.Option(help="BatchNorm: eval_frozen, train or eval_all.")
    ] = None,
    seeds_per_trial: Annotated[int | None, typer.Option(help="Trainings a trial.")] = None,
    folds: Annotated[int | None, typer.Option(help="Rotating folds; 1 is all data.")] = None,
    prune: Annotated[bool, typer.Option(help="Stop trials below the median early.")] = False,
    val: Annotated[float, typer.Option(help="Share of the validation split.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share of the test split.")] = 0.2,
    split_seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    train_fraction: Annotated[
        float | None, typer.Option(help="Share of the training split; default 1, of revo 0.6.")
    ] = None,
    paper_split: Annotated[
        bool | None,
        typer.Option(help="REVO-Tune's: floor(train-fraction n), floor(val n), the rest."),
    ] = None,
    resize: Annotated[
        int | None, typer.Option(help="Short side before cropping; default 232/224 image-size.")
    ] = None,
    skip_bad_images: Annotated[bool, typer.Option(help="Leave out unreadable images.")] = False,
    finalists: Annotated[
        int | None, typer.Option(help="Policies to retrain; default 5, of revo 1.")
    ] = None,
    final_seeds: Annotated[
        int | None, typer.Option(help="Trainings of each of them; default 3, of revo 1.")
    ] = None,
    retrain: Annotated[
        bool | None,
        typer.Option(
            help="Retrain with new seeds, or take the search's own training to the test."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[
        str | None, typer.Option(help="Name of the study; default that of the data.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder for the best weights.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Of torch; default its own.")] = None,
) -> None:
    """Search which blocks to train, and how fast; then test the best policy once.

    Continues a study of the same name and settings. Without arguments it runs on scikit-learn's
    digits, with a small network that was pretrained on the digits 0 to 4.
    """
    preset, sampler = preset_named(preset, sampler)
    chosen = PRESETS[preset](sampler, encoding, data, seed)
    on_digits = model in (None, digits.SPEC.name)
    if on_digits and data != "digits" and model is None:
        raise ValueError("--model is missing: name the pretrained network, such as resnet18")
    changes: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "lr": lr,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "metric": metric,
        "bn": bn,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if patience is not None:
        changes["patience"] = patience or None
    n_seeds = chosen.n_seeds if seeds_per_trial is None else seeds_per_trial
    if not 1 <= n_seeds <= len(chosen.seeds):
        raise ValueError(
            f"--seeds-per-trial must be from 1 to {len(chosen.seeds)} with --preset {preset}, "
            f"got {n_seeds}"
        )
    given: dict[str, Any] = {
        "train_fraction": train_fraction,
        "paper_split": paper_split,
        "granularity": granularity and one_of("granularity", granularity, get_args(Granularity)),
        "head": head and one_of("head", head, get_args(Head)),
        "n_folds": folds,
        "seed_recipes": seed_recipes,
        "trials": trials,
        "finalists": finalists,
        "final_seeds": final_seeds,
        "retrain": retrain,
    }
    name = study or Path(data).stem or "study"
    arguments = dict(map(parse_assignment, model_arg or ()))
    network = ModelSpec(
        name=model or digits.SPEC.name,
        args=arguments,
        weights=None if weights == "none" else weights,
    )
    settings = Settings(
        data=_absolute(data) or data,
        data_root=None if data_root is None else os.path.abspath(os.path.expanduser(data_root)),
        columns={name: str(value) for name, value in map(parse_assignment, column or ())},
        group_by=None if group_by == "none" else group_by,
        val=val,
        test=test,
        split_seed=split_seed,
        resize=resize,
        skip_bad_images=skip_bad_images,
        model=model or digits.SPEC.name,
        model_args=arguments,
        weights=_absolute(weights),
        mean=channels("mean", mean, network.mean),
        std=channels("std", std, network.std),
        image_size=network.image_size if image_size is None else image_size,
        encoding=chosen.encoding,
        sampler=sampler,
        sampler_options={
            **chosen.sampler_options,
            **dict(map(parse_assignment, sampler_option or ())),
        },
        seed=seed,
        recipe=dataclasses.replace(chosen.recipe, **changes),
        seeds=tuple(chosen.seeds[:n_seeds]),
        tie_break=chosen.tie_break,
        prune=prune,
        **{k: getattr(chosen, k) if value is None else value for k, value in given.items()},
        output=os.path.abspath(output or os.path.join("optuna-layerwise-runs", name)),
        device=device,
        threads=threads,
    )
    stored = None
    if name in optuna.get_all_study_names(open_storage(storage)):
        existing = _load(storage, name)
        if SETTINGS_KEY in existing.user_attrs or existing.get_trials(deepcopy=False):
            stored = Settings.from_study(existing)
    run(console, settings, stored, storage, name, download=download)


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
    stored = Settings.from_study(_load(storage, study))
    changed: dict[str, Any] = {
        "device": device,
        "threads": threads,
        "trials": trials,
        "data": _absolute(data),
        "data_root": data_root and os.path.abspath(os.path.expanduser(data_root)),
        "weights": _absolute(weights),
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
    console.print(show.status([_load(storage, name) for name in names]))


@app.command("pause")
def pause_command(study: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Ask all workers of a study to stop after their running trials."""
    pause(_load(storage, study))
    console.print(f"study {study!r} pauses; go on with `optuna-layerwise resume`")


@app.command("compare")
def compare_command(studies: list[str], storage: Storage = DEFAULT_STORAGE) -> None:
    """A table of several studies."""
    console.print(show.comparison([_load(storage, name) for name in studies]))


@app.command("export")
def export_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    to: Annotated[Path, typer.Option(help="Folder for policy.json and the weights.")] = Path(
        "exported"
    ),
) -> None:
    """Write the chosen policy (JSON) and its fine-tuned weights (safetensors)."""
    opened = _load(storage, study)
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
    opened = _load(storage, study)
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


def _load(storage: str, name: str) -> optuna.Study:
    opened = open_storage(storage, create=False)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        shown = without_secrets(storage)
        raise ValueError(f"no study {name!r} in {shown}; there are {names or 'none'}")
    return optuna.load_study(study_name=name, storage=opened)


def _absolute(place: str | None) -> str | None:
    """An absolute path, if it is one that exists or looks like one; names stay."""
    if place is None or place in DATA_NAMES:
        return place
    path = Path(place)
    return str(path.absolute()) if path.exists() or path.suffix or os.sep in place else place


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
