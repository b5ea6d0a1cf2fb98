"""A synthetic instance as a problem to search, with the same noise for every sampler."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from benchmarks.sampling.problems import Instance, observe


@dataclasses.dataclass(frozen=True)
class Noisy:
    """An instance whose trials have noise that depends on the seed and their number alone."""

    instance: Instance
    seed: int

    @property
    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Parameter name to distribution."""
        return self.instance.search_space

    def observe(self, params: Mapping[str, Any], number: int) -> tuple[float, float]:
        """Value and tie."""
        noise = np.random.Generator(np.random.Philox(key=[self.seed, 1 + number]))
        return observe(self.instance, params, noise)

    def duration(self, params: Mapping[str, Any]) -> float:
        """Of the policy."""
        return self.instance.duration(params)
