"""Economy of a search: what a finished trial has trained is not trained again."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from databases import storage
from optuna.pruners import BasePruner, NopPruner, ThresholdPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise import FinetuneObjective, ModelSpec
from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.objective.reuse import PastTrainings, training_key
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.storage import TIE_KEY

BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
__all__ = ["storage"]

QUICK = Recipe(lr=3e-3, epochs=2, patience=None, batch_size=25)
FULL = {f"imp/{block}": 0.75 for block in BLOCKS} | {"imp/__threshold__": 0.1}
HEAD = {f"imp/{block}": 0.05 for block in BLOCKS} | {"imp/head": 0.3, "imp/__threshold__": 0.1}


@pytest.fixture
def make(spec: ModelSpec, splits: Splits) -> Any:
    def make_objective(recipe: Recipe = QUICK, **options: Any) -> FinetuneObjective:
        options = {"model": spec, "data": splits, "device": "cpu", **options}
        return FinetuneObjective(recipe=recipe, **{"encoding": "biotune", **options})

    return make_objective


def empty(**options: Any) -> optuna.Study:
    options = {"sampler": RandomSampler(seed=0), "pruner": NopPruner(), **options}
    return optuna.create_study(direction="maximize", **options)


def search(
    objective: FinetuneObjective,
    points: Sequence[dict[str, float]],
    pruner: BasePruner | None = None,
    study: optuna.Study | None = None,
) -> list[FrozenTrial]:
    """The trials of these points, in this order, and of those before in the study."""
    study = study or empty(pruner=pruner or NopPruner())
    for point in points:
        study.enqueue_trial(point)
    study.optimize(objective, n_trials=len(points))
    return study.trials


def run_of(trial: FrozenTrial) -> dict[str, Any]:
    run = trial.user_attrs[RUN_KEY]
    assert isinstance(run, dict)
    return run


def told(trials: Sequence[FrozenTrial]) -> list[Any]:
    """What a sampler, a pruner and a reader learn of trials, and not what they cost."""
    return [
        (t.state, t.value, t.intermediate_values, t.user_attrs.get(TIE_KEY), run_of(t)["metrics"])
        for t in trials
    ]


def test_a_repeat_is_told_as_if_it_were_trained_and_costs_nothing(make: Any) -> None:
    points = [FULL, HEAD, FULL, FULL]
    trials = search(make(), points)
    assert told(trials) == told(search(make(reuse=False), points))
    assert [run_of(t)["outcome"] for t in trials] == ["complete"] * 2 + ["repeated"] * 2
    assert [run_of(t)["repeats"] for t in trials] == [[None], [None], [0], [0]]
    assert [run_of(t)["images_seen"] for t in trials] == [100, 100, 0, 0]
    assert [run_of(t)["seconds"] for t in trials[2:]] == [0, 0]
    assert run_of(trials[2])["best_epochs"] == run_of(trials[0])["best_epochs"]


def test_without_reuse_every_trial_is_trained(make: Any) -> None:
    trials = search(make(reuse=False), [FULL, FULL])
    assert [run_of(t)["images_seen"] for t in trials] == [100, 100]
    assert [run_of(t)["outcome"] for t in trials] == ["complete"] * 2


def test_another_fold_is_another_training(make: Any) -> None:
    trials = search(make(n_folds=2), [FULL] * 12)
    assert [run_of(t)["repeats"] for t in trials] == [[None], *[[0]] * 9, [None], [10]]
    assert trials[0].value != trials[10].value


@pytest.mark.parametrize(
    "change",
    [{"recipe": dataclasses.replace(QUICK, weight_decay=0.1)}, {"seeds": (1,)}, {"n_folds": 2}],
)
def test_another_recipe_seed_or_split_is_another_training(
    make: Any, change: dict[str, Any]
) -> None:
    study = empty()
    search(make(), [FULL], study=study)
    trials = search(make(**change), [FULL], study=study)
    assert run_of(trials[1])["repeats"] == [None]


@pytest.mark.filterwarnings("ignore:the search starts from random weights")
def test_other_weights_and_other_data_are_another_training(
    make: Any, spec: ModelSpec, splits: Splits
) -> None:
    study = empty()
    search(make(), [FULL], study=study)
    others = make(model=dataclasses.replace(spec, weights=None))
    assert run_of(search(others, [FULL], study=study)[1])["repeats"] == [None]
    split = load_data("digits", image_size=8, split_seed=1)
    assert run_of(search(make(data=split), [FULL], study=study)[2])["repeats"] == [None]
    assert run_of(search(make(), [FULL], study=study)[3])["repeats"] == [0]


def test_of_several_seeds_only_those_that_are_missing_are_trained(make: Any) -> None:
    study = empty()
    search(make(seeds=(3,)), [FULL], study=study)
    trials = search(make(seeds=(3, 4)), [FULL, FULL], study=study)
    assert [run_of(t)["repeats"] for t in trials] == [[None], [0, None], [0, 1]]
    assert [run_of(t)["images_seen"] for t in trials] == [100, 100, 0]
    assert [run_of(t)["outcome"] for t in trials] == ["complete", "complete", "repeated"]
    whole = search(make(seeds=(3, 4), reuse=False), [FULL])
    assert told(trials[1:]) == told([*whole, *whole])


def test_a_training_whose_curve_is_not_stored_is_done_again_where_the_curve_is_needed(
    make: Any,
) -> None:
    study = empty()
    search(make(seeds=(3, 4)), [FULL], study=study)
    trials = search(make(seeds=(4,)), [FULL], study=study)
    assert run_of(trials[1])["repeats"] == [None]
    assert list(trials[1].intermediate_values) == [0, 1]


def test_policies_are_compared_as_they_are_trained() -> None:
    fast, capped = Policy({"stem": 0, "head": 4}), Policy({"stem": 0, "head": 2})
    bound = Recipe(lr=0.1, max_lr=0.2)
    assert training_key(fast, bound, "data") == training_key(capped, bound, "data")
    free = Recipe(lr=0.1)
    assert training_key(fast, free, "data") != training_key(capped, free, "data")
    assert training_key(capped, free, "data") != training_key(capped, bound, "data")
    assert training_key(fast, bound, "data") != training_key(fast, bound, "other data")


def test_a_repeat_diverges_as_the_first_did(make: Any) -> None:
    wild = dataclasses.replace(QUICK, optimizer="sgd", lr=1e20, max_lr=1e30)
    trials = search(make(wild, seeds=(0, 1)), [FULL, FULL])
    assert [t.state for t in trials] == [TrialState.FAIL] * 2
    assert [run_of(t)["outcome"] for t in trials] == ["diverged"] * 2
    assert [run_of(t)["repeats"] for t in trials] == [[None], [0]]


class PruneFrom(ThresholdPruner):
    """Prunes all trials from a number on, after their first epoch."""

    def __init__(self, number: int) -> None:
        super().__init__(lower=1.1)
        self._number = number

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return trial.number >= self._number and super().prune(study, trial)


def test_a_pruner_judges_a_repeat_and_what_is_pruned_is_no_training_to_repeat(make: Any) -> None:
    trials = search(make(), [FULL] * 2, PruneFrom(1))
    assert told(trials) == told(search(make(reuse=False), [FULL] * 2, PruneFrom(1)))
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert run_of(trials[1])["images_seen"] == 0
    pruned = search(make(), [FULL] * 2, PruneFrom(0))
    assert [run_of(t)["images_seen"] for t in pruned] == [50, 50]


@pytest.mark.sweep
def test_another_process_sees_what_was_trained(make: Any, storage: BaseStorage) -> None:
    study = empty(storage=storage, study_name="s")
    other = optuna.load_study(storage=storage, study_name="s", pruner=NopPruner())
    search(make(), [HEAD], study=other)
    search(make(), [FULL], study=study)
    objective = make()
    [_, _, first] = search(objective, [HEAD], study=study)
    assert run_of(first)["repeats"] == [0]
    search(make(), [FULL, HEAD], study=other)
    [*_, last] = search(objective, [FULL], study=study)
    assert [run_of(t)["repeats"] for t in study.trials[3:]] == [[1], [0], [1]]
    assert last.value == study.trials[1].value


def test_a_trial_that_runs_hides_nothing_and_is_read_when_it_ends(make: Any) -> None:
    objective = make()
    study = empty()
    study.enqueue_trial(FULL)
    straggler = study.ask()
    search(objective, [FULL, FULL], study=study)
    assert run_of(study.trials[2])["repeats"] == [1], "the first that has finished"
    study.tell(straggler, make()(straggler))
    assert run_of(study.trials[0])["repeats"] == [1]
    key = run_of(study.trials[0])["training"]
    past = PastTrainings(study).find(key, 0, with_curve=True)
    assert past is not None and past.trial == 1, "a repeat is no source of others"
    assert PastTrainings(study).find(key, 7, with_curve=False) is None


def test_threads_that_share_an_objective_change_no_value(make: Any) -> None:
    points = [FULL, HEAD] * 6
    study = empty()
    for point in points:
        study.enqueue_trial(point)
    objective = make()
    threads = [
        threading.Thread(target=study.optimize, args=(objective,), kwargs={"n_trials": 6})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trained = told(search(make(reuse=False), [FULL, HEAD]))
    assert told(study.trials) == trained * 6


def test_a_record_of_an_older_version_is_passed_over(make: Any) -> None:
    study = empty()
    [trial] = search(make(), [FULL], study=study)
    new = {"training", "seeds", "repeats"}
    old = {k: v for k, v in run_of(trial).items() if k not in new}
    again = empty()
    again.add_trial(
        optuna.trial.create_trial(value=1.0, user_attrs={RUN_KEY: old}, intermediate_values={0: 1})
    )
    [_, trial] = search(make(), [FULL], study=again)
    assert run_of(trial)["repeats"] == [None]
