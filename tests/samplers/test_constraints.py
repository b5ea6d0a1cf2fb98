"""Constraints rank before values, and values may be as large as floating point allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rederiving import assert_rederives

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, SetGASampler
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.samplers.pruning import GenerationPruner

MAKE: dict[str, Callable[[int], CohortSampler]] = {
    "catcmawm": lambda seed: CatCMAwMSampler(seed=seed),
    "catcmawm, paper": lambda seed: CatCMAwMSampler(seed=seed, preset="paper"),
    "biotune": lambda seed: BioTuneSampler(seed=seed),
    "biotune, paper": lambda seed: BioTuneSampler(seed=seed, preset="paper"),
    "biotune, ranks": lambda seed: BioTuneSampler(seed=seed, extinction="rank"),
    "set-ga": lambda seed: SetGASampler(seed=seed),
}
OLD, NEW = "constraints", "constraints:x"


def constrain(trial: optuna.Trial, value: float, *, old: bool) -> None:
    """As Optuna 5 does it, or as a ``constraints_func`` of Optuna 4 did."""
    key, stored = (OLD, [-1.0, value]) if old else (NEW, value)
    trial.study._storage.set_trial_system_attr(trial._trial_id, key, stored)


def feasible_share(sampler: CohortSampler, *, limit: float = 1.0, old: bool = False) -> float:
    """Of the last 40 of 80 trials; without constraints the best is at 0."""

    def objective(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, -5, 5) for name in "xy")
        constrain(trial, limit - x, old=old)
        return x**2 + y**2

    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=80)
    assert_rederives(study, sampler)
    return sum(trial.params["x"] >= limit for trial in study.trials[40:]) / 40


@pytest.mark.sweep(3)
@pytest.mark.parametrize("old", [False, True], ids=["Optuna 5", "Optuna 4"])
@pytest.mark.parametrize("name", MAKE)
def test_search_stays_within_its_constraints_where_the_best_value_is_outside(
    name: str, old: bool
) -> None:
    assert feasible_share(MAKE[name](0), old=old) > 0.6


@pytest.mark.parametrize("name", ["catcmawm", "biotune"])
def test_search_finds_a_small_feasible_part_by_way_of_the_least_infeasible(name: str) -> None:
    assert feasible_share(MAKE[name](0), limit=4.8) > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("name", MAKE)
def test_search_with_the_largest_numbers_as_penalties_goes_on_and_finds_the_best(
    name: str, direction: str
) -> None:
    sign = 1 if direction == "minimize" else -1

    def objective(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, -5, 5) for name in "xy")
        if abs(x) > 3:
            return 1e308 * sign
        return -1e308 * sign if x**2 + y**2 < 0.5 else (x**2 + y**2) * sign

    study = optuna.create_study(sampler=MAKE[name](0), direction=direction)
    study.optimize(objective, n_trials=120)
    assert study.best_value == -1e308 * sign
    assert_rederives(study, MAKE[name](0))


def test_pruner_does_not_compare_with_infeasible_trials() -> None:
    study = optuna.create_study(direction="maximize")
    others = itertools.cycle([{}, {NEW: 1.0}])
    for attrs in itertools.islice(others, 10):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=0.9,
                intermediate_values={epoch: 0.9 for epoch in range(4)},
                system_attrs=attrs,
            )
        )
    low = create_trial(state=TrialState.RUNNING, intermediate_values={0: 0.1, 1: 0.1, 2: 0.1})
    low.number = 9
    pruner = GenerationPruner(epochs=4, n_others=5)
    assert pruner.prune(study, low)
    assert not GenerationPruner(epochs=4, n_others=6).prune(study, low)
