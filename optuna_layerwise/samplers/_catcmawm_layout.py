"""Which genes of a search space are which variables of CatCMAwM."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from optuna_layerwise.samplers._algorithm import Genes, Mask, Space


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which genes are what.

    Args:
        numbers: Continuous genes, then those with more than two levels.
        n_continuous: How many of them are continuous.
        names: Their names.
        ends: Their lowest and their highest genes [2, n].
        choices: Categories, and numbers with two levels, which are categories as well.
        values: For each of these the genes of its choices.
        self_gated: Mask [n] of genes that decide themselves whether they have an effect, such as
            an importance below the threshold: that they have none is an outcome of theirs.
    """

    numbers: npt.NDArray[np.intp]
    n_continuous: int
    names: tuple[str, ...]
    ends: Genes
    choices: npt.NDArray[np.intp]
    values: tuple[Genes, ...]
    self_gated: Mask


def lay_out(space: Space) -> Layout:
    """Sort the genes of a space by what they are."""
    n_values = [k or len(grid) for k, grid in zip(space.choices, space.grid, strict=True)]
    genes = range(len(n_values))
    continuous = [k for k in genes if n_values[k] == 0]
    levels = [k for k in genes if not space.choices[k] and n_values[k] > 2]
    choices = [k for k in genes if space.choices[k] or n_values[k] == 2]
    values = tuple(
        (np.arange(n_values[k]) + 0.5) / n_values[k]
        if space.choices[k]
        else np.array(space.grid[k])
        for k in choices
    )
    numbers = np.array([*continuous, *levels], dtype=int)
    ends = [(space.grid[k][0], space.grid[k][-1]) if n_values[k] else (0.0, 1.0) for k in numbers]
    return Layout(
        numbers,
        len(continuous),
        tuple(space.names[k] for k in numbers),
        np.array(ends).reshape(-1, 2).T,
        np.array(choices, dtype=int),
        values,
        self_gated(space),
    )


def self_gated(space: Space) -> Mask:
    """Genes whose own value decides whether they have an effect, tried at some points."""
    n = len(space.names)
    generator = np.random.Generator(np.random.Philox(key=0))
    gated = np.zeros(n, dtype=bool)
    for point in (np.full(n, 0.5), *generator.random((1, n))):
        for k in range(n):
            effects = set()
            for value in (0.0, 1.0, *((np.arange(m := space.choices[k]) + 0.5) / max(m, 1))):
                moved = point.copy()
                moved[k] = value
                effects.add(bool(space.active(moved)[k]))
            gated[k] |= len(effects) > 1
    return gated
