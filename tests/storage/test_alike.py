"""Names that MariaDB takes for the same: refused, before anything is written or trained."""

from __future__ import annotations

import optuna
import pytest
import sqlalchemy
from databases import close
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.storage import (
    check_parameters_differ,
    holds_study,
    open_storage,
    set_user_attrs,
    write_once,
)
from optuna_layerwise.studies import open_study, work

ALIKE = [("Leaves", "léaves"), ("Leaves", "leaves"), ("a", "a "), ("Straße", "strasse")]


@pytest.fixture
def mariadb(url: str) -> str:
    """An empty database, by whose collation ``ß`` is ``ss``, too."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        name = connection.execute(sqlalchemy.text("SELECT DATABASE()")).scalar_one()
        change = f"ALTER DATABASE {name} COLLATE utf8mb4_unicode_ci"
        connection.execute(sqlalchemy.text(change))
    engine.dispose()
    return url


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
@pytest.mark.parametrize(("there", "asked"), ALIKE)
def test_no_study_is_opened_for_another_ones_name(mariadb: str, there: str, asked: str) -> None:
    storage = open_storage(mariadb)
    study = open_study(storage, study_name=there)
    study.set_user_attr("key", 1)
    said = f"study {asked!r} cannot be told apart from {there!r} .* choose another name"
    for open_it in (
        lambda: open_study(storage, study_name=asked),
        lambda: open_study(RDBStorage(mariadb), study_name=asked),
        lambda: optuna.create_study(storage=storage, study_name=asked),
        lambda: optuna.load_study(storage=storage, study_name=asked),
        lambda: optuna.delete_study(storage=storage, study_name=asked),
        lambda: holds_study(storage, asked),
    ):
        with pytest.raises(ValueError, match=said):
            open_it()
    assert open_study(storage, study_name=there).user_attrs == {"key": 1}
    assert [study.study_name for study in storage.get_all_studies()] == [there]
    assert not holds_study(storage, "another")
    close(storage)


def test_where_names_differ_all_are_kept_apart(storage: BaseStorage) -> None:
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage) and backend.engine.name == "mysql":
        pytest.skip("does not tell them apart")
    check_parameters_differ(storage, ["X", "x", "x "])
    for name in dict.fromkeys(name for pair in ALIKE for name in pair):
        study = open_study(storage, study_name=name)
        work(study, lambda trial: sum(trial.suggest_float(x, 0, 1) for x in "Xx"), n_finished=2)
        assert [trial.params.keys() for trial in study.trials] == [{"X", "x"}] * 2
    assert len(storage.get_all_studies()) == 7


@pytest.mark.sweep
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_no_parameter_takes_the_place_of_another_one(mariadb: str) -> None:
    trained = []

    def train(trial: optuna.Trial) -> float:
        names = ["x"] if trial.number == 1 else ["X", "x"] if trial.number == 3 else ["X"]
        values = [trial.suggest_float(name, 0, 1) for name in names]
        trial.report(0.0, 0)
        trained.append(trial.number)
        return sum(values)

    storage = open_storage(mariadb)
    study = open_study(storage, study_name="s")
    said = "parameter 'x' cannot be told apart from 'X'"
    work(study, train, n_finished=1)
    for number in (1, 3):
        with pytest.raises(ValueError, match=said):
            work(study, train, n_finished=number + 1)
        work(study, train, n_finished=number + 2)
    assert trained == [0, 2, 4]
    found = {trial.number: set(trial.params) for trial in study.trials}
    assert found == {0: {"X"}, 1: set(), 2: {"X"}, 3: {"X"}, 4: {"X"}}
    close(storage)


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_blocks_whose_parameters_are_alike_are_refused_before_there_is_a_study(
    mariadb: str,
) -> None:
    storage = open_storage(mariadb)
    alike = Encoding.preset("continuous", ["stage.a", "stage.A", "head"])
    with pytest.raises(ValueError, match=r"stage\.a.* cannot be told apart from .*stage\.A"):
        check_parameters_differ(storage, alike.search_space)
    check_parameters_differ(storage, Encoding.preset("binary", ["a", "b", "head"]).search_space)
    check_parameters_differ(storage, [])
    close(storage)


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_no_attribute_takes_the_place_of_another_one(mariadb: str) -> None:
    storage = open_storage(mariadb)
    study = open_study(storage, study_name="s")
    trial = study.ask()
    study.set_user_attr("Key", 1)
    trial.set_user_attr("Key", 1)
    for write in (
        lambda: study.set_user_attr("key", 2),
        lambda: write_once(study, "key", 2),
        lambda: trial.set_user_attr("key", 2),
        lambda: set_user_attrs(trial, {"key": 2}),
        lambda: study.add_trial(optuna.create_trial(value=0, user_attrs={"a": 1, "A": 2})),
    ):
        with pytest.raises(ValueError, match="attribute '(key|a|A)' cannot be told apart from"):
            write()
    study.set_user_attr("Key", 3)
    assert study.user_attrs == {"Key": 3}
    assert [t.user_attrs for t in study.trials] == [{"Key": 1}]
    study.tell(trial, state=TrialState.FAIL)
    close(storage)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_characters_that_a_database_does_not_hold_are_refused(url: str, name: str) -> None:
    storage = open_storage(url)
    with pytest.raises(ValueError, match="name of a study has no NUL and no half of a pair"):
        open_study(storage, study_name=name)
    study = open_study(storage, study_name="s")
    with pytest.raises(ValueError, match="name of a parameter has no NUL and no half of a pair"):
        study.ask().suggest_float(name, 0, 1)
    assert [study.study_name for study in storage.get_all_studies()] == ["s"]
    close(storage)
