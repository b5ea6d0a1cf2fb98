"""Finalists: retrained on everything, chosen by validation, tested once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from safetensors import safe_open
from searches import (
    BLOCKS,
    GOOD,
    HEAD_ONLY,
    NOTHING,
    PUBLISHED,
    RECIPE,
    REFERENCES,
    SEEDS,
    Case,
    searched,
)

from optuna_layerwise import Final, FinetuneObjective, ModelSpec, open_study
from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.data import SealedImages, Splits
from optuna_layerwise.objective.finalists import n_finalists
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.final import CLAIM_KEY, PUBLISHED_ENDING, Candidate, stored_final
from optuna_layerwise.records.run import RUN_KEY, Run, run_of
from optuna_layerwise.storage import TIE_KEY, Lease, Owner
from optuna_layerwise.training import Engine


@pytest.fixture(scope="module")
def case(spec: ModelSpec, splits: Splits) -> Case:
    """A search on folds in which the best policy comes twice, and one trains nothing."""
    return searched(spec, splits, [NOTHING, GOOD, GOOD, HEAD_ONLY], 10, n_folds=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "new folder" / "best.safetensors"


@pytest.fixture(scope="module")
def final(case: Case, weights: Path) -> Final:
    return case.objective.finalize(
        case.study, top=3, seeds=SEEDS, race=False, weights=weights, **PUBLISHED
    )


FIVE = [*({**GOOD, "imp/stem": stem} for stem in (0.75, 0.7, 0.65, 0.6)), HEAD_ONLY]
"""Four policies that are alike, and one that is far behind."""


@pytest.fixture(scope="module")
def race(spec: ModelSpec, splits: Splits) -> tuple[Final, Final]:
    """The results of the same search with and without a race."""
    finals = []
    for race in (True, False):
        case = searched(spec, splits, FIVE, 5)
        finals.append(
            case.objective.finalize(case.study, top=5, seeds=(0, 1, 2), race=race, **PUBLISHED)
        )
    return finals[0], finals[1]


@pytest.mark.slow
def test_who_is_far_behind_after_a_seed_is_trained_no_further(race: tuple[Final, Final]) -> None:
    raced, whole = race
    assert [len(f.val) for f in whole.finalists] == [3] * 5
    assert whole.trainings_saved == 0
    assert len({f.val[0]["accuracy"] for f in whole.finalists}) > 1
    assert raced.finalists[-1].name == "trial 4"
    assert len(raced.finalists[-1].val) == 1
    lengths = [len(f.val) for f in raced.finalists]
    assert lengths == sorted(lengths, reverse=True)
    assert raced.trainings_saved == 15 - sum(lengths) >= 2


def test_a_race_changes_no_training_and_its_winner_has_every_seed(
    race: tuple[Final, Final], splits: Splits
) -> None:
    raced, whole = race
    of_whole = {f.name: f for f in whole.finalists}
    for finalist in raced.finalists:
        n = len(finalist.val)
        assert finalist.val == of_whole[finalist.name].val[:n]
        assert finalist.images_seen == n * RECIPE.epochs * len(splits.train)
    assert len(raced.chosen.val) == len(raced.chosen.test) == 3
    to_the_end = [f for f in raced.finalists if len(f.val) == 3]
    assert raced.chosen.mean("accuracy", split="val") == max(
        f.mean("accuracy", split="val") for f in to_the_end
    )
    assert [b.val for b in raced.baselines] == [b.val for b in whole.baselines]
    if raced.chosen.name == whole.chosen.name:
        assert raced.chosen.test == whole.chosen.test


@pytest.mark.parametrize(
    ("trials", "finalists"), [(0, 1), (1, 1), (10, 1), (24, 2), (30, 3), (100, 5), (140, 5)]
)
def test_finalists_cost_no_more_than_half_of_a_search(trials: int, finalists: int) -> None:
    assert n_finalists(trials) == finalists


@pytest.mark.slow
def test_the_number_of_finalists_follows_that_of_the_trials(
    spec: ModelSpec, splits: Splits
) -> None:
    case = searched(spec, splits, [], 19)
    assert len(case.objective.finalize(case.study, seeds=(0,), **PUBLISHED).finalists) == 2


def accuracies(candidate: Candidate) -> list[float]:
    return [seed["accuracy"] or 0.0 for seed in candidate.val]


def test_the_finalists_are_the_best_policies_that_differ(case: Case, final: Final) -> None:
    order = sorted(
        case.study.get_trials(states=(TrialState.COMPLETE,)),
        key=lambda t: (-(t.value or 0.0), t.user_attrs.get(TIE_KEY, math.inf), t.number),
    )
    policies = [Policy(t.user_attrs[RUN_KEY]["policy"]) for t in order]
    best = list(dict.fromkeys(policies))[:3]
    assert len(policies) > len(set(policies))
    assert {Policy(candidate.policy) for candidate in final.finalists} == set(best)
    for candidate in final.finalists:
        trial = case.study.trials[int(candidate.name.removeprefix("trial "))]
        assert candidate.policy == trial.user_attrs[RUN_KEY]["policy"]


def test_each_finalist_is_retrained_without_folds_once_per_seed(case: Case, final: Final) -> None:
    objective, data = case.objective, case.objective.data
    for candidate in final.finalists:
        policy = Policy(candidate.policy)
        fits = [objective.trainer.train(policy, data.train, data.val, seed) for seed in SEEDS]
        assert candidate.val == [fit.metrics for fit in fits]
        assert candidate.images_seen == len(SEEDS) * RECIPE.epochs * len(data.train)
        assert candidate.seconds > 0
        assert candidate.trained_share == fits[0].trained_share


def test_the_best_mean_validation_metric_is_chosen_and_alone_is_tested(final: Final) -> None:
    means = [np.mean(accuracies(candidate)) for candidate in final.finalists]
    assert means == sorted(means, reverse=True)
    assert final.chosen == final.finalists[0]
    assert [len(candidate.test) for candidate in final.finalists] == [2, 0, 0]
    assert final.metric == "accuracy"
    assert final.chosen.mean("accuracy", split="val") == pytest.approx(means[0])


def test_every_baseline_is_there_with_the_same_seeds_and_recipe(case: Case, final: Final) -> None:
    assert [b.name for b in final.baselines] == [BASELINES[name].title for name in REFERENCES]
    full, probe, scratch = final.baselines
    assert full.policy == dict.fromkeys(BLOCKS, 1.0)
    assert probe.policy == dict.fromkeys(BLOCKS[:-1], 0.0) | {"head": 1.0}
    assert scratch.policy == full.policy
    assert scratch.val != full.val
    for baseline in final.baselines:
        assert len(baseline.val) == len(baseline.test) == len(SEEDS)
        assert baseline.images_seen == len(SEEDS) * RECIPE.epochs * len(case.objective.data.train)
    data = case.objective.data
    fits = [
        case.objective.trainer.train(Policy(full.policy), data.train, data.val, s) for s in SEEDS
    ]
    assert full.val == [fit.metrics for fit in fits]


class NeverTrains(FinetuneObjective):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.trainer.train = self.train  # type: ignore[method-assign]

    def train(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("trained again")


def test_without_references_the_same_one_is_chosen_and_nothing_else_is_trained(
    spec: ModelSpec, splits: Splits, final: Final
) -> None:
    alone = searched(spec, splits, [NOTHING, GOOD, GOOD, HEAD_ONLY], 10, n_folds=2)
    found = alone.objective.finalize(
        alone.study, top=3, seeds=SEEDS, race=False, references=(), ending=PUBLISHED_ENDING
    )
    assert found.baselines == []
    assert found.chosen.test == final.chosen.test


def test_a_second_call_returns_what_is_stored_and_neither_trains_nor_tests(
    case: Case, final: Final, spec: ModelSpec
) -> None:
    assert case.test.opened == 1
    again = NeverTrains(model=spec, data=case.objective.data, recipe=RECIPE, device="cpu")
    assert again.finalize(case.study, top=1, seeds=(7,), **PUBLISHED) == final
    assert case.test.opened == 1


def test_the_result_survives_the_database(final: Final, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = open_study(url, study_name="s")
    assert stored_final(study) is None
    study.set_user_attr("olw:final", final.as_json())
    assert stored_final(open_study(url, study_name="s")) == final


def test_the_saved_weights_are_those_of_the_best_seed_by_validation(
    case: Case, final: Final, spec: ModelSpec, weights: Path
) -> None:
    best = int(np.argmax(accuracies(final.chosen)))
    model = dataclasses.replace(spec, weights=weights).build(len(case.objective.data.classes))
    data = case.objective.data
    test = SealedImages.open(data.test)  # not counted
    assert (
        Engine(mean=spec.mean, std=spec.std, device="cpu").evaluate(model, data.val)
        == final.chosen.val[best]
    )
    assert (
        Engine(mean=spec.mean, std=spec.std, device="cpu").evaluate(model, test)
        == final.chosen.test[best]
    )
    with safe_open(weights, "pt") as file:
        assert json.loads(file.metadata()["policy"]) == final.chosen.policy


def test_validation_chooses_even_where_the_test_split_says_otherwise(
    spec: ModelSpec, splits: Splits
) -> None:
    """Every test label is wrong: the better a policy is, the worse it looks there."""
    images = splits.test.open()
    wrong = dataclasses.replace(images, labels=(images.labels + 1) % len(images.classes))
    case = searched(
        spec, dataclasses.replace(splits, test=SealedImages(wrong)), [GOOD, HEAD_ONLY], 2
    )
    final = case.objective.finalize(case.study, top=2, seeds=(0,), **PUBLISHED)
    assert final.chosen.name == "trial 0"
    model = case.objective.trainer.model()
    policy = Policy(final.finalists[1].policy)
    case.objective.trainer.train(policy, splits.train, splits.val, seed=0, model=model)
    other = Engine(mean=spec.mean, std=spec.std, device="cpu").evaluate(model, wrong)
    assert other["accuracy"] > final.chosen.mean("accuracy", split="test")


def test_a_loss_is_chosen_by_its_minimum(spec: ModelSpec, splits: Splits, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, metric="loss")
    case = searched(spec, splits, [GOOD, HEAD_ONLY], 2, recipe=recipe)
    final = case.objective.finalize(
        case.study, top=2, seeds=SEEDS, weights=tmp_path / "w.safetensors", **PUBLISHED
    )
    good, bad = final.finalists
    assert good.mean("loss", split="val") < bad.mean("loss", split="val")
    best = min(seed["loss"] or 0.0 for seed in good.val)
    model = dataclasses.replace(spec, weights=tmp_path / "w.safetensors").build(5)
    assert (
        Engine(mean=spec.mean, std=spec.std, device="cpu").evaluate(model, splits.val)["loss"]
        == best
    )


def test_equal_values_are_ordered_by_the_stored_validation_loss(
    spec: ModelSpec, splits: Splits
) -> None:
    case = searched(spec, splits, [], 0)
    for number, tie in enumerate((0.3, 0.2)):
        case.study.add_trial(
            optuna.trial.create_trial(
                value=0.9,
                user_attrs={
                    RUN_KEY: Run(
                        {**dict.fromkeys(BLOCKS, 0.0), "head": 1.0 + number}, 0, 0, 0.5
                    ).as_json(),
                    TIE_KEY: tie,
                },
            )
        )
    final = case.objective.finalize(case.study, top=1, seeds=(0,), **PUBLISHED)
    assert final.chosen.name == "trial 1"


@pytest.mark.parametrize("first", [[], [NOTHING]])
def test_a_study_that_trained_nothing_is_refused_and_nothing_is_opened(
    spec: ModelSpec, splits: Splits, first: list[dict[str, float]]
) -> None:
    case = searched(spec, splits, first, len(first))
    case.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    case.study.add_trial(optuna.trial.create_trial(value=0.9))  # of some other objective
    with pytest.raises(ValueError, match="has no complete trial that trained something"):
        case.objective.finalize(case.study, **PUBLISHED)
    assert case.test.opened == 0
    assert stored_final(case.study) is None


@pytest.mark.parametrize(("top", "seeds"), [(0, (0,)), (1, ())])
def test_nothing_to_train_is_refused(case: Case, top: int, seeds: tuple[int, ...]) -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trials(case.study.trials)
    with pytest.raises(ValueError, match="top and seeds must give at least one training"):
        case.objective.finalize(study, top=top, seeds=seeds, **PUBLISHED)


def test_a_diverged_seed_makes_mean_and_spread_nan() -> None:
    candidate = Candidate("trial 0", {"head": 1.0}, 1.0, [], [], 0, 0.0)
    assert math.isnan(candidate.mean("accuracy", split="test"))
    one: list[dict[str, float | None]] = [{"accuracy": 0.5}]
    assert math.isnan(dataclasses.replace(candidate, test=one).spread("accuracy"))
    two = dataclasses.replace(candidate, test=[{"accuracy": 0.5}, {"accuracy": 0.7}])
    assert two.mean("accuracy", split="test") == pytest.approx(0.6)
    assert two.spread("accuracy") == pytest.approx(0.2 / math.sqrt(2))
    diverged = dataclasses.replace(candidate, val=[{"accuracy": 0.5}, {"accuracy": None}])
    assert math.isnan(diverged.mean("accuracy", split="val"))


def test_the_claim_of_a_dead_process_that_an_older_release_stored_is_taken_over(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    case = searched(spec, splits, [GOOD], 1)
    dead = dataclasses.replace(Owner.of_this_process(), started="long ago")
    case.study.set_user_attr(CLAIM_KEY, dataclasses.asdict(dead))
    final = case.objective.finalize(case.study, weights=tmp_path / "w.safetensors", **PUBLISHED)
    assert case.test.opened == 1
    assert len(final.chosen.val) == 3, "three seeds that the search has not used"
    saved = final.weights
    assert saved is not None
    assert hashlib.sha256(Path(saved["path"]).read_bytes()).hexdigest() == saved["sha256"]


def test_the_searchs_own_seed_trains_the_network_that_was_chosen_again(
    spec: ModelSpec, splits: Splits, tmp_path: Path
) -> None:
    case = searched(spec, splits, [GOOD, HEAD_ONLY], 4)
    own = case.objective.seeds
    final = case.objective.finalize(
        case.study,
        top=1,
        seeds=own,
        weights=tmp_path / "kept.safetensors",
        references=(),
        ending=PUBLISHED_ENDING,
    )
    [validated] = final.chosen.val
    assert final.chosen.name == f"trial {case.study.best_trial.number}"
    run = run_of(case.study, case.study.best_trial)
    assert run is not None and run.metrics == [validated]
    assert final.weights is not None


def test_of_two_that_finalize_at_once_one_opens_the_test(
    spec: ModelSpec, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found the study free, and the other one's claim came late."""
    case = searched(spec, splits, [GOOD], 1)
    twin = optuna.create_study(direction=case.objective.direction)
    twin.add_trials(case.study.trials)
    theirs = case.objective.finalize(
        twin, top=1, seeds=(0,), references=(), ending=PUBLISHED_ENDING
    )
    opened, train = case.test.opened, case.objective.trainer.train
    elsewhere = dataclasses.replace(Owner.of_this_process(), host="another-machine")
    lease = dataclasses.replace(Lease.of_this_process(), owner=elsewhere)

    def claim_meanwhile(*arguments: Any, **options: Any) -> Any:
        case.study.set_user_attr(CLAIM_KEY, lease.as_json())
        store = partial(case.study.set_user_attr, "olw:final", theirs.as_json())
        threading.Timer(1, store).start()
        return train(*arguments, **options)

    monkeypatch.setattr(case.objective.trainer, "train", claim_meanwhile)
    assert case.objective.finalize(case.study, top=1, seeds=(7,), **PUBLISHED) == theirs
    assert case.test.opened == opened


def constrained(case: Case, feasible: set[int]) -> optuna.Study:
    """The same trials, of which only some keep a constraint."""
    study = optuna.create_study(direction=case.objective.direction)
    for trial in case.study.trials:
        trial.system_attrs["constraints:memory"] = 0.0 if trial.number in feasible else 1.0
        study.add_trial(trial)
    return study


def test_finalists_are_feasible_however_good_the_others_are(case: Case) -> None:
    final = case.objective.finalize(constrained(case, {3}), top=3, seeds=(0,), **PUBLISHED)
    assert [finalist.name for finalist in final.finalists] == ["trial 3"]
    values = [trial.value or 0.0 for trial in case.study.trials]
    assert values[3] < max(values)


def test_search_without_a_feasible_trial_is_not_finalized(case: Case) -> None:
    opened = case.test.opened
    with pytest.raises(ValueError, match="no feasible trial yet; the least infeasible is trial"):
        case.objective.finalize(constrained(case, set()), seeds=(0,))
    assert case.test.opened == opened
