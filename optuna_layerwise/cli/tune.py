"""The command ``tune``: options to the settings of a study, which is then run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from optuna_layerwise.baselines import BASELINES, baseline_named
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    absolute,
    absolute_folder,
    assignments,
    channels,
    console,
    default_output,
    load_study,
    one_of,
)
from optuna_layerwise.cli.resume import AllowDifferent
from optuna_layerwise.data.names import DATA_NAMES, GROUP_RULE
from optuna_layerwise.data.present import check_present
from optuna_layerwise.encodings import ENCODINGS, Head
from optuna_layerwise.experiments.presets import PRESETS, preset_named, tuning
from optuna_layerwise.experiments.settings import (
    SAMPLER_NAMES,
    SETTINGS_KEY,
    Settings,
    known,
    weights_of,
)
from optuna_layerwise.recipe import Granularity


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
    image_root: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the images of a .csv, if they do not lie beside it; repeatable."
        ),
    ] = None,
    group_by: Annotated[
        str, typer.Option(help="Column whose groups stay in one split; auto or none.")
    ] = "auto",
    group_rule: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=GROUP_RULE,
            help="How `auto` finds groups: 2 (default) takes columns that look like groups; 1 "
            "takes a column named group only, as version 0.1.0 did.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Torchvision's name, timm/NAME, transformers/NAME or digits_cnn."),
    ] = None,
    model_arg: Annotated[
        list[str] | None, typer.Option(help="Argument of the network, as name=value; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="File of pretrained weights, the name of published ones, or none for random "
            "ones; default the published ones, which are downloaded once."
        ),
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
    baseline: Annotated[
        str | None,
        typer.Option(
            help=f"Tune a published method instead of searching over blocks: "
            f"{', '.join(BASELINES)}. The first trial is the method as published."
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="always (trained) or search (may be frozen).")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(SAMPLER_NAMES)}; default catcmawm, of a baseline tpe."
        ),
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
        typer.Option(
            help="Target of finished trials; default 100, of biotune 140, of a baseline 20."
        ),
    ] = None,
    seed_recipes: Annotated[
        bool | None,
        typer.Option(help="Begin with known recipes, such as full fine-tuning."),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(help="Another study of this database: begin where its best trials are."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Most passes over the training split.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement; 0 never stops early.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or sgd.")] = None,
    lr: Annotated[float | None, typer.Option(help="Rate of a block with multiplier 1.")] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="As the optimizer defines it.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="constant or cosine.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, balanced_accuracy, auc or loss.")
    ] = None,
    bn: Annotated[
        str | None, typer.Option(help="BatchNorm: eval_frozen, train or eval_all.")
    ] = None,
    head_start: Annotated[
        str | None,
        typer.Option(
            help="The head before the first step: random, or fitted, the logistic regression of "
            "what the pretrained network feeds it."
        ),
    ] = None,
    seeds_per_trial: Annotated[int | None, typer.Option(help="Trainings a trial.")] = None,
    n_folds: Annotated[
        int | None, typer.Option("--folds", help="Rotating folds; 1 is all data.")
    ] = None,
    reuse: Annotated[
        bool | None, typer.Option(help="Take over what an equal trial has trained; papers do not.")
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="Stop trials early that are low in their generation.")
    ] = False,
    pruner: Annotated[
        str | None,
        typer.Option(help="Prune by generation (as --prune) or by successive halving: halving."),
    ] = None,
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
        int | None,
        typer.Option(
            help="Short side before cropping; default that of published weights, else 232/224."
        ),
    ] = None,
    skip_bad_images: Annotated[bool, typer.Option(help="Leave out unreadable images.")] = False,
    finalists: Annotated[
        int | None,
        typer.Option(help="Policies to retrain; default 1 for 10 trials, at most 5; of revo 1."),
    ] = None,
    final_seeds: Annotated[
        int | None, typer.Option(help="Trainings of each of them; default 3, of revo 1.")
    ] = None,
    race: Annotated[
        bool | None, typer.Option(help="Drop finalists that are clearly behind; papers do not.")
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
    output: Annotated[
        str | None, typer.Option(help="Folder for the best weights, and for unfinished trials.")
    ] = None,
    keep_weights: Annotated[
        int, typer.Option(help="Keep the weights of so many of the search's best trials.")
    ] = 0,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(help="A trial saves after the first epoch that ends so long after the last."),
    ] = 10.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    compute: Annotated[
        list[str] | None,
        typer.Option(
            help="How the device computes, name=value: precision=bf16, channels_last=true, "
            "compile=true, micro_batch=8, deterministic=true, prefix_memory=BYTES, "
            "prefix_disk=BYTES; repeatable."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of torch; default its own.")] = None,
    allow_different: AllowDifferent = False,
    live: Annotated[
        bool, typer.Option(help="Keep figures and notes of the study in optuna-dashboard.")
    ] = True,
    work: Annotated[
        bool, typer.Option(help="Or only create the study, for `worker` and `launch`.")
    ] = True,
    finalize: Annotated[
        bool, typer.Option(help="Or only search, and leave the last test to `finalize`.")
    ] = True,
) -> None:
    """Search which blocks to train, and how fast; then test the best policy once.

    Continues a study of the same name and settings. Without arguments it runs on scikit-learn's
    digits, with a small network that was pretrained on the digits 0 to 4.
    """
    if baseline is not None and (encoding is not None or head is not None):
        raise ValueError(
            f"--baseline {baseline} says which blocks are trained; leave --encoding and --head out"
        )
    if baseline is not None:
        sampler = sampler or "tpe"
    preset, sampler = preset_named(preset, sampler)
    known("sampler", sampler, SAMPLER_NAMES)
    chosen = PRESETS[preset](sampler, encoding, data, seed)
    if baseline is not None:
        chosen = tuning(chosen, baseline)
    known("encoding", chosen.encoding, ENCODINGS)
    if model is None and data != "digits":
        check_present(data)
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
        "head_start": head_start,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    tuned = baseline_named(baseline).tuned if baseline is not None else {}
    for field in changes:
        if field in tuned:
            raise ValueError(
                f"--baseline {baseline} tunes {field}; leave --{field.replace('_', '-')} out"
            )
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
        "n_folds": n_folds,
        "reuse": reuse,
        "seed_recipes": seed_recipes,
        "trials": trials,
        "finalists": finalists,
        "final_seeds": final_seeds,
        "race": race,
        "retrain": retrain,
    }
    name = study or Path(data).stem or "study"
    arguments = assignments("model-arg", model_arg)
    size: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
    from optuna_layerwise.models import ModelSpec  # with torch

    network = ModelSpec(
        name=model or Settings.model,
        args=arguments,
        weights=weights_of(weights),
        **size,
    )
    settings = Settings(
        data=absolute(data) or data,
        data_root=data_root and absolute_folder(data_root),
        image_root=tuple(map(absolute_folder, image_root or ())),
        columns={name: str(value) for name, value in assignments("column", column).items()},
        group_by=None if group_by == "none" else group_by,
        group_rule=GROUP_RULE if group_rule is None else group_rule,
        val=val,
        test=test,
        split_seed=split_seed,
        resize=network.resize if resize is None else resize,
        skip_bad_images=skip_bad_images,
        model=model or Settings.model,
        model_args=arguments,
        weights=absolute(weights),
        mean=channels("mean", mean, network.mean),
        std=channels("std", std, network.std),
        image_size=network.image_size,
        encoding=chosen.encoding,
        baseline=chosen.baseline,
        sampler=sampler,
        sampler_options={
            **chosen.sampler_options,
            **assignments("sampler-option", sampler_option),
        },
        seed=seed,
        recipe=dataclasses.replace(chosen.recipe, **changes),
        seeds=tuple(chosen.seeds[:n_seeds]),
        tie_break=chosen.tie_break,
        prune=prune or pruner is not None,
        pruner=pruner or "generation",
        init_from=init_from,
        **{k: getattr(chosen, k) if value is None else value for k, value in given.items()},
        keep_weights=keep_weights,
        checkpoint_seconds=checkpoint_seconds,
        output=os.path.abspath(output) if output else default_output(name),
        device=device,
        compute=assignments("compute", compute),
        threads=threads,
        live=live,
    )
    from optuna_layerwise.cli.searching import run
    from optuna_layerwise.storage import holds_study, open_storage

    stored = None
    try:  # a database is made when all else is found to be right
        exists = holds_study(open_storage(storage, create=False, log=False), name)
    except FileNotFoundError:
        exists = False
    if exists:
        existing = load_study(storage, name)
        if SETTINGS_KEY in existing.user_attrs or existing.get_trials(deepcopy=False):
            stored = Settings.from_study(existing)
            if group_rule is None:
                settings = dataclasses.replace(settings, group_rule=stored.group_rule)
    run(
        console,
        settings,
        stored,
        storage,
        name,
        download=download,
        to_work=work,
        finalize=finalize,
        allow_different=allow_different,
    )
