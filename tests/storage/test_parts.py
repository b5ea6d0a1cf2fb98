"""Values above what a row holds: whole on every storage, or an error, never a piece."""

from __future__ import annotations

import json

import optuna
import pytest
from databases import close
from optuna.storages import BaseStorage

from optuna_layerwise.attributes import UnreadableAttribute
from optuna_layerwise.results import stored_final
from optuna_layerwise.storage import (
    FINAL_KEY,
    IncompleteValueError,
    all_study_attrs,
    compare_and_set,
    open_storage,
    study_attr,
    write_once,
)
from optuna_layerwise.studies import work

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
