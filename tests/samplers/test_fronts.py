"""Two and three objectives: the order of trials, and searches that can be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, rederive
from optuna_layerwise.samplers._fronts import (
    contributions,
    first_front,
    hypervolume,
    places,
    standings,
)

MAKE: dict[str, Callable[[int], BaseSampler]] = {
    "catcmawm": lambda seed: CatCMAwMSampler(seed=seed, population=6),
    "biotune": lambda seed: BioTuneSampler(seed=seed, population=6),
}
ALL = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@pytest.mark.parametrize("objectives", [2, 3])
def test_hypervolume_and_fronts_are_those_of_optuna(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    for _ in range(20):
        points = rng.random((15, objectives)).round(1)  # with equal ones
        expected = compute_hypervolume(points, np.full(objectives, 1.1))
        assert hypervolume(points, 1.1) == pytest.approx(expected)
        better = [
            [(q <= p).all() and (q < p).any() for q in points] for p in points
        ]  # q dominates p
        assert first_front(points).tolist() == [not any(row) for row in better]
        for place, added in enumerate(contributions(points)):
            rest = np.delete(points, place, axis=0)
            lost = expected - compute_hypervolume(rest, np.full(objectives, 1.1))
            assert added == pytest.approx(lost, abs=1e-9)


def test_the_order_is_by_front_and_then_by_what_is_added() -> None:
    costs = np.array([[0.0, 1.0], [1.0, 0.0], [0.4, 0.4], [0.45, 0.35], [1.0, 1.0], [0.4, 0.4]])
    found = places(costs).tolist()
    assert found[4] == max(found)  # the only one that others dominate
    assert found[2] == found[5] > max(found[0], found[1])  # twice the same adds nothing


def test_what_broke_constraints_or_has_no_number_stands_behind() -> None:
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}

    def trial(
        number: int, values: list[float], constraint: float = 0.0
    ) -> optuna.trial.FrozenTrial:
        made = create_trial(
            values=values,
            params={"x": 0.5},
            distributions=space,
            system_attrs={"constraints": [constraint]},
        )
        made.number = number
        return made

    directions = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]
    trials = [trial(0, [1.0, 1.0]), trial(1, [0.0, 2.0], 3.0), trial(2, [0.5, math.inf])]
    trials += [trial(3, [0.5, 1.5]), trial(4, [0.0, 5.0], 1.0)]
    found = standings(trials, directions)
    assert sorted(found, key=lambda number: found[number]) == [3, 0, 4, 1, 2]


def values(trial: optuna.Trial) -> tuple[float, float]:
    """Ten layers that help and cost, and a rate; the seventh trial fails."""
    helps = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.25, 0.4, 0.1, 0.05, 0.3])
    costs = np.linspace(2, 0.5, 10)
    mask = np.array([trial.suggest_categorical(f"b{i}", [False, True]) for i in range(10)])
    rate = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    if trial.number == 7:
        raise RuntimeError
    gain = (helps * mask).sum() * math.exp(-((math.log10(rate) + 2.3) ** 2))
    return 1 - gain + 0.02 * mask.sum(), float((costs * mask).sum() / costs.sum())


def search(sampler: BaseSampler, *parts: int, url: str | None = None) -> optuna.Study:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler, storage=url)
    for n in parts:
        study.optimize(values, n_trials=n, catch=RuntimeError)
    return study


@ALL
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    make: Callable[[int], BaseSampler],
) -> None:
    whole = search(make(0), 40)
    part = search(make(0), 17)
    part.sampler = make(0)  # another process
    part.optimize(values, n_trials=23, catch=RuntimeError)
    assert [t.params for t in part.trials] == [t.params for t in whole.trials]
    assert [t.state for t in whole.trials].count(TrialState.FAIL) == 1
    assert not rederive(whole, make(0)).differences


@pytest.mark.parametrize("kind", [CatCMAwMSampler, BioTuneSampler])
def test_it_finds_more_than_random_draws(kind: type[BaseSampler]) -> None:
    def found(sampler: BaseSampler) -> float:
        best = [trial.values for trial in search(sampler, 60).best_trials]
        return hypervolume(np.array(best) / np.array([1.2, 1.0]), 1.1)

    ours = [found(kind(seed=seed)) for seed in range(4)]  # type: ignore[call-arg]
    theirs = [found(optuna.samplers.RandomSampler(seed)) for seed in range(4)]
    assert np.mean(ours) > np.mean(theirs) + 0.05
