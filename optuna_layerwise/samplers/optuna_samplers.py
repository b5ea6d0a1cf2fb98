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


def _any(kind: Callable[..., BaseSampler], **usual: Any) -> Callable[..., BaseSampler]:
    """A sampler that takes any encoding, with options that differ from its defaults."""
    return lambda encoding, **options: kind(**{**usual, **options})


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
    "gp": _any(GPSampler),
    "nsga2": _any(NSGAIISampler, population_size=20),  # 50 would leave 100 trials two generations
    "random": _any(RandomSampler),
    "tpe": _any(TPESampler),
}
"""Name to a function of the encoding, the seed and the sampler's own options."""
