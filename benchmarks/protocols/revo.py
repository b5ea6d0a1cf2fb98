"""Tables 1 to 3 of REVO-Tune, at full and at small scale."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.protocols.arms import Arm
from benchmarks.protocols.experiments import MOBILENET, RESNET20, Experiment
from benchmarks.protocols.table import Table
from optuna_layerwise.experiments.presets import REVO_RECIPE
from optuna_layerwise.recipe import Recipe

FRACTIONS = (0.05, 0.2, 0.4, 0.6)
RUNS = (0, 1, 2)


def _methods(recipe: Recipe, **options: Any) -> dict[str, Arm]:
    as_published: dict[str, Any] = {
        "tie_break": False,
        "reuse": False,
        "finalists": 1,
        "final_seeds": 1,
        "retrain": False,
        **options,
    }
    tuned: dict[str, Any] = {"recipe": recipe, "seed_recipes": True, **as_published}
    searched: dict[str, Any] = {"head": "search", **as_published}
    trials = options["trials"]
    halving: dict[str, Any] = {
        "baseline": "full-wd",
        "prune": True,
        "sampler_options": {"n_startup_trials": trials // 5, "multivariate": False},
    }
    twice = dataclasses.replace(recipe, lr=2 * recipe.lr)  # the centre is the binary one's rate
    return {
        "first": Arm(title="first layer", baseline="first", **tuned),
        "last": Arm(title="last layer", baseline="last", **tuned),
        "full": Arm(title="full fine-tuning", baseline="full-wd", **tuned),
        "auto-rgn": Arm(title="auto-RGN", baseline="auto-rgn", **tuned),
        "halving": Arm(
            title="TPE and successive halving, equal epochs",
            **halving,
            **{**tuned, "work": trials, "trials": 10 * trials},
        ),
        "halving-trials": Arm(
            title="TPE and successive halving, equal trials", **halving, **tuned
        ),
        "set": Arm(
            title="set encoding", encoding="set", sampler="set-ga", recipe=recipe, **searched
        ),
        "revo-binary": Arm(
            title="REVO-Tune, binary",
            encoding="binary",
            sampler="catcmawm",
            sampler_options={"preset": "paper"},
            recipe=recipe,
            **searched,
        ),
        "revo-continuous": Arm(
            title="REVO-Tune, continuous",
            encoding="continuous-multiplier",
            sampler="catcmawm",
            sampler_options={"preset": "paper"},
            recipe=twice,
            **searched,
        ),
    }


_SMALL_ARMS = _methods(
    dataclasses.replace(REVO_RECIPE, epochs=4, patience=None), trials=20, granularity="stage"
)
_FULL_ARMS = _methods(REVO_RECIPE, trials=100, granularity="layer")
_COMMON: dict[str, Any] = {"runs": RUNS, "paper_split": True, "new_seeds": True}
MAIN = {
    "full": Experiment(
        name="revo-full",
        arms=_FULL_ARMS,
        networks=("resnet18", "resnet50"),
        sets=("busi", "ham10000", "leaves", "srsmas"),
        fractions=FRACTIONS,
        resize=256,
        **_COMMON,
    ),
    "small": Experiment(
        name="revo-small",
        arms=_SMALL_ARMS,
        networks=(MOBILENET,),
        sets=("busi", "citrus", "rsmas"),
        fractions=(0.05, 0.4),
        image_size=64,
        **_COMMON,
    ),
}
NETWORKS = {
    "full": Experiment(
        name="revo-networks-full",
        arms=_FULL_ARMS,
        networks=("convnext_tiny", "efficientnet_b0", "mobilenet_v2", "shufflenet_v2_x1_0"),
        sets=("srsmas",),
        fractions=(0.4,),
        resize=256,
        **_COMMON,
    ),
    "small": Experiment(
        name="revo-networks-small",
        arms=_SMALL_ARMS,
        networks=(MOBILENET, RESNET20),
        sets=("rsmas",),
        fractions=(0.4,),
        image_size=64,
        **_COMMON,
    ),
}

_ALWAYS = (
    "The paper's baselines are single runs; here every method has as many runs as are there, "
    "which differ in the seeds of search and training, on one split.",
    "The split is the one that the paper's tables imply: floor(p n) to train, floor(0.2 n) to "
    "validate, the rest to test, unstratified; the test split differs between the columns of a "
    "set.",
    "Baselines are tuned by TPE, published defaults first, with as many trials as the searches: "
    "full fine-tuning in learning rate and weight decay, the others in learning rate and their "
    "own hyper-parameters. The paper has grids of five rates, five weight decays and four numbers "
    "of epochs in their place.",
    "TPE (each parameter on its own, a fifth of the trials at random first) with successive "
    "halving (reduction factor 4) stands for HyperOpt with successive halving, over learning rate "
    "and weight decay: once with the operations of as many whole trainings as the searches have "
    "trials, and once with as many trials, which costs it most of its epochs.",
    "Not stated in the paper and chosen here: Adam, no schedule, 30 epochs with patience 5, "
    "batches of 32, 256/224 pixels, one-vs-rest macro AUC, the whole model in train mode, a layer "
    "is a convolution or linear layer with its norm.",
    "The best trial's own training is tested, as in the paper, without retraining.",
    "StructureRSMAS is `srsmas`; HAM10000 is split by image, as the paper's numbers of images "
    "have it.",
    "A value is the mean over the runs ± its standard deviation (n - 1).",
)
_SMALL_WORDS = (
    "Small scale: MobileNetV2 0.35, other data sets, 64 pixels, 4 epochs, 20 trials instead of "
    "100, genes for stages instead of layers: it shows that the protocol runs, and no more.",
)
_DIFFERENCES = {"full": _ALWAYS, "small": (*_SMALL_WORDS, *_ALWAYS)}

TABLE_1 = Table(
    name="revo-table1",
    title="REVO-Tune, Table 1: test accuracy by share of the data",
    experiments=MAIN,
    values=("accuracy",),
    columns="fraction",
    spread="deviation",
    published={("set", "resnet18", "srsmas", 0.05, "accuracy"): 49.4},
    differences=_DIFFERENCES,
)
TABLE_2 = Table(
    name="revo-table2",
    title="REVO-Tune, Table 2: test AUC by share of the data",
    experiments=MAIN,
    values=("auc",),
    columns="fraction",
    spread="deviation",
    differences={
        scale: (*words, "The studies are those of Table 1; that Table 2 holds AUC is our reading.")
        for scale, words in _DIFFERENCES.items()
    },
)
TABLE_3 = Table(
    name="revo-table3",
    title="REVO-Tune, Table 3: test accuracy with other networks",
    experiments=NETWORKS,
    values=("accuracy",),
    columns="network",
    spread="deviation",
    differences={
        scale: (
            *words,
            "The paper names families, not variants; ConvNeXt-T, EfficientNet-B0, MobileNetV2 and "
            "ShuffleNetV2 x1.0 are ours. That the table is of StructureRSMAS at 40 % follows from "
            "its values, all of which are multiples of 1/165.",
        )
        for scale, words in _DIFFERENCES.items()
    },
)
