"""Optuna parameters as genes in [0, 1] and back, as native Python values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def n_choices(distribution: BaseDistribution) -> int:
    """Number of unordered categories, 0 for an ordered parameter."""
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 0


def to_gene(value: Any, distribution: BaseDistribution) -> float:
    """The gene of a value; levels sit at the centre of their cell, NaN if it has none."""
    if isinstance(distribution, CategoricalDistribution):
        try:
            return (distribution.to_internal_repr(value) + 0.5) / len(distribution.choices)
        except ValueError:
            return math.nan
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, margin = _bounds(distribution)
    if distribution.log and value <= 0:
        return math.nan
    gene = (_scale(distribution, value) - low + margin) / (high - low + 2 * margin)
    return min(max(float(gene), 0.0), 1.0)


def from_gene(gene: float, distribution: BaseDistribution) -> Any:
    """The value of a gene in [0, 1]: float, int or the category itself, always in range."""
    if isinstance(distribution, CategoricalDistribution):
        n = len(distribution.choices)
        return distribution.choices[min(int(gene * n), n - 1)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, margin = _bounds(distribution)
    scaled = low - margin + float(gene) * (high - low + 2 * margin)
    value: float = math.exp(scaled) if distribution.log else scaled
    if distribution.step is not None:
        steps = round((distribution.high - distribution.low) / distribution.step)
        step = int(np.clip(round((value - distribution.low) / distribution.step), 0, steps))
        value = distribution.low + step * distribution.step
    value = min(max(value, distribution.low), distribution.high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _scale(distribution: FloatDistribution | IntDistribution, value: float) -> float:
    return math.log(value) if distribution.log else value


def _bounds(distribution: FloatDistribution | IntDistribution) -> tuple[float, float, float]:
    """Low and high on the searched scale, and the half cell that a level has beyond them."""
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution) and distribution.log:
        return math.log(low - 0.5), math.log(high + 0.5), 0.0
    margin = 0.0 if distribution.step is None else distribution.step / 2
    return _scale(distribution, low), _scale(distribution, high), margin
