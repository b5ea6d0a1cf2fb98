"""Searches of a minute's fraction on the digits, ready to be finalized."""

from __future__ import annotations

import dataclasses
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from optuna_layerwise import FinetuneObjective, ModelSpec
from optuna_layerwise.data import Images, SealedImages, Splits
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.final import PUBLISHED_ENDING

BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
REFERENCES = ("full", "probe", "scratch")
PUBLISHED: dict[str, Any] = {"ending": PUBLISHED_ENDING, "references": REFERENCES}
RECIPE = Recipe(lr=3e-3, epochs=2, patience=None, batch_size=25)
SEEDS = (0, 1)
GOOD = {f"imp/{block}": 0.75 for block in BLOCKS} | {"imp/__threshold__": 0.1}
HEAD_ONLY = GOOD | {f"imp/{block}": 0.05 for block in BLOCKS} | {"imp/head": 0.3}
NOTHING = GOOD | {"imp/__threshold__": 1.0}


class Counted(SealedImages):
    """A test split that counts how often it is opened."""

    def __init__(self, images: Images) -> None:
        super().__init__(images)
        self.opened = 0

    def open(self) -> Images:
        self.opened += 1
        return super().open()


@dataclasses.dataclass
class Case:
    objective: FinetuneObjective
    study: optuna.Study
    test: Counted


def searched(
    spec: ModelSpec, splits: Splits, first: list[dict[str, float]], n_trials: int, **options: Any
) -> Case:
    test = Counted(splits.test.open())
    objective = FinetuneObjective(
        model=spec,
        data=dataclasses.replace(splits, test=test),
        encoding=Encoding.preset("biotune", BLOCKS, head="search"),
        device="cpu",
        **{"recipe": RECIPE, **options},
    )
    study = optuna.create_study(direction=objective.direction, sampler=RandomSampler(seed=0))
    for params in first:
        study.enqueue_trial(params)
    study.optimize(objective, n_trials=n_trials)
    return Case(objective, study, test)
