"""The samplers that are compared, each as it would be used on an instance of a problem.

Optuna's are as they come, but for NSGA-II's population: its default of 50 would be two
generations of what is compared here. They see the plain search space. Ours also know the encoding
and, but for the paper's preset, begin with its first four recipes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from benchmarks.sampling.problems import Instance
from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler

warnings.simplefilter("ignore", ExperimentalWarning)

OURS = "CatCMAwM"
"""The one that all others are compared with."""

RECIPES = 4


def _biotune(instance: Instance, seed: int) -> BaseSampler:
    encoding = instance.encoding
    space = None if encoding else instance.search_space
    return BioTuneSampler(seed=seed, encoding=encoding, search_space=space)


def _catcmawm(instance: Instance, seed: int, *, surrogate: bool = True) -> BaseSampler:
    encoding = instance.encoding
    return CatCMAwMSampler(
        seed=seed,
        encoding=encoding,
        search_space=None if encoding else instance.search_space,
        surrogate=surrogate,
        seed_with=encoding.recipes()[:RECIPES] if encoding else (),
    )


def _paper(instance: Instance, seed: int) -> BaseSampler:
    encoding = instance.encoding
    space = None if encoding else instance.search_space
    return CatCMAwMSampler(seed=seed, encoding=encoding, search_space=space, preset="paper")


CONTESTANTS: dict[str, Callable[[Instance, int], BaseSampler]] = {
    "Random": lambda instance, seed: RandomSampler(seed=seed),
    "TPE": lambda instance, seed: TPESampler(seed=seed),
    "CmaEs": lambda instance, seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "NSGA-II": lambda instance, seed: NSGAIISampler(seed=seed, population_size=10),
    "GP": lambda instance, seed: GPSampler(seed=seed),
    "BioTune": _biotune,
    OURS: _catcmawm,
    "CatCMAwM, no surrogate": partial(_catcmawm, surrogate=False),
    "CatCMAwM, paper": _paper,
}
"""Name to what makes a sampler for an instance and a seed."""
