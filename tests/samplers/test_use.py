"""A sampler in the hands of its users: threads, pickles, several studies, other tools."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import optuna
import pytest
from rederiving import assert_rederives
from searching import SPACE, mixed, run, small, value

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler
from optuna_layerwise.storage import (
    TRIAL_KEY,
    all_trials,
    generation_of,
    owner_of,
    requeue,
    trial_record,
)


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def searched(seed: int | None, n_trials: int = 30) -> optuna.Study:
    study = optuna.create_study(sampler=small(seed))
    run(study, n_trials)
    return study


def test_seed_decides_the_study_and_another_seed_is_another_study() -> None:
    assert params(searched(0)) == params(searched(0)) != params(searched(1))


def test_seed_of_the_first_trial_wins_with_one_warning() -> None:
    study = searched(0, 10)
    study.sampler = small(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(study, 20)
    messages = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(messages) == 1 and "seed 0" in messages[0] and "seed 1" in messages[0]
    assert params(study) == params(searched(0))


def test_without_a_seed_studies_differ_but_each_is_drawn_again_from_its_records() -> None:
    first, second = searched(None), searched(None)
    assert params(first) != params(second)
    assert assert_rederives(first, small(None)) == 30 * 4
    seed = trial_record(first.trials[0])["seed"]
    assert params(first) == params(searched(seed))


def test_study_without_a_seed_is_continued_with_the_stored_one() -> None:
    study = searched(None, 10)
    seed = trial_record(study.trials[0])["seed"]
    study.sampler = small(None)
    run(study, 20)
    assert params(study) == params(searched(seed))


def test_reseeding_changes_nothing() -> None:
    study = optuna.create_study(sampler=small())
    for _ in range(30):
        study.sampler.reseed_rng()
        run(study, 1)
    assert params(study) == params(searched(0))


@pytest.mark.parametrize("space", [None, SPACE])
def test_four_threads_share_a_sampler(space: Any) -> None:
    study = optuna.create_study(sampler=small(space=space))
    study.optimize(value, n_trials=60, n_jobs=4)
    assert [trial.number for trial in study.trials] == list(range(60))
    assert assert_rederives(study, small(space=space)) == 240


def test_pickled_sampler_continues_between_trials_and_within_one() -> None:
    study = optuna.create_study(sampler=small())
    for _ in range(30):
        trial = study.ask()
        trial.suggest_float("x", -2, 3)
        study.sampler = pickle.loads(pickle.dumps(study.sampler))
        study.tell(trial, value(trial))
    expected = optuna.create_study(sampler=small())
    expected.optimize(value, n_trials=30)
    assert params(study) == params(expected)


def test_sampler_works_on_two_studies_in_turn_even_within_a_trial() -> None:
    sampler = small()
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    for _ in range(30):
        trials = [study.ask() for study in studies]
        for study, trial, shift in zip(studies, trials, (0, 1), strict=True):
            outcome = value(trial)
            study.tell(trial, -outcome if shift else outcome)
    for study, sign in zip(studies, (1, -1), strict=True):
        expected = optuna.create_study(sampler=small())
        expected.optimize(lambda trial, sign=sign: sign * value(trial), n_trials=30)
        assert params(study) == params(expected)


def test_given_parameters_of_a_partial_sampler_are_executed_and_known() -> None:
    sampler = small()
    study = optuna.create_study(sampler=optuna.samplers.PartialFixedSampler({"n": 7}, sampler))
    run(study, 30)
    assert {trial.params["n"] for trial in study.trials} == {7}
    assert "child" in {trial_record(t)["facts"]["kind"] for t in study.trials}


def test_hyperband_pruner_leaves_the_search_as_it_is() -> None:
    study = optuna.create_study(
        sampler=small(), pruner=optuna.pruners.HyperbandPruner(max_resource=4)
    )
    run(study, 30)
    assert params(study) == params(searched(0))
    assert_rederives(study, small())


def test_trial_has_an_owner_and_the_generation_of_its_number() -> None:
    study = optuna.create_study(sampler=BioTuneSampler(seed=0))
    run(study, 40)
    assert [generation_of(trial) for trial in study.trials] == [0] * 23 + [1] * 13 + [2] * 4
    study.sampler = optuna.samplers.RandomSampler()
    run(study, 2)
    assert [generation_of(trial) for trial in study.trials[-2:]] == [4, 4]
    owner = owner_of(all_trials(study)[0])
    assert owner is not None and not owner.is_dead


def test_more_than_three_objectives_are_refused_by_name() -> None:
    study = optuna.create_study(directions=["minimize"] * 4, sampler=small())
    with pytest.raises(ValueError, match="NSGAIISampler"):
        study.ask()


def test_search_space_of_single_values_is_searched_without_warnings() -> None:
    study = optuna.create_study(
        sampler=small(space={"x": optuna.distributions.IntDistribution(1, 1)})
    )
    study.optimize(lambda trial: trial.suggest_int("x", 1, 1), n_trials=20)
    assert {trial.params["x"] for trial in study.trials} == {1}


def test_objective_without_parameters_runs() -> None:
    study = optuna.create_study(sampler=small())
    study.optimize(lambda trial: 1.0, n_trials=20)
    assert trial_record(study.trials[-1])["base"] > 5


def test_reading_is_incremental() -> None:
    """An ask after 400 trials tells the algorithm only what is new."""
    told: list[int] = []
    sampler = small()
    tell = type(sampler._algorithm).tell

    class Counting(type(sampler._algorithm)):  # type: ignore[misc]
        def tell(self, state: Any, cohort: int, members: Any) -> Any:
            told.append(cohort)
            return tell(self, state, cohort, members)

    sampler._algorithm = Counting(population=4, elites=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=400)
    assert len(told) < 330, "once each, and once more for the first, which brings the parameter"


def test_importing_the_samplers_imports_no_torch() -> None:
    code = "import optuna_layerwise.samplers, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_mixed_study_raises_no_warning_with_an_unrelated_pruner() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed(small())


def test_other_options_are_told_and_take_what_was_found_as_points_of_somebody_else() -> None:
    study = optuna.create_study(sampler=small())
    study.optimize(value, n_trials=12)
    study.sampler = BioTuneSampler(population=6, elites=1)
    with pytest.warns(UserWarning, match="with other options"):
        study.optimize(value, n_trials=12)
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)
    assert_rederives(study, BioTuneSampler(population=6, elites=1))


def test_a_corrupt_record_counts_as_none() -> None:
    study = optuna.create_study(sampler=small())
    study.optimize(value, n_trials=6)
    trial = study.ask()
    broken = {"v": 1, "algorithm": 3, "base": "x", "missing": None, "owner": [], "facts": 1}
    study._storage.set_trial_system_attr(trial._trial_id, TRIAL_KEY, broken)
    study.tell(trial, value(trial))
    study.optimize(value, n_trials=6)
    assert len(study.trials) == 13


def test_a_trial_goes_on_after_the_space_was_widened() -> None:
    study = optuna.create_study(sampler=small(space={"x": SPACE["x"]}))
    study.ask()
    requeue(study, all_trials(study)[0])
    study.sampler = small(space=SPACE)
    trial = study.ask()
    assert trial.number == 0
    study.tell(trial, value(trial))
    assert set(study.trials[0].params) == set(SPACE)


def test_a_record_that_lacks_a_part_is_drawn_anew() -> None:
    study = optuna.create_study(sampler=small())
    study.ask()
    trial = all_trials(study)[0]
    record = {k: v for k, v in trial_record(trial).items() if k != "genes"}
    study._storage.set_trial_system_attr(trial._trial_id, TRIAL_KEY, record)
    requeue(study, all_trials(study)[0])
    again = study.ask()
    assert again.number == 0
    study.tell(again, value(again))
    assert "genes" in trial_record(study.trials[0])


@pytest.mark.parametrize("sampler", [small, lambda seed: CatCMAwMSampler(seed=seed)])
def test_studies_that_start_from_the_trials_of_another_follow_their_own_seeds(
    sampler: Any,
) -> None:
    other = optuna.create_study(sampler=sampler(0))
    run(other, 20)
    drawn = []
    for seed in (1, 2, 3):
        study = optuna.create_study(sampler=sampler(seed))
        study.add_trials(other.trials)
        run(study, 10)
        assert_rederives(study, sampler(None))
        assert {trial_record(trial)["seed"] for trial in study.trials[20:]} == {seed}
        drawn.append(params(study)[20:])
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_trials_that_were_added_to_their_own_study_again_are_foreign_points() -> None:
    study = searched(0, 20)
    study.add_trials(study.trials)
    run(study, 10)
    rederived = assert_rederives(study, small(None))
    assert rederived == 30 * 4


def test_copied_study_continues_as_its_source_would_have() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="source", storage=storage, sampler=small())
    run(study, 20)
    optuna.copy_study(
        from_study_name="source",
        from_storage=storage,
        to_storage=storage,
        to_study_name="copy",
    )
    copy = optuna.load_study(study_name="copy", storage=storage, sampler=small())
    for each in (study, copy):
        run(each, 20)
    assert params(copy) == params(study)


def test_records_of_a_version_that_stored_no_study_are_the_studys_own() -> None:
    whole, trials = searched(0, 40), searched(0, 20).trials
    for trial in trials:
        for name in ("study", "trial"):
            trial.system_attrs[TRIAL_KEY].pop(name)
    older = optuna.create_study(sampler=small(None))
    older.add_trials(trials)
    run(older, 20)
    assert params(older) == params(whole)
