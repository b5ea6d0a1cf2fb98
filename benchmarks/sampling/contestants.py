"""The samplers that are compared, each as it would be used on an instance of a problem.

Optuna's are as they come, but for NSGA-II's population: its default of 50 would be two
generations of what is compared here. They see the plain search space; ours also know the encoding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

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
from optuna_layerwise.samplers import BioTuneSampler

warnings.simplefilter("ignore", ExperimentalWarning)

OURS = "CatCMAwM"
"""The one that all others are compared with."""

CONTESTANTS: dict[str, Callable[[Instance, int], BaseSampler]] = {
    "Random": lambda instance, seed: RandomSampler(seed=seed),
    "TPE": lambda instance, seed: TPESampler(seed=seed),
    "CmaEs": lambda instance, seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "NSGA-II": lambda instance, seed: NSGAIISampler(seed=seed, population_size=10),
    "GP": lambda instance, seed: GPSampler(seed=seed),
    "BioTune": lambda instance, seed: BioTuneSampler(
        seed=seed,
        encoding=instance.encoding,
        search_space=None if instance.encoding else instance.search_space,
    ),
}
"""Name to what makes a sampler for an instance and a seed."""
