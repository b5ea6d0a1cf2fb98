"""Optuna's own samplers by name, with arguments that suit a search of about 100 trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from optuna_layerwise.samplers._algorithm import Encoding
from optuna_layerwise.samplers.replayed_cmaes import ReplayedCmaEsSampler


def random(encoding: Encoding, *, seed: int, **options: Any) -> BaseSampler:
    """Independent draws."""
    return RandomSampler(seed=seed, **options)


def tpe(encoding: Encoding, *, seed: int, **options: Any) -> BaseSampler:
    """Tree-structured Parzen estimators."""
    return TPESampler(seed=seed, **options)


def gp(encoding: Encoding, *, seed: int, **options: Any) -> BaseSampler:
    """A Gaussian process with its expected improvement."""
    return GPSampler(seed=seed, **options)


def nsga2(encoding: Encoding, *, seed: int, **options: Any) -> BaseSampler:
    """A genetic algorithm; Optuna's population of 50 would see two generations of 100 trials."""
    return NSGAIISampler(seed=seed, **{"population_size": 20, **options})


def cmaes(encoding: Encoding, *, seed: int, **options: Any) -> BaseSampler:
    """CMA-ES; it begins anywhere, since Optuna deprecates the option to say where.

    Raises:
        ValueError: for an encoding with categories, which it would draw at random.
    """
    space = encoding.search_space
    if categories := [n for n, d in space.items() if isinstance(d, CategoricalDistribution)]:
        raise ValueError(
            "sampler cmaes cannot search categories, and this encoding has "
            f"{', '.join(categories[:3])}{', ...' if len(categories) > 3 else ''}; choose "
            "--encoding continuous, continuous-multiplier or biotune, or --sampler catcmawm"
        )
    return ReplayedCmaEsSampler(seed=seed, **options)


OPTUNA_SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "cmaes": cmaes,
    "gp": gp,
    "nsga2": nsga2,
    "random": random,
    "tpe": tpe,
}
"""Name to a function of the encoding, the seed and the sampler's own options."""
