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

    Fields of a recipe that are categories, which it cannot search, are left to TPE.

    Raises:
        ValueError: for an encoding with categories for its blocks.
    """
    tuned = getattr(encoding, "tuned", {})
    categories = [
        name
        for name, distribution in encoding.search_space.items()
        if isinstance(distribution, CategoricalDistribution)
    ]
    if of_blocks := [name for name in categories if name not in tuned]:
        raise ValueError(
            "sampler cmaes cannot search categories, and this encoding has "
            f"{', '.join(of_blocks[:3])}{', ...' if len(of_blocks) > 3 else ''}; choose "
            "--encoding continuous, continuous-multiplier or biotune, or --sampler catcmawm"
        )
    beside: dict[str, Any] = {}
    if categories:
        beside = {
            "independent_sampler": TPESampler(seed=seed),
            "warn_independent_sampling": False,
        }
    return ReplayedCmaEsSampler(seed=seed, **{**beside, **options})


OPTUNA_SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "cmaes": cmaes,
    "gp": _any(GPSampler),
    "nsga2": _any(NSGAIISampler, population_size=20),  # 50 would leave 100 trials two generations
    "random": _any(RandomSampler),
    "tpe": _any(TPESampler),
}
"""Name to a function of the encoding, the seed and the sampler's own options."""
