"""Optuna's own samplers by name, with arguments that suit a search of about 100 trials."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from optuna_layerwise.encodings import Encoding

_STATE = {
    *(("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM")),
    *(("numpy", "ndarray"), ("numpy", "dtype")),
    *(
        (f"{module}.multiarray", name)
        for module in ("numpy.core", "numpy._core")
        for name in ("_reconstruct", "scalar")
    ),
}
"""Module and name of all that a stored state of CMA-ES is made of."""


class _StateReader(pickle.Unpickler):
    """Reads a state, and refuses what would run anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STATE:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


class _PlainCmaEsSampler(CmaEsSampler):
    """Optuna's, which keeps its state as pickles in the database: others are passed over."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            key = self._attr_key_optimizer
            attrs = {k: value for k, value in trial.system_attrs.items() if k.startswith(key)}
            if not attrs:
                continue
            try:
                content = bytes.fromhex(self._concat_optimizer_attrs(attrs))
                return _StateReader(io.BytesIO(content)).load()
            except Exception as error:  # unpickling raises almost anything
                text = f"trial {trial.number} has a state of CMA-ES that cannot be read ({error})"
                warnings.warn(f"{text}; an earlier one is taken", stacklevel=2)
        return None


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
    return _PlainCmaEsSampler(seed=seed, **options)


OPTUNA_SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "cmaes": cmaes,
    "gp": gp,
    "nsga2": nsga2,
    "random": random,
    "tpe": tpe,
}
"""Name to a function of the encoding, the seed and the sampler's own options."""
