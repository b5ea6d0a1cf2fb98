"""One order of trials: for the search, its finalists, status and reports."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from optuna_layerwise.storage import TIE_KEY, best_first, best_trial, only_infeasible, violation_of

FROM_BEST: list[tuple[float, dict[str, Any], dict[str, Any]]] = [
    (1.0, {"constraints:a": 0.0, "constraints:b": -3.0}, {TIE_KEY: 0.1}),
    (1.0, {}, {TIE_KEY: 0.2}),
    (1.0, {}, {}),
    (2.0, {"constraints": [0.0, -1.0]}, {}),
    (0.5, {"constraints:a": 0.1}, {}),
    (0.6, {"constraints": [0.1, -9.0]}, {}),
    (0.0, {"constraints:a": 0.1, "constraints:b": 0.2}, {}),
    (0.0, {"constraints": [1e308, 1e308]}, {}),
    (1.0, {"constraints": ["damaged"]}, {}),
]


def study_of(trials: Any, direction: str = "minimize") -> optuna.Study:
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=direction)
    for value, system_attrs, user_attrs in trials:
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=sign * value,
                system_attrs=system_attrs,
                user_attrs=user_attrs,
            )
        )
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_feasible_trials_come_first_and_infeasible_ones_by_their_total_violation(
    direction: str,
) -> None:
    shuffled = FROM_BEST.copy()
    random.Random(0).shuffle(shuffled)
    study = study_of(shuffled, direction)
    found = [(abs(t.values[0]), t.system_attrs, t.user_attrs) for t in best_first(study)]
    assert found[:-2] == FROM_BEST[:-2], "the last two are both infinitely bad"


def test_best_trial_is_feasible_or_the_least_infeasible_one_is_named() -> None:
    study = study_of(FROM_BEST[4:])
    assert best_trial(study) is None
    assert only_infeasible(study) == (
        "no feasible trial yet; the least infeasible is trial 0, whose constraints are above 0 "
        "by 0.1 in total"
    )
    study.add_trial(create_trial(state=TrialState.COMPLETE, value=9.0))
    best = best_trial(study)
    assert best is not None and best.value == 9.0 and not only_infeasible(study)


def test_constraints_are_those_that_optuna_sees() -> None:
    study = optuna.create_study()

    def objective(trial: optuna.Trial) -> float:
        trial.set_constraint("memory", 2.0)
        trial.set_constraint("time", -1.0)
        return 0.0

    if not hasattr(optuna.Trial, "set_constraint"):
        pytest.skip("Optuna 4 has no such method")
    study.optimize(objective, n_trials=1)
    assert violation_of(study.trials[0]) == 2.0
