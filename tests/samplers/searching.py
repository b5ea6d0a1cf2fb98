"""Studies with everything in them that can happen to a trial."""

from __future__ import annotations

import math

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from optuna_layerwise.samplers import BioTuneSampler

optuna.logging.set_verbosity(optuna.logging.CRITICAL)

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-2, 3),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "n": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}


def small(
    seed: int | None = 0, *, space: dict[str, BaseDistribution] | None = None
) -> BioTuneSampler:
    """A generation is 2 probes and 3 children; the start has 4 trials."""
    return BioTuneSampler(seed=seed, population=4, elites=1, search_space=space)


def value(trial: optuna.Trial) -> float:
    """Suggest all parameters, and a finite value."""
    x, lr = trial.suggest_float("x", -2, 3), trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    n = trial.suggest_int("n", 1, 9, step=2)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return (x - 1) ** 2 + (math.log10(lr) + 3) ** 2 + abs(n - 5) + "abc".index(kind)


class Broken(Exception):
    """What failing objectives raise."""


def run(study: optuna.Study, n_trials: int, *, sign: int = 1) -> None:
    """Finished, failed, NaN and pruned trials, by their numbers."""

    def objective(trial: optuna.Trial) -> float:
        outcome = sign * value(trial)
        if trial.number % 11 == 3:
            raise Broken
        if trial.number % 11 == 6:
            return math.nan
        if trial.number % 11 == 8:
            trial.report(outcome, step=0)
        if trial.number % 11 in (8, 9):
            raise optuna.TrialPruned
        return outcome

    study.optimize(objective, n_trials=n_trials, catch=(Broken,))


def mixed(
    sampler: BaseSampler, *, sign: int = 1, study: optuna.Study | None = None
) -> optuna.Study:
    """A search with enqueued, partly enqueued, added and another sampler's trials in it."""
    direction = "minimize" if sign == 1 else "maximize"
    study = study or optuna.create_study(sampler=sampler, direction=direction)
    point = {"x": 0.5, "lr": 1e-3, "n": 5, "kind": "b"}
    run(study, 3, sign=sign)
    study.enqueue_trial(point)
    study.enqueue_trial({"x": 1.5})
    run(study, 9, sign=sign)
    added = {"params": point, "distributions": SPACE}
    study.add_trial(optuna.create_trial(value=sign * 9.0, **added))
    study.add_trial(optuna.create_trial(state=TrialState.FAIL, **added))
    study.add_trial(
        optuna.create_trial(value=sign * 8.0, params={"x": 2.0}, distributions={"x": SPACE["x"]})
    )
    study.enqueue_trial({"kind": "c", "n": 9})
    run(study, 8, sign=sign)
    study.sampler = optuna.samplers.RandomSampler(seed=1)
    run(study, 3, sign=sign)
    study.sampler = sampler
    run(study, 25, sign=sign)
    return study
