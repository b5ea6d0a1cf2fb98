"""Pruning within a generation: who is stopped, and who is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise import BioTuneSampler, GenerationPruner
from optuna_layerwise.storage import generation_of, stored_trial, write_trial_record

BUSI = [
    [0.64744, 0.67308, 0.73077, 0.71795, 0.77564, 0.79487],
    [0.67308, 0.64744, 0.72436, 0.72436, 0.76923, 0.75641],
    [0.60897, 0.67308, 0.68590, 0.71795, 0.75000, 0.74359],
    [0.41667, 0.61538, 0.66667, 0.68590, 0.75641, 0.75000],
    [0.58974, 0.59615, 0.59615, 0.65385, 0.65385, 0.65385],
    [0.47436, 0.69872, 0.71795, 0.73718, 0.72436, 0.72436],
    [0.60897, 0.71795, 0.76282, 0.75000, 0.73718, 0.80769],
    [0.66026, 0.66026, 0.72436, 0.69872, 0.73077, 0.74359],
    [0.35897, 0.44231, 0.69872, 0.75000, 0.76923, 0.77564],
    [0.38462, 0.48077, 0.72436, 0.67949, 0.75000, 0.76282],
    [0.56410, 0.63462, 0.62179, 0.62179, 0.63462, 0.62179],
]
"""Validation accuracies of a generation of BioTune on BUSI (`benchmarks/results/curves.jsonl`)."""
SLOW = (8, 9)
"""Begin as the two last of all, and end as the third and the fifth."""


def replay(
    curves: Sequence[Sequence[float]],
    pruner: BasePruner,
    *,
    generations: Sequence[int] | None = None,
    direction: str = "maximize",
) -> list[FrozenTrial]:
    """The trials that learn along these curves, one after the other, until they are pruned."""
    study = optuna.create_study(direction=direction, pruner=pruner, sampler=RandomSampler(seed=0))
    for number, curve in enumerate(curves):
        trial = study.ask()
        record = {"generation": 0 if generations is None else generations[number]}
        write_trial_record(study, stored_trial(trial), record)
        state = TrialState.COMPLETE
        for epoch, value in enumerate(curve):
            trial.report(value, epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        study.tell(trial, curve[-1] if state == TrialState.COMPLETE else None, state)
    return study.trials


def epochs(trials: Sequence[FrozenTrial]) -> list[int]:
    return [len(trial.intermediate_values) for trial in trials]


def test_of_a_real_generation_slow_starters_live_and_who_stays_low_is_pruned() -> None:
    assert sorted(range(11), key=lambda n: BUSI[n][0])[:2] == list(SLOW)
    assert set(SLOW) < set(sorted(range(11), key=lambda n: -max(BUSI[n]))[:5])
    ours = epochs(replay(BUSI, GenerationPruner(epochs=6)))
    assert [ours[n] for n in SLOW] == [6, 6]
    assert ours[10] == 3, "low all along, and stopped after the first half"
    by_median = epochs(replay(BUSI, MedianPruner()))
    assert [by_median[n] for n in SLOW] == [1, 1]


LEVELS = [[0.9 - level / 10] * 6 for level in range(9)]
"""Each trial is worse than all before it."""


def test_the_first_half_of_the_epochs_is_never_pruned_and_five_others_must_have_come_as_far() -> (
    None
):
    assert epochs(replay(LEVELS, GenerationPruner(epochs=6))) == [6] * 5 + [3] * 4
    assert epochs(replay(LEVELS, GenerationPruner(epochs=6, n_others=2))) == [6] * 2 + [3] * 7
    assert epochs(replay(LEVELS, GenerationPruner(epochs=6, spared=0.8))) == [6] * 5 + [5] * 4
    assert epochs(replay(LEVELS, GenerationPruner(epochs=6, spared=0))) == [6] * 5 + [1] * 4


def test_nothing_is_pruned_after_the_last_epoch_where_nothing_is_saved() -> None:
    assert {t.state for t in replay(LEVELS, GenerationPruner(epochs=6, spared=1))} == {
        TrialState.COMPLETE
    }
    one = [curve[:1] for curve in LEVELS]
    assert {t.state for t in replay(one, GenerationPruner(epochs=1, spared=0))} == {
        TrialState.COMPLETE
    }


def test_only_who_is_below_the_quantile_is_pruned() -> None:
    levels = [[value] * 6 for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.2, 0.19)]
    assert epochs(replay(levels, GenerationPruner(epochs=6))) == [6] * 6 + [3]
    assert epochs(replay(levels, GenerationPruner(epochs=6, quantile=0)))[-1] == 6
    assert epochs(replay(levels, GenerationPruner(epochs=6, quantile=0.5)))[-2:] == [3, 3]


def test_the_best_value_so_far_counts_and_not_that_of_the_epoch() -> None:
    dip = [[0.5] * 6] * 5 + [[0.6, 0.1, 0.1, 0.1, 0.1, 0.1]]
    assert epochs(replay(dip, GenerationPruner(epochs=6))) == [6] * 6
    spike = [[0.1, 0.1, 0.1, 0.1, 0.9, 0.9]] * 5 + [[0.5] * 6]
    assert epochs(replay(spike, GenerationPruner(epochs=6)))[-1] == 5, "not by what is to come"


def test_other_generations_are_not_looked_at() -> None:
    generations = [0, 0, 0, 0, 1, 1, 1, 1, 1]
    pruner = GenerationPruner(epochs=6, n_others=4)
    assert epochs(replay(LEVELS, pruner, generations=generations)) == [6] * 8 + [3]
    assert epochs(replay(LEVELS, pruner, generations=[0] * 4 + [1] + [0] * 4)) == [6] * 5 + [3] * 4


def test_where_the_metric_is_minimised_the_highest_are_pruned() -> None:
    losses = [[1 - value for value in curve] for curve in LEVELS]
    pruner = GenerationPruner(epochs=6)
    assert epochs(replay(losses, pruner, direction="minimize")) == [6] * 5 + [3] * 4
    assert epochs(replay(losses, pruner)) == [6] * 9


def test_who_stopped_before_counts_with_its_best_and_who_failed_does_not() -> None:
    early = [[0.5]] * 5 + [[0.4] * 6]
    assert epochs(replay(early, GenerationPruner(epochs=6)))[-1] == 3
    study = optuna.create_study(direction="maximize", pruner=GenerationPruner(epochs=6))
    for _ in range(5):
        trial = study.ask()
        trial.report(0.5, 3)
        study.tell(trial, state=TrialState.FAIL)
    last = study.ask()
    last.report(0.4, 3)
    assert not last.should_prune()


def test_who_runs_counts_from_the_epoch_on_that_it_has_come_to() -> None:
    study = optuna.create_study(direction="maximize", pruner=GenerationPruner(epochs=6))
    others = [study.ask() for _ in range(5)]
    last = study.ask()
    last.report(0.4, 3)
    for other in others:
        other.report(0.5, 2)
    assert not last.should_prune()
    for other in others:
        other.report(0.5, 3)
    assert last.should_prune()


def test_a_value_that_is_no_number_is_the_worst() -> None:
    unknown = [math.nan] * 5 + [0.1]
    curves = [unknown, *[[0.5] * 6] * 4, unknown, [0.4] * 6]
    assert epochs(replay(curves, GenerationPruner(epochs=6))) == [6, 6, 6, 6, 6, 3, 6]


def test_the_same_stored_values_give_the_same_answer_elsewhere(tmp_path: Path) -> None:
    url, pruner = f"sqlite:///{tmp_path}/study.db", GenerationPruner(epochs=6)
    study = optuna.create_study(study_name="s", storage=url, direction="maximize")
    study.add_trials(replay(BUSI, pruner))
    again = optuna.load_study(study_name="s", storage=url)
    answers = [[pruner.prune(s, trial) for trial in s.trials] for s in (study, again)]
    assert answers[0] == answers[1]
    assert True in answers[0]


@pytest.mark.parametrize("sampler", [BioTuneSampler, TPESampler, RandomSampler])
def test_samplers_go_on_with_what_is_pruned_and_each_generation_keeps_its_best(
    sampler: type[Any],
) -> None:
    def objective(trial: optuna.Trial) -> float:
        goal = 1 - abs(trial.suggest_float("x", 0, 1) - 0.3)
        for epoch in range(6):
            trial.report(goal * (epoch + 1) / 6, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return goal

    own: BaseSampler = sampler(seed=0)
    study = optuna.create_study(
        direction="maximize", sampler=own, pruner=GenerationPruner(epochs=6)
    )
    study.optimize(objective, n_trials=60)
    pruned = [t for t in study.trials if t.state == TrialState.PRUNED]
    assert 5 <= len(pruned) <= 30
    assert {len(trial.intermediate_values) for trial in pruned} == {3}
    for generation in {generation_of(trial) for trial in study.trials}:
        of = [t for t in study.trials if generation_of(t) == generation]
        best = max(of, key=lambda trial: 1 - abs(trial.params["x"] - 0.3))
        assert best.state == TrialState.COMPLETE


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"n_others": 0}, {"spared": 1.5}, {"quantile": -0.1}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ValueError, match=name):
        GenerationPruner(**{"epochs": 6, **wrong})
