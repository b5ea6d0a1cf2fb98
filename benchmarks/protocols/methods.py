"""Our own comparison: every method with the same work, on the same splits."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.protocols.arms import Arm
from benchmarks.protocols.experiments import MOBILENET, Experiment
from benchmarks.protocols.table import Table
from optuna_layerwise.recipe import Recipe

BASELINES = {
    "full": "full fine-tuning",
    "probe": "linear probe",
    "last": "last layer, norms in train mode",
    "first": "first block and head",
    "l1-sp": "L1-SP",
    "l2-sp": "L2-SP",
    "gradual-lf": "gradual unfreezing, last to first",
    "gradual-fl": "gradual unfreezing, first to last",
    "auto-rgn": "AutoRGN",
    "lora": "LoRA",
    "llrd": "layer-wise rate decay",
}
_PAPER = {"preset": "paper"}


def arms(recipe: Recipe, *, work: float, trials: int, final_seeds: int) -> dict[str, Arm]:
    """All methods, each with the work of so many full trainings."""
    equal: dict[str, Any] = {
        "recipe": recipe,
        "work": work,
        "trials": trials,
        "final_seeds": final_seeds,
    }
    tuned = {
        name: Arm(title=title, baseline=name, seed_recipes=True, **equal)
        for name, title in BASELINES.items()
    }
    halving: dict[str, Any] = {"baseline": "full-wd", "prune": True, "seed_recipes": True}
    return {
        **tuned,
        "halving": Arm(title="TPE and successive halving, equal work", **halving, **equal),
        "halving-trials": Arm(
            title="TPE and successive halving, equal trials",
            **halving,
            **{**equal, "work": None, "trials": round(work)},
        ),
        "biotune": Arm(
            title="BioTune", encoding="biotune", sampler="biotune", sampler_options=_PAPER, **equal
        ),
        "revo-binary": Arm(
            title="REVO-Tune, binary",
            encoding="binary",
            sampler="catcmawm",
            sampler_options=_PAPER,
            **equal,
        ),
        "revo-continuous": Arm(
            title="REVO-Tune, continuous",
            encoding="continuous",
            sampler="catcmawm",
            sampler_options=_PAPER,
            **equal,
        ),
        "set": Arm(title="set encoding", encoding="set", sampler="set-ga", **equal),
        "profile": Arm(
            title="profile (ours)",
            encoding="profile",
            sampler="catcmawm",
            seed_recipes=True,
            **equal,
        ),
        "default": Arm(
            title="our default (CatCMAwM, binary)",
            encoding="binary",
            sampler="catcmawm",
            **equal,
        ),
    }


_RECIPE = Recipe(epochs=5, patience=None, batch_size=16)
_COMMON: dict[str, Any] = {
    "networks": (MOBILENET,),
    "fractions": (0.1, 0.4),
    "val": 0.2,
    "test": 0.4,
    "of_all": True,
    "new_split": True,
}
_SMALL = Experiment(
    name="methods-small",
    arms=arms(_RECIPE, work=20, trials=60, final_seeds=3),
    sets=("busi", "citrus", "rsmas"),
    runs=(0, 1, 2),
    image_size=64,
    **_COMMON,
)
_AT_LENGTH = ("full", "probe", "biotune", "revo-binary", "revo-continuous", "profile", "default")
_LONG = arms(_RECIPE, work=100, trials=300, final_seeds=3)
EXPERIMENTS = {
    "small": _SMALL,
    "long": dataclasses.replace(
        _SMALL,
        name="methods-long",
        arms={name: _LONG[name] for name in _AT_LENGTH},
        fractions=(0.1,),
    ),
    "full": Experiment(
        name="methods-full",
        arms=arms(dataclasses.replace(_RECIPE, epochs=10), work=60, trials=200, final_seeds=3),
        sets=("busi", "citrus", "rsmas", "dtd10", "ham_bal"),
        runs=(0, 1, 2, 3, 4),
        image_size=128,
        **_COMMON,
    ),
}
_TWO_MORE = (
    "Successive halving stands there twice, the second time with as many trials as that work "
    "would train in full; a probe reaches the most trials first, with less work."
)
_THAT_WORK = {
    "small": "That is less than the papers' searches have: BioTune's start and some two "
    "generations, two or three populations of REVO-Tune, little more than the random start of the "
    f"set encoding. {_TWO_MORE}",
    "long": "That is about as many as the papers' searches have, 100 trials of REVO-Tune and 140 "
    "configurations of BioTune, or more. Who reaches the most trials first has less work.",
    "full": "That is somewhat less than the papers' searches have, 100 trials of REVO-Tune and "
    f"140 configurations of BioTune. {_TWO_MORE}",
}
TABLE = Table(
    name="methods",
    title="Fine-tuning methods at equal work",
    experiments=EXPERIMENTS,
    values=("accuracy",),
    columns="fraction",
    spread="deviation",
    compares=True,
    differences={
        scale: (
            f"MobileNetV2 0.35 at {e.image_size} pixels, batches of "
            f"{e.arms['full'].recipe.batch_size}; a run is a stratified split of its own, "
            "with a fifth of the images to validate and two fifths to test.",
            f"Every method has the operations of {e.arms['full'].work} full trainings of "
            f"{e.arms['full'].recipe.epochs} epochs on its split, validation included, and at "
            f"most {e.arms['full'].trials} trials: published methods tune their learning rate and "
            "their own hyper-parameters by TPE, from the published defaults on; searches search. "
            + _THAT_WORK[scale],
            "BioTune and REVO-Tune are their samplers' paper presets, but all searches have a "
            "gene a stage, always train the head, train a trial once and on all training images, "
            "and settle equal accuracies by the validation loss. REVO-Tune's continuous genes are "
            "rates on a log scale.",
            "The best trial by validation is trained again, with as many new seeds as follow, and "
            f"then tested: {e.arms['full'].final_seeds}.",
            "A value is the mean over runs, each the mean of its trainings, ± the standard "
            "deviation over runs (n - 1).",
        )
        for scale, e in EXPERIMENTS.items()
    },
)
