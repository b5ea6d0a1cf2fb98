"""The command that repeats a study, from the settings that are stored with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.texts import command, option
from optuna_layerwise.storage import without_secrets

_OPTIONS = {
    # field of `Settings` or, with a dot, of its recipe: option of `tune` that sets it
    "data": "--data",
    "data_root": "--data-root",
    "group_by": "--group-by",
    "group_rule": "--group-rule",
    "val": "--val",
    "test": "--test",
    "split_seed": "--split-seed",
    "train_fraction": "--train-fraction",
    "resize": "--resize",
    "model": "--model",
    "weights": "--weights",
    "granularity": "--granularity",
    "encoding": "--encoding",
    "baseline": "--baseline",
    "head": "--head",
    "sampler": "--sampler",
    "seed": "--seed",
    "recipe.epochs": "--epochs",
    "recipe.batch_size": "--batch-size",
    "recipe.optimizer": "--optimizer",
    "recipe.lr": "--lr",
    "recipe.weight_decay": "--weight-decay",
    "recipe.schedule": "--schedule",
    "recipe.metric": "--metric",
    "recipe.bn": "--bn",
    "recipe.head_start": "--head-start",
    "n_folds": "--folds",
    "pruner": "--pruner",
    "trials": "--trials",
    "init_from": "--init-from",
    "finalists": "--finalists",
    "final_seeds": "--final-seeds",
    "keep_weights": "--keep-weights",
    "checkpoint_seconds": "--checkpoint-seconds",
    "device": "--device",
    "threads": "--threads",
}
_ASSIGNMENTS = {
    "columns": "--column",
    "model_args": "--model-arg",
    "sampler_options": "--sampler-option",
    "compute": "--compute",
}
_SWITCHES = {
    "paper_split": "paper-split",
    "reuse": "reuse",
    "seed_recipes": "seed-recipes",
    "race": "race",
    "retrain": "retrain",
    "prune": "prune",
    "skip_bad_images": "skip-bad-images",
}


def option_of(field: str) -> str:
    """The option of ``tune`` that sets a field, or the field's name where there is none."""
    switches = {name: f"--{option}" for name, option in _SWITCHES.items()}
    return {**_OPTIONS, **_ASSIGNMENTS, **switches}.get(field, field)


def tune_command_of(settings: Settings, storage: str, study: str) -> str:
    """The command ``tune`` that made a study, in full; the storage without its password.

    Of the presets it takes the one from which the fewest options differ.
    """
    from optuna_layerwise.experiments.presets import PRESETS, Preset, tuning

    def base(preset: Preset) -> dict[str, Any]:
        chosen = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
        plain = {field.name: field.default for field in dataclasses.fields(Settings)}
        plain |= {field: {} for field in _ASSIGNMENTS} | {"group_rule": GROUP_RULE}
        known = {name: value for name, value in chosen.items() if name in plain}
        return {**plain, **known, "data": "", "model": "", "sampler": "", "seed": None}

    options = []
    for name, make in PRESETS.items():
        encoding = settings.encoding if settings.baseline else None  # else it is an option
        preset = make(settings.sampler, encoding, settings.data, settings.seed)
        if settings.baseline is not None:
            preset = tuning(preset, settings.baseline)
            preset = dataclasses.replace(preset, baseline=None)
        given = [] if name == "default" else [("--preset", name)]
        fits = preset.tie_break == settings.tie_break and set(preset.sampler_options) <= set(
            settings.sampler_options
        )
        found = [*given, *_differences(settings, base(preset), preset.n_seeds)]
        options.append((not fits, len(found), found))
    _, _, shortest = min(options, key=lambda option: option[:2])
    words = [
        word for name, value in shortest for word in (option(name, value) if value else [name])
    ]
    where = [*option("--storage", without_secrets(storage)), *option("--study", study)]
    return command(["optuna-layerwise", "tune", *words, *where])


def _differences(
    settings: Settings, base: dict[str, Any], n_seeds: int
) -> Iterator[tuple[str, str]]:
    recipe = base["recipe"]
    for field, name in _OPTIONS.items():
        of_recipe = field.removeprefix("recipe.")
        if field == of_recipe:
            value, default = getattr(settings, field), base[field]
        else:
            value, default = getattr(settings.recipe, of_recipe), getattr(recipe, of_recipe)
        if value != default and (value is not None or field == "group_by"):
            yield name, "none" if value is None else str(value)
    if settings.recipe.patience != recipe.patience:
        yield "--patience", str(settings.recipe.patience or 0)
    for folder in settings.image_root:
        yield "--image-root", folder
    yield "--image-size", str(settings.image_size)
    for field in ("mean", "std"):
        yield f"--{field}", ",".join(map(str, getattr(settings, field)))
    if len(settings.seeds) != n_seeds:
        yield "--seeds-per-trial", str(len(settings.seeds))
    for field, name in _ASSIGNMENTS.items():
        for key, value in getattr(settings, field).items():
            if base[field].get(key) != value:
                text = value if isinstance(value, str) else json.dumps(value)
                yield name, f"{key}={text}"
    for field, name in _SWITCHES.items():
        if (value := getattr(settings, field)) != base[field]:
            yield f"--{name}" if value else f"--no-{name}", ""
