"""Values above what a row holds: whole on every storage, or an error, never a piece."""

from __future__ import annotations

import json

import optuna
import pytest
from databases import close
from optuna.storages import BaseStorage, InMemoryStorage

from optuna_layerwise.analysis.history import read
from optuna_layerwise.cli.progress import trial_line
from optuna_layerwise.records.attributes import UnreadableAttribute
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.run import RUN_KEY, Run, run_of
from optuna_layerwise.samplers import CatCMAwMSampler, rederive
from optuna_layerwise.storage import (
    FINAL_KEY,
    PART_KEY,
    IncompleteValueError,
    all_study_attrs,
    all_trials,
    compare_and_set,
    enqueue_once,
    open_storage,
    picture_of,
    requeue,
    set_user_attrs,
    study_attr,
    trial_record,
    write_once,
)
from optuna_layerwise.studies import work

RUN = Run(
    policy={f"features.denseblock{i % 4}.denselayer{i}.conv2": i / 7 for i in range(1_200)},
    generation=0,
    fold=0,
    trained_share=1.0,
    outcome="repeated",
    metrics=[{"accuracy": 0.5}] * 1_000,
)
LONG = {"names": [f'"block\\{i}" ü' for i in range(20_000)], "values": [0.1] * 3_000}


def test_a_long_value_is_whole_on_every_storage_and_no_row_is_long(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    assert len(json.dumps(LONG)) > 300_000
    assert write_once(study, "key", LONG) == LONG
    assert write_once(study, "key", {"other": 1}) == LONG
    assert all_study_attrs(study) == {"key": LONG}
    system = storage.get_study_system_attrs(study._study_id)
    rows = [json.dumps(value) for value in {**study.user_attrs, **system}.values()]
    assert max(map(len, rows)) <= 60_000
    longer = {**LONG, "more": 1}
    assert not compare_and_set(study, "key", longer, None)
    assert compare_and_set(study, "key", LONG, longer)
    assert study_attr(study, "key") == longer
    assert write_once(study, "short", "x" * 50_000) == study.user_attrs["short"], "one row"


def test_a_result_with_a_damaged_part_is_refused_and_what_is_left_stays(
    storage: BaseStorage,
) -> None:
    study = optuna.create_study(storage=storage)
    write_once(study, FINAL_KEY, LONG)
    head = study.user_attrs
    parts = storage.get_study_system_attrs(study._study_id)
    storage.set_study_system_attr(study._study_id, min(parts), "what somebody wrote")
    with pytest.raises(IncompleteValueError, match="not what was written"):
        study_attr(study, FINAL_KEY)
    with pytest.raises(UnreadableAttribute, match="not what was written"):
        stored_final(study)
    assert study.user_attrs == head


def _train(trial: optuna.Trial) -> float:
    set_user_attrs(trial, {RUN_KEY: RUN.as_json(), "seconds": 1.5})
    return trial.suggest_float("x", 0, 1)


def test_what_a_trial_of_many_blocks_stores_is_whole_for_all_who_read_it(
    storage: BaseStorage,
) -> None:
    study = optuna.create_study(storage=storage, study_name="blocks")
    work(study, _train, n_finished=2)
    assert len(json.dumps(RUN.as_json())) > 90_000
    copy = InMemoryStorage()
    optuna.copy_study(from_study_name="blocks", from_storage=storage, to_storage=copy)
    added = optuna.create_study(storage=storage, study_name="added")
    added.add_trials(study.trials)
    pictured = optuna.load_study(study_name="blocks", storage=picture_of(storage))
    copied = optuna.load_study(study_name="blocks", storage=copy)
    for one in (study, added, pictured, copied):
        for trial in all_trials(one):
            assert run_of(one, trial) == RUN
            stored = [json.dumps(v) for v in {**trial.user_attrs, **trial.system_attrs}.values()]
            assert max(map(len, stored)) <= 60_000, "it can be copied to any storage"
            assert len(json.dumps(trial.user_attrs)) < 500, "that is what a dashboard shows"
        assert [row.policy for row in read(one).rows] == [RUN.policy] * 2
        assert "(repeated, 0.0 s)" in trial_line(one, all_trials(one)[0])


def test_what_is_missing_of_a_trials_record_is_said_and_takes_no_other_along(
    storage: BaseStorage,
) -> None:
    study = optuna.create_study(storage=storage)
    work(study, _train, n_finished=1)
    [trial] = study.trials
    part = next(key for key in trial.system_attrs if key.startswith(PART_KEY))
    damaged = optuna.create_study(storage=storage)
    damaged.add_trial(trial)
    trial.system_attrs[part] = "what somebody wrote"
    damaged.add_trial(trial)
    with pytest.raises(UnreadableAttribute, match="'olw:run' of trial 1 .* not what was written"):
        run_of(damaged, damaged.trials[1])
    assert [row.policy for row in read(damaged).rows] == [RUN.policy, None]


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_a_search_of_many_parameters_draws_and_continues_where_rows_are_short(url: str) -> None:
    names = [f"features.denseblock4.denselayer{i:04}.conv2.rate" for i in range(1_100)]

    def train(trial: optuna.Trial) -> float:
        drawn.append([trial.suggest_float(name, 0, 1) for name in names[::300]])
        trial.set_user_attr("history", [0.1] * 40_000)
        return drawn[-1][0]

    drawn: list[list[float]] = []
    space = dict.fromkeys(names, optuna.distributions.FloatDistribution(0, 1))
    sampler = CatCMAwMSampler(seed=0, search_space=space)
    storage = open_storage(url)
    study = optuna.create_study(storage=storage, sampler=sampler)
    enqueue_once(study, [{name: 0.25 for name in names}])
    work(study, train, n_finished=3)
    assert drawn[0] == [0.25] * 4
    record = trial_record(all_trials(study)[2])
    assert len(json.dumps(record)) > 66_000
    assert all(trial.user_attrs["history"] == [0.1] * 40_000 for trial in study.trials)
    given_back = study.ask()
    drawn_before = [given_back.suggest_float(name, 0, 1) for name in names[::300]]
    before = trial_record(study.trials[3])
    assert requeue(study, study.trials[3])
    assert {**trial_record(study.trials[3]), "owner": 0} == {**before, "owner": 0}
    work(study, train, n_finished=4)
    assert drawn[3] == drawn_before
    assert rederive(study, sampler).differences == []
    close(storage)


@pytest.mark.sweep
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_long_values_are_whole_where_mysql_would_cut_them(url: str) -> None:
    storage = open_storage(f"{url}?init_command=SET SESSION sql_mode=''")
    study = optuna.create_study(storage=storage)
    assert write_once(study, FINAL_KEY, LONG) == LONG
    close(storage)


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_what_mysql_would_cut_is_an_error_whatever_the_mode_of_its_session(url: str) -> None:
    storage = open_storage(f"{url}?init_command=SET SESSION sql_mode=''")
    study = optuna.create_study(storage=storage)
    with pytest.raises(Exception, match="exceeding max length"):
        study.set_user_attr("key", "x" * 70_000)
    assert "key" not in study.user_attrs
    study.set_user_attr("key", "short")
    assert study.user_attrs["key"] == "short"
    close(storage)


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_names_that_a_database_does_not_hold_are_refused_before_anything_runs(url: str) -> None:
    storage = open_storage(url)
    with pytest.raises(ValueError, match="name of a study has at most 512 characters .* got 513"):
        optuna.create_study(storage=storage, study_name="n" * 513)
    study = optuna.create_study(storage=storage, study_name="n" * 512)
    trained = []

    def train(trial: optuna.Trial) -> float:
        trial.suggest_float("p" * 512, 0, 1)
        trial.suggest_float("q" * 513, 0, 1)
        trained.append(trial.number)
        return 0.0

    with pytest.raises(ValueError, match="name of a parameter has at most 512 .* got 513: 'qqq"):
        work(study, train, n_finished=1)
    assert not trained
    assert study.get_trials()[0].params.keys() == {"p" * 512}
    close(storage)


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_choices_that_mysql_does_not_hold_are_refused_when_they_are_suggested(url: str) -> None:
    storage = open_storage(url)
    study = optuna.create_study(storage=storage)
    choices = [f"choice {i:030}" for i in range(1_200)]
    assert study.ask().suggest_categorical("held", choices) in choices
    choices *= 2
    with pytest.raises(ValueError, match="'much' has at most 65,535 bytes of JSON .* got 106,954"):
        study.ask().suggest_categorical("much", [f"{i}{c}" for i, c in enumerate(choices)])
    close(storage)
