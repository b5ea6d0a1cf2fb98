"""What ``tune`` takes where the command says nothing: sensible defaults, or a paper's choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna_layerwise.baselines import baseline_named
from optuna_layerwise.data.names import PUBLISHED_NAMES
from optuna_layerwise.encodings import Head
from optuna_layerwise.recipe import Granularity, Recipe

BIOTUNE_RECIPE = Recipe(
    optimizer="adam",
    lr=1e-3,
    schedule="cosine",
    cosine_epochs=100,
    epochs=30,
    patience=3,
    batch_size=96,
    metric="balanced_accuracy",
    bn="train",
)
"""The recipe of BioTune's experiments (their code; the paper states epochs and patience)."""

PAPER_SEEDS = (684, 559, 629)
"""The seeds of BioTune's code."""

REVO_RECIPE = Recipe(
    optimizer="adam",
    lr=1e-3,
    schedule="constant",
    epochs=30,
    patience=5,
    batch_size=32,
    metric="loss",
    bn="train",
)
"""The recipe of REVO-Tune's experiments.

Stated are the rate of the binary variant, 1e-3, and the validation loss as what is minimised. Not
stated, and chosen here: Adam without decay (as BioTune; the equations are those of SGD), no
schedule, epochs and patience, the batch size, and the whole model in train mode.
"""

DIGITS_RECIPE = Recipe(lr=3e-3, epochs=15, patience=5, batch_size=25)
ENCODING_OF = {"biotune": "biotune", "set-ga": "set", "cmaes": "continuous"}
"""Sampler to the encoding that suits it; a preset has one for all others."""
TRIALS_OF = {"biotune": 140}
"""Sampler to a number of trials that ends a generation; 100 for all others."""
BASELINE_TRIALS = 20
"""Of a method's rate and one or two options."""
PAPER_OF = {"biotune": "biotune", "catcmawm": "revo", "set-ga": "revo"}
"""Sampler to the paper that published results with it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """The fields of `Settings` of the same names; ``seeds`` holds as many as may be asked for."""

    encoding: str
    recipe: Recipe
    baseline: str | None = None
    trials: int
    seeds: Sequence[int]
    n_seeds: int = 1
    n_folds: int = 1
    tie_break: bool = True
    reuse: bool = True
    granularity: Granularity = "stage"
    head: Head = "always"
    sampler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed_recipes: bool = False
    paper_split: bool = False
    train_fraction: float = 1.0
    finalists: int | None = None
    final_seeds: int = 3
    race: bool = True
    retrain: bool = True


def default(sampler: str, encoding: str | None, data: str, seed: int) -> Preset:
    """What was best on LayerBench; the differences from the papers are listed in the README."""
    return Preset(
        encoding=encoding or ENCODING_OF.get(sampler, "binary"),
        recipe=DIGITS_RECIPE if data == "digits" else Recipe(),
        trials=TRIALS_OF.get(sampler, 100),
        seeds=range(1000),
    )


def biotune(sampler: str, encoding: str | None, data: str, seed: int) -> Preset:
    """BioTune (Davila et al.): its paper, and its code where the paper is silent."""
    return Preset(
        encoding=encoding or ENCODING_OF.get(sampler, "biotune"),
        recipe=BIOTUNE_RECIPE,
        trials=TRIALS_OF.get(sampler, 100),
        seeds=PAPER_SEEDS,
        n_seeds=3,
        n_folds=2,
        tie_break=False,
        reuse=False,
        head="search",
        sampler_options={"preset": "paper"} if sampler == "biotune" else {},
        finalists=5,
        race=False,
    )


def revo(sampler: str, encoding: str | None, data: str, seed: int) -> Preset:
    """REVO-Tune: 100 trials, each layer a gene, the best trial's own training is the result.

    Its runs differ in the seed of the search, which is that of the trainings as well. An encoding
    that searches multipliers has the centre of its range at the rate of the binary variant.
    """
    encoding = encoding or ENCODING_OF.get(sampler, "binary")
    lr = 2 * REVO_RECIPE.lr if encoding == "continuous-multiplier" else REVO_RECIPE.lr
    has_own_splits = data in ("digits", *PUBLISHED_NAMES) or Path(data).suffix == ".npz"
    return Preset(
        encoding=encoding,
        recipe=dataclasses.replace(REVO_RECIPE, lr=lr),
        trials=100,
        seeds=range(seed, seed + 1000),
        tie_break=False,
        reuse=False,
        granularity="layer",
        head="search",
        sampler_options={"preset": "paper"} if sampler == "catcmawm" else {},
        paper_split=not has_own_splits,
        train_fraction=1.0 if has_own_splits else 0.6,
        finalists=1,
        final_seeds=1,
        race=False,
        retrain=False,
    )


def tuning(preset: Preset, baseline: str) -> Preset:
    """The preset for a baseline, which is first tried as published."""
    method = baseline_named(baseline)
    leaves_open = method.encoding(("stem", "head"), lr=preset.recipe.lr).search_space
    return dataclasses.replace(
        preset,
        baseline=baseline,
        recipe=method.applied(preset.recipe),
        trials=BASELINE_TRIALS if leaves_open else 1,
        seed_recipes=True,
    )


PRESETS: dict[str, Callable[[str, str | None, str, int], Preset]] = {
    "default": default,
    "biotune": biotune,
    "revo": revo,
}
"""Name to a function of sampler, encoding (``None``: the preset's choice), data and seed."""


def preset_named(name: str, sampler: str | None) -> tuple[str, str]:
    """The preset and the sampler that are meant; ``paper`` is that of the sampler.

    Raises:
        ValueError: if there is no such preset, or none that published the sampler.
    """
    if name == "paper":
        sampler = sampler or "biotune"
        if sampler not in PAPER_OF:
            raise ValueError(
                f"--preset paper is for --sampler {', '.join(PAPER_OF)}; to run {sampler} with a "
                f"paper's protocol, name it: --preset {' or '.join(set(PAPER_OF.values()))}"
            )
        return PAPER_OF[sampler], sampler
    if name not in PRESETS:
        raise ValueError(f"--preset must be one of {', '.join([*PRESETS, 'paper'])}, got {name!r}")
    return name, sampler or ("biotune" if name == "biotune" else "catcmawm")
