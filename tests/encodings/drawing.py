"""Strategies over any encoding: layouts, and parameters of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)

from optuna_layerwise.encodings import Encoding


def names(n: int) -> list[str]:
    return [*(f"block{i}" for i in range(n - 1)), "head"]


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of an encoding besides mask and rate."""
    return {
        "blocks": tuple(names(draw(st.integers(2, 12)))),
        "head": draw(st.sampled_from(["always", "search"])),
        "lr": draw(st.sampled_from([1e-3, 3e-3, 1e-4, 0.1, 0.7])),
    }


def value(distribution: BaseDistribution) -> st.SearchStrategy[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return st.sampled_from(distribution.choices)
    assert isinstance(distribution, FloatDistribution)
    return st.floats(distribution.low, distribution.high)


def parameters(space: Mapping[str, BaseDistribution]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: value(d) for name, d in space.items()})


def policies(encoding: Encoding) -> st.SearchStrategy[dict[str, float]]:
    """Any policies, most of which few encodings can express."""
    n = len(encoding.blocks)
    values = st.lists(st.just(0.0) | st.floats(1e-4, 1e3), min_size=n, max_size=n)
    return values.map(lambda drawn: dict(zip(encoding.blocks, drawn, strict=True)))
