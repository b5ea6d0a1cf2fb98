"""Optuna parameters as genes in [0, 1] and back, as native Python values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

MANY_LEVELS = 128
"""With more values than this a number is searched as if it were continuous."""


def n_choices(distribution: BaseDistribution) -> int:
    """Number of unordered categories, 0 for an ordered parameter."""
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 0


def n_levels(distribution: BaseDistribution) -> int:
    """Number of equally wide levels or categories, 0 on a continuous or logarithmic scale."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.log or distribution.step is None:
        return 0
    return round((distribution.high - distribution.low) / distribution.step) + 1


def grid(distribution: BaseDistribution) -> tuple[float, ...]:
    """The genes of a number's values, ascending; none where it is continuous, or has too many."""
    if isinstance(distribution, CategoricalDistribution):
        return ()
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, step = distribution.low, distribution.step
    if step is None or (distribution.high - low) / step >= MANY_LEVELS:
        return ()
    n = round((distribution.high - low) / step) + 1
    return tuple(to_gene(low + level * step, distribution) for level in range(n))


def in_range(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is a choice, or a number between the ends, on a level or not."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of the distribution's."""
    if isinstance(distribution, CategoricalDistribution) or not in_range(distribution, value):
        return in_range(distribution, value)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    level = from_gene(to_gene(value, distribution), distribution)
    return distribution.step is None or math.isclose(level, value, abs_tol=1e-8)


def native(value: Any, distribution: BaseDistribution) -> Any:
    """A value that the distribution contains, in its own type: float, int or the category."""
    continuous = isinstance(distribution, FloatDistribution) and distribution.step is None
    return float(value) if continuous else from_gene(to_gene(value, distribution), distribution)


def to_gene(value: Any, distribution: BaseDistribution) -> float:
    """The gene of a value; levels sit at the centre of their cell, NaN if it has none."""
    if isinstance(distribution, CategoricalDistribution):
        try:
            return (distribution.to_internal_repr(value) + 0.5) / len(distribution.choices)
        except ValueError:
            return math.nan
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not isinstance(value, int | float) or math.isnan(value):
        return math.nan
    if levels := n_levels(distribution):
        level = round((value - distribution.low) / (distribution.step or 1))
        return (min(max(level, 0), levels - 1) + 0.5) / levels
    if distribution.log and value <= 0:
        return math.nan
    low, high = _bounds(distribution)
    gene = ((math.log(value) if distribution.log else value) - low) / ((high - low) or 1)
    return min(max(gene, 0.0), 1.0)


def from_gene(gene: float, distribution: BaseDistribution) -> Any:
    """The value of a gene in [0, 1]: float, int or the category itself, always in range."""
    return decoder(distribution)(gene)


def decoder(distribution: BaseDistribution) -> Callable[[float], Any]:
    """`from_gene` of one distribution, for many genes."""
    if isinstance(distribution, CategoricalDistribution):
        choices, last = distribution.choices, len(distribution.choices) - 1
        return lambda gene: choices[min(int(gene * (last + 1)), last)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    least, most = distribution.low, distribution.high
    levels, step, log = n_levels(distribution), distribution.step or 1, distribution.log
    low, high = _bounds(distribution)
    whole = isinstance(distribution, IntDistribution)

    def decode(gene: float) -> float:
        if levels:
            value = least + min(int(gene * levels), levels - 1) * step
        else:
            value = low + float(gene) * (high - low)
            value = math.exp(value) if log else value
        value = round(value) if whole else float(value)
        return min(max(value, least), most)

    return decode


def _bounds(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """Low and high on the searched scale; whole numbers have half a level beyond them."""
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        low, high = low - 0.5, high + 0.5
    return (math.log(low), math.log(high)) if distribution.log else (low, high)
