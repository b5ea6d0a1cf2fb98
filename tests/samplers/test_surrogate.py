"""The Gaussian process, and the choice among draws by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from members import cube, member
from scipy.optimize import check_grad

from optuna_layerwise.samplers import _surrogate
from optuna_layerwise.samplers._algorithm import Draw, Genes, Member, Space
from optuna_layerwise.samplers._catcmawm_layout import lay_out
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers._screening import Features, Screen
from optuna_layerwise.samplers._surrogate import fit
from optuna_layerwise.samplers.catcmawm import CatCMA, State

GROUPS = np.array([0, 1, 2, 2])


def data(n: int = 40) -> tuple[Genes, Genes]:
    """The second feature decides; noise has a tenth of its deviation."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((n, 4))
    return features, np.sin(features[:, 1]) + 0.07 * generator.standard_normal(n)


def test_gradient_is_that_of_the_loss() -> None:
    features, costs = data(12)
    theta = np.random.default_rng(1).normal(-1, 0.3, 4)
    difference = check_grad(
        lambda t: _surrogate._posterior(features, GROUPS, costs, t)[1],
        lambda t: _surrogate._posterior(features, GROUPS, costs, t)[2],
        theta,
    )
    assert difference < 1e-5


def test_only_what_matters_gets_a_short_length() -> None:
    weights = fit(data()[0], GROUPS, data()[1]).weights
    assert weights[1] > 2 * max(weights[0], weights[2])
    assert weights[2] == weights[3]


def test_prediction_is_near_at_new_points_and_unsure_far_away() -> None:
    surrogate = fit(data()[0], GROUPS, data()[1])
    new = np.random.default_rng(2).standard_normal((50, 4))
    mean, deviation = surrogate.predict(new)
    assert np.corrcoef(mean, np.sin(new[:, 1]))[0, 1] > 0.95
    far = surrogate.predict(new + 30)
    assert np.allclose(far[1], np.sqrt(surrogate.variance), rtol=1e-3)
    assert far[1].min() > 1.5 * deviation.max()
    assert np.allclose(far[0], surrogate.offset, atol=1e-3)


def test_paths_have_the_posterior_mean_and_deviation() -> None:
    surrogate = fit(data()[0], GROUPS, data()[1])
    new = np.random.default_rng(3).standard_normal((6, 4))
    generator = np.random.default_rng(4)
    paths = np.array([surrogate.sample(1.0, generator)(new) for _ in range(2000)])
    mean, deviation = surrogate.predict(new)
    assert np.allclose(paths.mean(axis=0), mean, atol=4 * deviation.max() / np.sqrt(2000))
    assert np.allclose(paths.std(axis=0), deviation, rtol=0.1)
    assert np.allclose(surrogate.sample(0.0, generator)(new), mean)


def gated(genes: Genes) -> Genes:
    """The second number has an effect where the first exceeds the threshold, the third gene."""
    return np.array([True, genes[0] > genes[2], True, True])


def test_what_has_no_effect_is_not_seen() -> None:
    features = Features(cube(4, choices=(0, 0, 0, 3), active=gated, gates=[2]))
    same = features(np.array([[0.2, 0.1, 0.5, 0.5], [0.2, 0.9, 0.3, 0.5]]))
    assert (same[0] == same[1]).all()
    other = features(np.array([[0.2, 0.1, 0.5, 0.5], [0.2, 0.1, 0.1, 0.5]]))
    assert (other[0] != other[1]).any()


MIXED = cube(5, choices=(0, 0, 0, 2, 3))


def cost(genes: Genes) -> float:
    return float(((genes[:3] - [0.3, 0.6, 0.9]) ** 2).sum() + abs(genes[3] - 0.75))


def search(
    space: Space, n: int, *, costs: Sequence[float | None] = (), surrogate: bool = True
) -> tuple[State, list[Member]]:
    """So many cohorts; ``costs`` repeat, without them the sphere's."""
    algorithm = CatCMA(surrogate=surrogate)
    state, all_members = algorithm.start(space), []
    for cohort in range(n):
        draws = [
            algorithm.ask(state, cohort, i, TrialRng(0, cohort, i))
            for i in range(algorithm.population)
        ]
        members = [
            member(
                10 * cohort + i,
                draw.genes,
                costs[i % len(costs)] if costs else cost(draw.genes),
                facts=draw.facts,
            )
            for i, draw in enumerate(draws)
        ]
        all_members += members
        state = algorithm.tell(state, cohort, members)
    return state, all_members


@pytest.mark.sweep
@pytest.mark.parametrize("costs", [(1.0,), (None,), (None, 2.0), (1.0, 1.0, None)])
def test_ties_and_failures_are_taken(costs: tuple[float | None, ...]) -> None:
    state, members = search(MIXED, 6, costs=costs)
    assert all(np.isfinite(m.genes).all() and (m.genes >= 0).all() for m in members)
    assert state.screen is not None
    assert (state.screen.surrogate is None) == (len(set(costs)) == 1)


def test_missing_genes_and_trials_are_taken() -> None:
    screen = search(MIXED, 3)[0].screen
    assert screen is not None
    half = member(30, np.array([np.nan, 0.5, 0.5, np.nan, 0.5]), 0.0)
    told = screen.tell([half, member(31, np.full(5, np.nan), None)])
    assert [m.number for m in told.members] == [*range(31)]
    assert told.surrogate is not None


def test_an_archive_keeps_the_best_and_the_newest() -> None:
    screen = Screen(MIXED, lay_out(MIXED))
    for k in range(400):
        screen = screen.tell([member(k, np.full(5, 0.5), float(k != 7))])
    numbers = [m.number for m in screen.members]
    assert len(numbers) == 120
    assert {7, *range(340, 400)} <= set(numbers)


def test_draws_depend_on_nothing_but_the_state_and_the_member() -> None:
    def draw(state: State) -> Draw:
        return CatCMA(surrogate=True).ask(state, 4, 2, TrialRng(0, 4, 2))

    state, _ = search(MIXED, 4)
    assert state.screen is not None
    fresh = dataclasses.replace(state, screen=dataclasses.replace(state.screen))
    assert (draw(state).genes == draw(fresh).genes).all()


def test_invalid_points_are_not_chosen() -> None:
    space = cube(5, choices=(0, 0, 0, 2, 3), valid=lambda genes: genes[0] > 0.35)
    _, members = search(space, 12)
    assert all(m.genes[0] > 0.35 for m in members)


@pytest.mark.slow
def test_a_search_with_it_comes_closer_in_a_hundred_trials() -> None:
    space = cube(5, choices=(0, 0, 0, 2, 3))
    plain, helped = (
        min(m.cost for m in search(space, 10, surrogate=on)[1]) for on in (False, True)
    )
    assert helped < plain / 2


def test_levels_stay_levels() -> None:
    space = cube(4, levels=(5, 0, 9, 0))
    grid = {round(g, 12) for g in space.grid[0]}
    assert {round(m.genes[0], 12) for m in search(space, 8)[1]} <= grid
