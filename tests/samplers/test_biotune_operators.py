from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import cube, member

from optuna_layerwise.samplers._algorithm import Member
from optuna_layerwise.samplers._biotune_operators import (
    adapt,
    crossover,
    extinction_factors,
    immigrant,
    mutate,
    mutation_probability,
    probeable,
    rank_weights,
)
from optuna_layerwise.samplers._rng import TrialRng

COSTS = st.lists(st.integers(0, 64), min_size=2, max_size=10).map(
    lambda levels: [level / 64 for level in sorted(levels)]  # 1 - cost is exact
)
SEEDS = st.integers(0, 10**6)
NUMERIC = np.zeros(4, dtype=bool)


def population(costs: Sequence[float | None]) -> list[Member]:
    return [member(i, np.zeros(1), cost) for i, cost in enumerate(costs)]


def literal(costs: Sequence[float]) -> list[float]:
    """BioTune's formula, term by term."""
    m, low, high = len(costs), min(costs), max(costs)
    return [(f + low * (i / (m - 1) - 1)) / high for i, f in enumerate(costs)]


def test_unit_extinction_is_the_papers_example() -> None:
    costs = [0.09, 0.10, 0.12, 0.13, 0.14, 0.16, 0.19, 0.26, 0.46, 0.70]
    factors = extinction_factors(population(costs), "unit")
    assert factors is not None
    assert factors == pytest.approx(literal(costs))
    assert (factors[0], factors[-1]) == (0.0, 1.0)


@given(COSTS)
def test_unit_extinction_is_the_literal_formula_and_the_same_for_maximised_accuracies(
    costs: list[float],
) -> None:
    minimised = extinction_factors(population(costs), "unit")
    maximised = extinction_factors(population([cost - 1 for cost in costs]), "unit")
    if costs[0] == costs[-1]:
        assert minimised is None and maximised is None
    else:
        assert minimised == pytest.approx(literal(costs), abs=1e-12)
        assert maximised == pytest.approx(minimised, abs=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=10, unique=True).map(sorted))
def test_range_extinction_ignores_shift_and_scale(costs: list[float]) -> None:
    if costs[-1] - costs[0] < 1e-3:
        return
    factors = extinction_factors(population(costs), "range")
    moved = extinction_factors(population([3 * cost - 7 for cost in costs]), "range")
    assert factors is not None and moved is not None
    assert (factors[0], factors[-1]) == (0, 1)
    assert moved == pytest.approx(factors, abs=1e-6)


@pytest.mark.parametrize("mode", ["range", "unit"])
@pytest.mark.parametrize("costs", [[0.3, 0.3, 0.3], [0.0, 0.0], [-0.5, -0.5], [None, None]])
def test_equal_costs_leave_the_old_factors(mode: str, costs: list[float | None]) -> None:
    assert extinction_factors(population(costs), mode) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["range", "unit", "rank"])
def test_best_is_0_worst_is_1_and_the_order_is_kept(mode: str) -> None:
    members = [
        *population([0.1, 0.2, 0.2, 0.9]),
        member(4, np.zeros(1), 0.05, pruned=True),
        member(5, np.zeros(1), None),
    ]
    factors = extinction_factors(members, mode)  # type: ignore[arg-type]
    assert factors is not None
    assert factors[0] == 0 and factors[-1] == 1
    assert (np.diff(factors) >= 0).all()


def test_failed_and_pruned_members_do_not_stretch_the_range() -> None:
    members = [*population([1.0, 2.0, 3.0]), member(3, np.zeros(1), 1e9, pruned=True)]
    members.append(member(4, np.zeros(1), None))
    assert extinction_factors(members, "range") == pytest.approx([0, 0.5, 1, 1, 1])


@pytest.mark.parametrize("amplitude, p", [(0.05, 0.186), (0.3, 0.400), (0.6, 0.657)])
def test_mutation_probability_of_seven_genes(amplitude: float, p: float) -> None:
    assert mutation_probability(amplitude, 7) == pytest.approx(p, abs=5e-4)


def test_mutation_probability_is_1_over_n_for_the_best_and_1_for_the_worst() -> None:
    assert mutation_probability(0.0, 7) == pytest.approx(1 / 7)
    assert mutation_probability(1.0, 7) == 1.0


def test_rank_weights_of_ten() -> None:
    linear = np.arange(10, 0, -1)
    assert rank_weights(10) == pytest.approx(linear / 55)
    code = np.array([12, 10, 9, 8, 7, 6, 5, 4, 3, 1])
    assert rank_weights(10, compat=True) == pytest.approx(code / 65)


@pytest.mark.parametrize("m", range(1, 12))
@pytest.mark.parametrize("compat", [False, True])
def test_rank_weights_are_a_falling_distribution(m: int, compat: bool) -> None:
    weights = rank_weights(m, compat=compat)
    assert len(weights) == m and weights.sum() == pytest.approx(1)
    assert (np.diff(weights) < 0).all()


@given(SEEDS)
def test_crossover_lies_between_the_parents_gene_by_gene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(4), rng.random(4)
    child = crossover(a, b, NUMERIC, rng)
    assert (child >= np.minimum(a, b) - 1e-15).all() and (child <= np.maximum(a, b) + 1e-15).all()
    shares = (child - b) / (a - b)
    assert len(set(np.round(shares, 6))) == 4, "each gene has its own weight"


@given(SEEDS)
def test_without_amplitude_nothing_mutates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genes = rng.random(4)
    assert (mutate(genes, 0.0, [0, 0, 3, 2], rng) == genes).all()


@given(SEEDS, st.floats(0.01, 1))
def test_mutation_moves_at_most_its_amplitude_and_stays_in_the_cube(
    seed: int, amplitude: float
) -> None:
    rng = np.random.default_rng(seed)
    genes = rng.random(4)
    moved = mutate(genes, amplitude, [0] * 4, rng)
    assert (np.abs(moved - genes) <= amplitude).all()
    assert (moved >= 0).all() and (moved <= 1).all()


@given(SEEDS)
def test_adaptation_lies_in_the_hull_of_child_parents_mean_and_prototype(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genes, a, b, c = rng.random((4, 4))
    corners = np.stack([genes, (a + b) / 2, c])
    adapted = adapt(genes, a, b, c, NUMERIC, rng)
    assert (adapted >= corners.min(0) - 1e-15).all()
    assert (adapted <= corners.max(0) + 1e-15).all()


@given(SEEDS)
def test_operators_turn_categories_into_categories(seed: int) -> None:
    rng = np.random.default_rng(seed)
    choices = np.array([2, 3, 5, 7])
    categorical = np.ones(4, dtype=bool)
    a, b, c = (np.floor(rng.random((3, 4)) * choices) + 0.5) / choices
    child = crossover(a, b, categorical, rng)
    assert ((child == a) | (child == b)).all()
    pulled = adapt(child, a, b, c, categorical, rng)
    assert ((pulled == child) | (pulled == c)).all()
    mutated = mutate(child, 1.0, choices.tolist(), rng)
    cells = mutated * choices - 0.5
    assert cells == pytest.approx(np.round(cells))


def test_immigrant_is_valid() -> None:
    space = cube(2, valid=lambda genes: bool(genes.sum() > 1.5))
    for index in range(50):
        assert immigrant(space, TrialRng(0, 0, index)).sum() > 1.5


def test_immigrant_of_a_space_with_no_valid_point_is_still_a_point() -> None:
    genes = immigrant(cube(2, valid=lambda genes: False), TrialRng(0, 0, 0))
    assert ((genes >= 0) & (genes < 1)).all()


def test_gate_is_probed_only_where_no_other_gene_is_active() -> None:
    space = cube(3, gates=[2], active=lambda genes: np.array([False, True, True]))
    assert probeable(space, np.zeros(3)).tolist() == [False, True, False]
    space = cube(3, gates=[2], active=lambda genes: np.array([False, False, True]))
    assert probeable(space, np.zeros(3)).tolist() == [False, False, True]
    space = cube(3, gates=[2], active=lambda genes: np.zeros(3, dtype=bool))
    assert probeable(space, np.zeros(3)).tolist() == [True, True, True]
