"""CatCMA with margin, on the pure algorithm."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import cmaes
import numpy as np
import pytest
from members import Serial, cube, member
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.special import ndtr

from optuna_layerwise.samplers import CatCMAwMSampler
from optuna_layerwise.samplers._algorithm import Genes, Member, Space
from optuna_layerwise.samplers._catcmawm_layout import lay_out
from optuna_layerwise.samplers._catcmawm_model import Model
from optuna_layerwise.samplers._catcmawm_start import Start
from optuna_layerwise.samplers._replay import make_space
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers.catcmawm import PRESETS, CatCMA, State

PAPER = PRESETS["paper"]

FLOATS = {f"x{i}": FloatDistribution(-1, 3) for i in range(4)}
INTS = {f"n{i}": IntDistribution(1, 7) for i in range(3)}
CATEGORIES = {f"c{i}": CategoricalDistribution(range(n)) for i, n in enumerate((2, 3, 2, 11))}
SPACES: dict[str, dict[str, BaseDistribution]] = {
    "one float": {"x0": FloatDistribution(-1, 3)},
    "floats": FLOATS,
    "one int": {"n0": IntDistribution(1, 3)},
    "ints": INTS,
    "short and long ints": {"n0": IntDistribution(0, 2), "n1": IntDistribution(0, 40), **INTS},
    "one bit": {"c0": CategoricalDistribution([False, True])},
    "categories": CATEGORIES,
    "a float and a bit": {"x0": FloatDistribution(-1, 3), "c0": CATEGORIES["c0"]},
    "floats and ints": {**FLOATS, **INTS},
    "floats and categories": {**FLOATS, **CATEGORIES},
    "ints and categories": {**INTS, **CATEGORIES},
    "mixed": {**FLOATS, **INTS, **CATEGORIES},
    "mixed, many": {f"{k}{i}": d for i in range(3) for k, d in {**FLOATS, **INTS}.items()}
    | CATEGORIES,
}


def model_of(state: State) -> Model:
    assert state.model is not None
    return state.model


def by_hand(space: Space, population: int) -> cmaes.CatCMAwM:
    """The library's optimizer with its own start; order of variables is that of the names."""
    kinds = list(zip(space.choices, space.grid, strict=True))
    grids = [list(grid) for k, grid in kinds if grid]
    library = cmaes.CatCMAwM(
        x_space=[[0.0, 1.0] for k, grid in kinds if not k and not grid] or None,
        z_space=grids or None,
        c_space=[k for k, _ in kinds if k] or None,
        population_size=population,
    )
    for thresholds, grid in zip(library._z_lim if grids else [], grids, strict=True):
        # It pads short rows with their highest level, which makes a cell of its own above it and
        # loses the margin below; a repeated last threshold has no such cell.
        thresholds[len(grid) - 1 :] = thresholds[len(grid) - 2]
    return library


def optimum(genes: Genes) -> float:
    return float((np.arange(1, len(genes) + 1) * (genes - 0.4) ** 2).sum())


def same_number(ours: Genes, theirs: Genes) -> bool:
    """To the last bit with the cmaes that drew the studies of version 0.1.0."""
    if version("cmaes").startswith("0.13."):
        return np.array_equal(ours, theirs)
    return np.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


LARGE = ["one float", "one int", "mixed, many"]
"""From 8 parents on numpy sums pairs of pairs, if the memory is laid out for that."""


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "name, population", [(n, 10) for n in SPACES] + [("mixed", 4)] + [(n, 21) for n in LARGE]
)
def test_thirty_generations_draw_what_cmaes_draws(name: str, population: int) -> None:
    space = make_space(SPACES[name], None)
    search = Serial(dataclasses.replace(PAPER, population=population), space, seed=3)
    library, layout = by_hand(space, population), search.state.layout
    for generation in range(31):
        draws, solutions = search.ask(), []
        for i, draw in enumerate(draws):
            rng = TrialRng(3, generation, i)("draw/0")
            library.reseed_rng(rng.integers(2**32, size=4, dtype=np.uint32))
            theirs = library.ask()
            numbers = [part for part in (theirs.x, theirs.z) if part is not None]
            if numbers:
                raw = np.array([draw.facts["raw"][name] for name in layout.names])
                assert same_number(raw, theirs._v_raw)
                assert same_number(draw.genes[layout.numbers], np.concatenate(numbers))
            for k, row in zip(
                layout.choices, theirs.c if len(layout.choices) else (), strict=True
            ):
                assert int(draw.genes[k] * space.choices[k]) == row.argmax()
            solutions.append(theirs)
        costs = [optimum(draw.genes) + 1e-9 * i for i, draw in enumerate(draws)]  # none tie
        ranks = np.argsort(np.argsort(costs, kind="stable")).astype(float)
        library.tell(list(zip(solutions, ranks.tolist(), strict=True)))
        search.tell(draws, costs)
    assert search.state.restarts == 0


def fields(state: State) -> list[Any]:
    parts = (model_of(state).numbers, model_of(state).categories)
    return [*(x for part in parts if part for x in dataclasses.astuple(part)), state.restarts]


def assert_same(a: State, b: State) -> None:
    for one, other in zip(fields(a), fields(b), strict=True):
        assert np.array_equal(one, other)


MIXED = cube(6, choices=[0, 0, 0, 0, 3, 2], levels=[0, 0, 5, 2, 3, 2])
"""Two numbers, five levels, two levels, two categories."""


def test_two_levels_are_a_category_and_more_are_levels() -> None:
    layout = CatCMA().start(MIXED).layout
    assert layout.numbers.tolist() == [0, 1, 2] and layout.n_continuous == 2
    assert layout.choices.tolist() == [3, 4, 5]


def test_asking_and_telling_leave_a_state_as_it_was() -> None:
    search = Serial(CatCMA(), MIXED)
    search.run(optimum, generations=5)
    before = copy.deepcopy(search.state)
    draws = search.ask()
    search.ask()
    search.tell(draws, [optimum(draw.genes) for draw in draws])
    assert_same(search.states[-2], before)
    again = search.algorithm.tell(before, 5, search.cohorts[-1])
    assert_same(search.state, again)


def test_facts_are_json_and_states_are_the_same_from_their_text() -> None:
    search = Serial(CatCMA(), MIXED)
    search.run(optimum, generations=12)
    state = search.algorithm.start(MIXED)
    for k, cohort in enumerate(search.cohorts):
        read = [dataclasses.replace(m, facts=json.loads(json.dumps(m.facts))) for m in cohort]
        state = search.algorithm.tell(state, k, read)
    assert_same(state, search.state)


@pytest.mark.parametrize("outcome", [0.25, None])
def test_cohort_that_ties_or_fails_as_a_whole_leaves_the_state_as_it_is(
    outcome: float | None,
) -> None:
    search = Serial(CatCMA(), MIXED)
    search.run(optimum, generations=3)
    before = search.state
    for _ in range(50):
        search.tell(search.ask(), [outcome] * 10)
    assert_same(search.state, before)


def test_only_the_order_of_costs_counts() -> None:
    states = []
    for scale in (np.exp, np.sqrt, lambda cost: 1e300 * cost):
        search = Serial(CatCMA(), MIXED)
        search.run(lambda genes, scale=scale: float(scale(optimum(genes))), generations=20)
        states.append(search.state)
    assert_same(states[0], states[1])
    assert_same(states[0], states[2])


def tell(state: State, members: Sequence[Member]) -> State:
    return CatCMA().tell(state, 0, members)


def test_failed_and_pruned_members_rank_last_and_missing_ones_have_no_point() -> None:
    search = Serial(CatCMA(), MIXED)
    draws = search.ask()
    members = [member(i, d.genes, float(i), facts=d.facts) for i, d in enumerate(draws)]
    worst = [
        *members[:7],
        member(7, draws[7].genes, -9.0, facts=draws[7].facts, pruned=True),
        member(8, draws[8].genes, None, facts=draws[8].facts),
        member(9, draws[9].genes, None, facts=draws[9].facts),
    ]
    assert_same(tell(search.state, members), tell(search.state, worst))
    missing = [*members[:8], *(member(i, np.full(6, np.nan), None) for i in (8, 9))]
    assert not np.array_equal(
        model_of(tell(search.state, missing)).std, model_of(tell(search.state, members)).std
    )
    assert_same(tell(search.state, missing), tell(search.state, members[:8]))


def test_more_members_than_the_population_are_told_the_best() -> None:
    search = Serial(CatCMA(), MIXED)
    draws = search.ask()
    members = [member(i, d.genes, float(i), facts=d.facts) for i, d in enumerate(draws)]
    worse = [dataclasses.replace(m, order=m.order._replace(cost=99.0)) for m in members]
    more = [*members, *worse]
    assert_same(tell(search.state, more), tell(search.state, members))


def test_members_of_somebody_else_are_told_where_they_were_executed() -> None:
    """Told without facts, a draw inside of the box counts as what it is."""
    search = Serial(CatCMA(), cube(3))
    draws = search.ask()
    raw = np.array([list(draw.facts["raw"].values()) for draw in draws])
    assert np.array_equal(raw, [draw.genes for draw in draws]), "all were inside"
    own = [member(i, d.genes, float(i), facts=d.facts) for i, d in enumerate(draws)]
    foreign = [dataclasses.replace(m, facts=None) for m in own]
    assert_same(tell(search.state, own), tell(search.state, foreign))


def test_facts_that_contradict_what_was_executed_are_not_believed() -> None:
    search = Serial(CatCMA(), MIXED)
    draws = search.ask()
    executed = [MIXED.executed(np.clip(draw.genes + 0.21, 0, 1)) for draw in draws]
    lied = [member(i, g, float(i), facts=draws[i].facts) for i, g in enumerate(executed)]
    honest = [dataclasses.replace(m, facts=None) for m in lied]
    assert_same(tell(search.state, lied), tell(search.state, honest))
    for broken in ({"raw": None}, {"raw": {"g0": "x"}}, {"raw": {"g0": float("inf")}}, {"v": 1}):
        broke = [dataclasses.replace(m, facts=broken) for m in lied]
        assert_same(tell(search.state, broke), tell(search.state, honest))


def far(state: State, cost: float = -1.0) -> State:
    """After a cohort with the best point at the corner, which somebody else proposed."""
    draws = [CatCMA().ask(state, 0, i, TrialRng(7, 0, i)) for i in range(9)]
    members = [member(i, d.genes, float(i), facts=d.facts) for i, d in enumerate(draws)]
    return tell(state, [*members, member(9, np.ones(len(draws[0].genes)), cost)])


def test_point_far_from_a_narrow_distribution_neither_breaks_nor_inflates_it() -> None:
    search = Serial(CatCMA(), cube(4))
    search.run(lambda genes: float(((genes - 0.3) ** 2).sum()), generations=60)
    before, after = model_of(search.state), model_of(far(search.state))
    assert before.std.max() < 1e-4
    assert (after.std < 6 * before.std).all()
    assert np.linalg.norm(after.mean - 1) < np.linalg.norm(before.mean - 1)


def test_first_points_of_somebody_else_count_as_they_are() -> None:
    fresh = CatCMA().start(cube(4))
    corner = np.tile(np.ones(4), (10, 1))
    assert np.array_equal(model_of(fresh)._within_reach(corner), corner)


HALF = cube(4, active=lambda genes: np.array([True, True, genes[0] > 2, genes[0] > 2]))
"""The last two genes never have an effect."""


@pytest.mark.parametrize("levels", [0, 7])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_gene_without_effect_keeps_its_mean_and_deviation(covariance: Any, levels: int) -> None:
    space = dataclasses.replace(cube(4, levels=[0, 0, levels, levels]), active=HALF.active)
    search = Serial(CatCMA(covariance=covariance), space)
    start = model_of(search.state)
    search.run(lambda genes: float(((genes[:2] - 0.3) ** 2).sum()), generations=40)
    end = model_of(search.state)
    assert search.state.restarts == 0
    assert end.std[:2].max() < 5e-3, "the others have converged"
    if not levels:
        assert end.mean[2:] == pytest.approx(start.mean[2:], abs=1e-12)
        assert end.std[2:] == pytest.approx(start.std[2:], rel=1e-6)
    else:  # the margin sees to its own
        assert np.abs(end.mean[2:] - start.mean[2:]).max() < 1 / 14, "the same level"
        assert (end.std[2:] > start.std[2:] / 3).all()


@pytest.mark.slow
def test_genes_without_effect_do_not_slow_or_hasten_the_others() -> None:
    """With costs that have nothing to do with the genes, deviations are those of active ones."""
    ends = []
    for space in (cube(4), HALF):
        for seed in range(8):
            search, order = Serial(CatCMA(), space, seed=seed), np.random.default_rng(seed)
            for _ in range(30):
                search.tell(search.ask(), order.permutation(10).astype(float).tolist())
            ends.append(np.log(model_of(search.state).std[:2]).mean())
    assert abs(np.mean(ends[:8]) - np.mean(ends[8:])) < 0.8


def test_mean_of_a_gene_moves_only_by_those_that_used_it() -> None:
    """Gene 1 has an effect where gene 0 is high; there it should be low, and it goes there."""
    space = cube(2, active=lambda genes: np.array([True, genes[0] > 0.5]))
    search = Serial(CatCMA(), space)
    search.run(lambda genes: float(genes[1] + 0.1 if genes[0] > 0.5 else 1.0), generations=25)
    assert model_of(search.state).mean[1] < 0.2


def test_importance_below_a_threshold_is_an_outcome_of_the_gene_itself() -> None:
    def active(genes: Genes) -> Any:
        return np.append(genes[:3] > genes[3], True)

    space = cube(4, active=active)
    assert lay_out(space).self_gated.tolist() == [True, True, True, False]
    assert not lay_out(HALF).self_gated.any()
    search = Serial(CatCMA(), space)
    search.run(lambda genes: float(active(genes)[:2].sum() - active(genes)[2]), generations=20)
    end = model_of(search.state).mean
    assert (end[:2] < end[3]).all() and end[2] > end[3], "it learns which to freeze"


def test_category_without_effect_keeps_its_probabilities() -> None:
    space = cube(3, choices=[2, 3, 4], active=lambda genes: np.array([True, True, False]))
    search = Serial(CatCMA(), space)
    search.run(lambda genes: float(genes[0] + genes[1]) + 1e-9 * genes[2], generations=30)
    q = model_of(search.state).probabilities
    assert q[2] == pytest.approx([0.25] * 4, abs=1e-12)
    assert q[0, 0] > 0.8 and q[1, 0] > 0.8
    idle = dataclasses.replace(space, active=lambda genes: np.zeros(3, dtype=bool))
    search = Serial(CatCMA(), idle)
    search.run(optimum, generations=5)
    assert np.array_equal(
        model_of(search.state).probabilities, model_of(search.states[0]).probabilities
    )


@pytest.mark.slow
def test_deviations_stay_below_half_of_the_range_on_a_slope() -> None:
    for space in (cube(3), cube(3, levels=[0, 20, 5])):
        search = Serial(CatCMA(), space)
        order = np.random.default_rng(0)
        for _ in range(80):
            search.tell(search.ask(), order.permutation(10).astype(float).tolist())
        for state in search.states:
            assert model_of(state).std[: state.layout.n_continuous].max() <= 0.5 + 1e-9


@pytest.mark.slow
def test_converged_search_starts_again_elsewhere_and_finds_a_better_basin() -> None:
    def trap(genes: Genes) -> float:
        wide, narrow = ((genes - 0.5) ** 2).sum(), ((genes - 0.12) ** 2).sum()
        return float(min(wide + 0.1, 4 * narrow))

    search = Serial(CatCMA(begin=Start(spread=0.1)), cube(2))
    search.run(trap, generations=300)
    assert search.state.restarts >= 1
    assert min(m.cost for cohort in search.cohorts for m in cohort) < 1e-6


def test_narrow_search_of_equal_values_starts_again() -> None:
    search = Serial(CatCMA(), cube(2))
    search.run(lambda genes: 1e9 + float(((genes - 0.4) ** 2).sum()), generations=100)
    assert search.state.restarts >= 1


def test_levels_of_a_short_range_keep_their_margin_beside_a_long_one() -> None:
    """cmaes pads short rows of levels; at their highest level mutation died out."""
    space = cube(3, levels=[3, 40, 0])
    search = Serial(CatCMA(), space)
    search.run(lambda genes: float(-genes[0] - genes[1] + genes[2] ** 2), generations=60)
    model, short = model_of(search.state), search.state.layout.numbers.tolist().index(0)
    lower = ndtr((2 / 3 - model.mean[short]) / model.std[short])
    margin = 1 - 0.73 ** (1 / 2)  # of two numbers with levels
    assert margin * 0.99 < lower < 0.4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"population": 3}, "population must be at least 4, got 3"),
        ({"population": 4.5}, "population must be a whole number, got 4.5"),
        ({"surrogate": "no"}, "surrogate must be true or false, got 'no'"),
        ({"covariance": "sparse"}, "covariance must be 'full' or 'diagonal', got 'sparse'"),
        ({"spread": 0.7}, "spread must be above 0 and at most 0.5, got 0.7"),
        ({"spread": {"x": 0}}, "spread of 'x' must be above 0"),
        ({"spread": {"y": 0.1}}, "'y' is no parameter of the search space"),
        ({"spread": "wide"}, "spread must be above 0 and at most 0.5, got 'wide'"),
        (
            {"probabilities": {"kind": [math.nan, 0.5, 0.5]}},
            "probabilities of 'kind' must be at least 0",
        ),
        ({"seed_with": {"x": 1.0}}, r"seed_with must be a list of dictionaries, got \{'x': 1.0\}"),
        (
            {"probabilities": {"kind": [0.5, 0.3, 0.3]}},
            "probabilities of 'kind' must be at least 0",
        ),
        ({"preset": "quick"}, "preset must be one of"),
        ({"seed_with": [{"x": 7.0}]}, r"seed_with\[0\] has 'x' = 7.0, which is not a value"),
        ({"mean": {"kind": "a"}}, "'kind' has no mean: it is a category; give probabilities"),
        ({"mean": {"x": 9.0}}, "mean of 'x' is 9.0, which is not in"),
        ({"mean": {"y": 0.0}}, "'y' is no parameter of the search space"),
        ({"probabilities": {"kind": [0.5, 0.5]}}, "'kind' has 3 choices"),
        ({"probabilities": {"x": [0.5, 0.5]}}, "'x' has no choices"),
    ],
)
def test_option_that_cannot_be_is_refused_with_what_was_expected(
    options: dict[str, Any], message: str
) -> None:
    space = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b", "c"])}
    with pytest.raises(ValueError, match=message):
        CatCMAwMSampler(search_space=space, **options)


def test_population_is_that_of_cmaes_for_a_known_space_and_10_otherwise() -> None:
    assert CatCMAwMSampler()._algorithm.population == 10
    for n, population in ((1, 4), (3, 7), (30, 14)):
        space = {f"x{i}": FloatDistribution(0, 1) for i in range(n)}
        space["alone"] = FloatDistribution(1, 1)
        assert CatCMAwMSampler(search_space=space)._algorithm.population == population
        assert CatCMAwMSampler(search_space=space, preset="paper")._algorithm.population == 10


def test_search_begins_where_it_is_told_to() -> None:
    space = make_space(
        {
            "lr": FloatDistribution(1e-5, 1e-1, log=True),
            "n": IntDistribution(1, 9),
            "two": IntDistribution(0, 1),
            "kind": CategoricalDistribution(["a", "b", "c"]),
            "x": FloatDistribution(0, 1),
        },
        None,
    )
    begin = Start(
        spread=0.2,
        level_spread=0.2,
        means=(("lr", 1e-4), ("n", 3), ("two", 1), ("x", 1.0)),
        spreads=(("lr", 0.05),),
        probabilities=(("kind", (0.9, 0.1, 0.0)),),
    )
    state = CatCMA(begin=begin).start(space)
    model, names = model_of(state), state.layout.names
    assert dict(zip(names, model.mean, strict=True)) == pytest.approx(
        {"lr": 0.25, "x": 0.9, "n": 2.5 / 9}
    ), "a mean on a bound is moved inside"
    assert dict(zip(names, model.std, strict=True)) == pytest.approx(
        {"lr": 0.05, "x": 0.2, "n": 0.2 * 8 / 9}
    )
    q = {space.names[k]: q for k, q in zip(state.layout.choices, model.probabilities, strict=True)}
    assert q["two"][:2] == pytest.approx([0.2, 0.8])
    assert q["kind"][2] > 0.02 and q["kind"][0] > 0.8, "no choice is out of reach"
