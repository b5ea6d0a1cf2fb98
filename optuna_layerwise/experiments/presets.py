"""What ``tune`` takes where the command says nothing: sensible defaults, or a paper's choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.data.names import GROUP_RULE, PUBLISHED_NAMES
from optuna_layerwise.experiments.settings import SETTINGS, Settings
from optuna_layerwise.io.plain import MANY
from optuna_layerwise.recipe import Recipe

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

DIGITS_RECIPE = Recipe(lr=3e-3, epochs=15, patience=5, batch_size=25, head_start="fitted")
ENCODING_OF = {"biotune": "biotune", "set-ga": "set", "cmaes": "continuous"}
"""Sampler to the encoding that suits it; a preset has one for all others."""
TRIALS_OF = {"biotune": 140}
"""Sampler to a number of trials that ends a generation; 100 for all others."""
BASELINE_TRIALS = 20
"""Trials that tune a method's rate and one or two options."""
PAPER_OF = {"biotune": "biotune", "catcmawm": "revo", "set-ga": "revo"}
"""Sampler to the paper that published results with it."""


_MORE_SEEDS = 1000
"""Seeds of trainings that may be asked for, from the first one on; BioTune has its three."""
Changes = dict[str, Any]
"""Fields of `Settings` to the values that a preset gives them."""


def default(sampler: str, encoding: str | None, data: str, seed: int) -> Changes:
    """What was best on LayerBench; see docs/methods-catcmawm.md for the papers."""
    return {
        "encoding": encoding or ENCODING_OF.get(sampler, "binary"),
        "recipe": DIGITS_RECIPE if data == "digits" else Recipe(head_start="fitted"),
        "trials": TRIALS_OF.get(sampler, 100),
        "final_folds": None,
        "compete": True,
        "refit": True,
        "deliver": "auto",
    }


def biotune(sampler: str, encoding: str | None, data: str, seed: int) -> Changes:
    """BioTune (Davila et al.): its paper, and its code where the paper is silent."""
    return {
        "encoding": encoding or ENCODING_OF.get(sampler, "biotune"),
        "recipe": BIOTUNE_RECIPE,
        "trials": TRIALS_OF.get(sampler, 100),
        "seeds": PAPER_SEEDS,
        "n_folds": 2,
        "tie_break": False,
        "reuse": False,
        "head": "search",
        "sampler_options": {"preset": "paper"} if sampler == "biotune" else {},
        "finalists": 5,
        "race": False,
    }


def revo(sampler: str, encoding: str | None, data: str, seed: int) -> Changes:
    """REVO-Tune: 100 trials, each layer a gene, the best trial's own training is the result.

    Its runs differ in the seed of the search, which is that of the trainings as well. An encoding
    that searches multipliers has the centre of its range at the rate of the binary variant.
    """
    encoding = encoding or ENCODING_OF.get(sampler, "binary")
    lr = 2 * REVO_RECIPE.lr if encoding == "continuous-multiplier" else REVO_RECIPE.lr
    has_own_splits = data in ("digits", *PUBLISHED_NAMES) or Path(data).suffix == ".npz"
    return {
        "encoding": encoding,
        "recipe": dataclasses.replace(REVO_RECIPE, lr=lr),
        "trials": 100,
        "seeds": (seed,),
        "tie_break": False,
        "reuse": False,
        "granularity": "layer",
        "head": "search",
        "sampler_options": {"preset": "paper"} if sampler == "catcmawm" else {},
        "paper_split": not has_own_splits,
        "train_fraction": 1.0 if has_own_splits else 0.6,
        "finalists": 1,
        "final_seeds": 1,
        "race": False,
        "retrain": False,
    }


def tuning(chosen: Changes, baseline: str, tune: Sequence[str] = ()) -> Changes:
    """The preset for a baseline, which is first tried as published."""
    method = BASELINES[baseline]
    leaves_open = method.encoding(("stem", "head"), lr=chosen["recipe"].lr).search_space
    return {
        **chosen,
        "baseline": baseline,
        "recipe": method.applied(dataclasses.replace(chosen["recipe"], head_start="random")),
        "compete": False,
        "deliver": "one",
        "trials": BASELINE_TRIALS if leaves_open or tune else 1,
        "seed_recipes": True,
    }


PRESETS: dict[str, Callable[[str, str | None, str, int], Changes]] = {
    "default": default,
    "biotune": biotune,
    "revo": revo,
}
"""Name to a function of sampler, encoding (``None``: the preset's choice), data and seed."""


def filled_in(given: Mapping[str, Any], preset: str = "default") -> dict[str, Any]:
    """Fields of `Settings`: what a preset says, and in its place what is given.

    Args:
        given: Name of a setting, as in `SETTINGS`, to its value; of ``seeds`` how many.
        preset: A name of `PRESETS`, or ``paper``.

    Raises:
        ValueError: if options exclude each other, or a name does not exist.
    """
    given, baseline = dict(given), given.get("baseline")
    if baseline is not None and ("encoding" in given or "head" in given):
        raise ValueError(
            f"--baseline {baseline} says which blocks are trained; leave --encoding and --head out"
        )
    sampler = given.get("sampler") or (None if baseline is None else "tpe")
    preset, given["sampler"] = preset_named(preset, sampler)
    data, seed = given.get("data", Settings.data), given.get("seed", Settings.seed)
    chosen = PRESETS[preset](given["sampler"], given.get("encoding"), data, seed)
    if baseline is not None:
        chosen = tuning(chosen, baseline, given.get("tune", ()))
    if "budget" in given and chosen["trials"] > 1:  # a method that leaves nothing open has one
        chosen["trials"] = MANY
    of_recipe = {name: given.pop(name) for name in [*given] if SETTINGS[name].path[0] == "recipe"}
    for field in of_recipe:
        if baseline is not None and field in BASELINES[baseline].tuned:
            option = SETTINGS[field].option
            raise ValueError(f"--baseline {baseline} tunes {field}; leave {option} out")
    if (n_seeds := given.pop("seeds", None)) is not None:
        seeds = chosen.get("seeds", (0,))
        known = seeds if len(seeds) > 1 else range(seeds[0], seeds[0] + _MORE_SEEDS)
        if not 1 <= n_seeds <= len(known):
            raise ValueError(
                f"--seeds-per-trial must be from 1 to {len(known)} with --preset {preset}, "
                f"got {n_seeds}"
            )
        given["seeds"] = tuple(known[:n_seeds])
    options = {**chosen.get("sampler_options", {}), **given.get("sampler_options", {})}
    return {
        "group_rule": GROUP_RULE,
        **chosen,
        **given,
        "prune": given.get("prune", False) or "pruner" in given,
        "recipe": dataclasses.replace(chosen["recipe"], **of_recipe),
        "sampler_options": options,
    }


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


_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "": ({"data": ""}, "default"),
    "--data digits": ({"data": "digits"}, "default"),
    "--sampler biotune": ({"data": "", "sampler": "biotune"}, "default"),
    "--baseline": ({"data": "", "baseline": "full"}, "default"),
    "--preset biotune": ({"data": ""}, "biotune"),
    "--preset revo": ({"data": ""}, "revo"),
}
"""Options to what they give, and the preset, where defaults of other options depend on them."""


def defaults() -> dict[str, str]:
    """Name to words for the default, of settings that depend on others; so do all of a recipe."""
    cases = {case: Settings(**filled_in(*given)) for case, given in _CASES.items()}
    found = {name: setting.default for name, setting in SETTINGS.items() if setting.default}
    for name in set(SETTINGS) - set(found) - {"data"}:
        values: dict[str, list[str]] = {}
        for case, settings in cases.items():
            words = SETTINGS[name].words(SETTINGS[name].of(settings))
            values.setdefault(words[0][-1] if words else "", []).append(case)
        (first, _), *others = values.items()
        if first and (others or SETTINGS[name].path[0] == "recipe"):
            found[name] = "; ".join(
                [first, *(f"{value} with {' or '.join(which)}" for value, which in others)]
            )
    return found
