"""CatCMA with margin, on the pure algorithm."""

from __future__ import annotations

import cmaes
import numpy as np
import pytest
from members import Serial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_layerwise.samplers._algorithm import Genes, Space
from optuna_layerwise.samplers._catcmawm_model import Model
from optuna_layerwise.samplers._replay import make_space
from optuna_layerwise.samplers.catcmawm import PRESETS, State

PAPER = PRESETS["paper"]

FLOATS = {f"x{i}": FloatDistribution(-1, 3) for i in range(4)}
INTS = {f"n{i}": IntDistribution(1, 7) for i in range(3)}
CATEGORIES = {f"c{i}": CategoricalDistribution(["a", "b", "c"][: 2 + i % 2]) for i in range(4)}
SPACES: dict[str, dict[str, BaseDistribution]] = {
    "one float": {"x0": FloatDistribution(-1, 3)},
    "floats": FLOATS,
    "ints": INTS,
    "categories": CATEGORIES,
    "mixed": {**FLOATS, **INTS, **CATEGORIES},
}


def model_of(state: State) -> Model:
    assert state.model is not None
    return state.model


def by_hand(space: Space, population: int) -> cmaes.CatCMAwM:
    """The library's optimizer with its own start; order of variables is that of the names."""
    kinds = list(zip(space.choices, space.grid, strict=True))
    return cmaes.CatCMAwM(
        x_space=[[0.0, 1.0] for k, grid in kinds if not k and not grid] or None,
        z_space=[list(grid) for k, grid in kinds if grid] or None,
        c_space=[k for k, _ in kinds if k] or None,
        population_size=population,
    )


def optimum(genes: Genes) -> float:
    return float((np.arange(1, len(genes) + 1) * (genes - 0.4) ** 2).sum())


@pytest.mark.parametrize("name", SPACES)
def test_thirty_generations_equal_cmaes_driven_by_hand_bit_for_bit(name: str) -> None:
    space = make_space(SPACES[name], None)
    search = Serial(PAPER, space, seed=3)
    library = by_hand(space, PAPER.population)
    for generation in range(30):
        draws = search.ask()
        costs = [optimum(draw.genes) + 1e-9 * i for i, draw in enumerate(draws)]  # none tie
        layout = search.state.layout
        solutions = []
        for draw in draws:
            raw = np.array([draw.facts["raw"][space.names[k]] for k in layout.numbers])
            one_hot = [
                np.arange(max(space.choices)) == int(draw.genes[k] * space.choices[k])
                for k in layout.choices
            ]
            solutions.append(cmaes.CatCMAwM.Solution(c=np.array(one_hot), _v_raw=raw))
        library.ask()
        order = np.argsort(costs, kind="stable")
        ranks = np.argsort(order).astype(float)
        library.tell(list(zip(solutions, ranks.tolist(), strict=True)))
        search.tell(draws, costs)
        ours = model_of(search.state)
        for field in ("_mean", "_C", "_sigma", "_A", "_pc", "_p_sigma", "_q", "_delta"):
            if hasattr(library, field):
                mine, theirs = getattr(ours, field), getattr(library, field)
                assert np.array_equal(mine, theirs), (generation, field)
