"""A picture of studies: one number of statements for any number, and hostile content is named."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from databases import close, storage
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.storages._rdb.models import BaseModel
from optuna.trial import create_trial

from optuna_layerwise.storage import (
    SQLiteFile,
    StorageUnusableError,
    all_trials,
    open_pictured,
    open_storage,
    open_to_read,
    picture_of,
    refused_of,
    study_names,
)
from optuna_layerwise.storage import sqlite as sqlite_files
from optuna_layerwise.storage.picture import COLUMNS
from optuna_layerwise.storage.reading import TABLES, newest_revision
from optuna_layerwise.storage.schema import Revisions

__all__ = ["storage"]

DEEP = "[" * 10_000 + "]" * 10_000
HOSTILE = {
    "nested 10,000 levels deep": ("UPDATE trial_user_attributes SET value_json = ?", DEEP),
    "nested 200 levels deep": (
        "UPDATE study_user_attributes SET value_json = ?",
        '{"a":' * 200 + "1" + "}" * 200,
    ),
    "no JSON": ("UPDATE study_system_attributes SET value_json = ?", "{'a': 1}"),
    "a number without end": ("UPDATE trial_system_attributes SET value_json = ?", "1" * 10_000),
    "half a pair of surrogates": ("UPDATE trial_user_attributes SET value_json = ?", '"\\ud800"'),
    "a NUL byte": ("UPDATE trial_user_attributes SET value_json = ?", '"a\0b"'),
    "bytes that are no text": ("UPDATE trial_user_attributes SET value_json = ?", b'"\xff"'),
    "a blob as text": (
        "UPDATE trial_user_attributes SET value_json = CAST(? AS TEXT)",
        b'"\xff\xfe"',
    ),
    "a distribution that is no JSON": ("UPDATE trial_params SET distribution_json = ?", "{"),
    "an unknown distribution": (
        "UPDATE trial_params SET distribution_json = ?",
        '{"name": "Evil", "attributes": {}}',
    ),
    "a distribution of a wrong shape": ("UPDATE trial_params SET distribution_json = ?", "[1]"),
    "a deep distribution": ("UPDATE trial_params SET distribution_json = ?", DEEP),
    "a choice that is none": ("UPDATE trial_params SET param_value = ?", 1e30),
    "text for a parameter": ("UPDATE trial_params SET param_value = ?", "high"),
    "text for a value": ("UPDATE trial_values SET value = ?", "high"),
    "no value": ("UPDATE trial_values SET value = ?", None),
    "an unknown kind of value": ("UPDATE trial_values SET value_type = ?", "COMPLEX"),
    "an unknown state": ("UPDATE trials SET state = ?", "ASLEEP"),
    "a time that is none": ("UPDATE trials SET datetime_start = ?", "yesterday"),
    "text for a number": ("UPDATE trials SET number = ?", "first"),
    "an unknown direction": ("UPDATE study_directions SET direction = ?", "SIDEWAYS"),
}


def fill(storage: BaseStorage, name: str) -> optuna.Study:  # noqa: F811
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    study.set_user_attr("a", {"b": [1, "ü"]})
    study.set_metric_names(["accuracy"])
    for value in (0.5, float("inf")):
        study.add_trial(
            create_trial(
                value=value,
                params={"x": 0.25, "c": "q"},
                distributions={
                    "x": FloatDistribution(0, 1),
                    "c": CategoricalDistribution(["p", "q"]),
                },
                user_attrs={"u": [1]},
                system_attrs={"s": {"t": None}},
                intermediate_values={
                    **{0: float("nan"), 3: 0.5},
                    **{4: float("inf"), 5: float("-inf")},
                },
            )
        )
    study.enqueue_trial({"x": 0.5})
    return study


def test_a_picture_of_a_study_equals_the_study(storage: BaseStorage) -> None:  # noqa: F811
    studies = [fill(storage, name) for name in ("a", "b")]
    url = getattr(getattr(storage, "_backend", None), "url", "")
    file = open_to_read(url) if url else storage
    assert isinstance(file, SQLiteFile) == url.startswith("sqlite")
    for shown in (picture_of(storage), picture_of(file), picture_of(file, ["a", "b"])):
        for study in studies:
            seen = open_pictured(shown, study.study_name)
            assert seen.directions == study.directions
            assert (seen.user_attrs, seen.metric_names) == (study.user_attrs, study.metric_names)
            assert repr(all_trials(seen)) == repr(all_trials(study))  # NaN is not equal to itself
            assert seen.best_trial.number == study.best_trial.number == 1
        assert refused_of(shown) == {}


def test_a_picture_of_some_studies_has_no_others(tmp_path: Path) -> None:
    opened = open_storage(url := f"sqlite:///{tmp_path}/study.db")
    studies = {name: fill(opened, name) for name in ("a", "b", "c")}
    for source in (opened, open_to_read(url)):
        assert study_names(source) == list(studies)
        shown = picture_of(source, ["b"])
        assert [study.study_name for study in shown.get_all_studies()] == ["b"]
        assert repr(all_trials(open_pictured(shown, "b"))) == repr(all_trials(studies["b"]))
    close(opened)


def test_statements_for_a_picture_do_not_depend_on_the_number_of_studies(tmp_path: Path) -> None:
    counts = []
    for n in (2, 30):
        opened = open_storage(f"sqlite:///{tmp_path}/{n}.db")
        for index in range(n):
            fill(opened, f"s{index}")
        counts.append(0)

        def count(*_: object) -> None:
            counts[-1] += 1

        engine = opened._backend.engine  # type: ignore[attr-defined]
        sqlalchemy.event.listen(engine, "before_cursor_execute", count)
        shown = picture_of(opened)
        trials = [len(all_trials(open_pictured(shown, f"s{index}"))) for index in range(n)]
        assert trials == [3] * n
        close(opened)
    assert counts[0] == counts[1] > 0


@pytest.mark.sweep(5)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_study_with_hostile_content_is_named_and_takes_no_other_along(
    what: str, tmp_path: Path
) -> None:
    opened = open_storage(url := f"sqlite:///{tmp_path}/study.db")
    for name in ("good", "bad", "better"):
        fill(opened, name)
    close(opened)
    statement, value = HOSTILE[what]
    table = statement.split()[1]
    of_study = "study_id = 2"
    where = of_study
    if table.startswith("trial_"):
        where = f"trial_id IN (SELECT trial_id FROM trials WHERE {of_study})"
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute("PRAGMA ignore_check_constraints = 1")
        database.execute(f"{statement} WHERE {where}", (value,))
        database.commit()
    reading = open_storage(url, read_only=True)
    for shown in (picture_of(reading), picture_of(open_to_read(url))):
        [(name, reason)] = refused_of(shown).items()
        assert name == "bad"
        assert "\n" not in reason
        assert len(reason) < 250
        with pytest.raises(ValueError, match="study 'bad' cannot be read: "):
            open_pictured(shown, "bad")
        for name in ("good", "better"):
            assert len(open_pictured(shown, name).trials) == 3
    close(reading)


def test_json_of_any_sound_kind_is_read(tmp_path: Path) -> None:
    opened = open_storage(f"sqlite:///{tmp_path}/study.db")
    kinds = {"n": float("nan"), "big": 10**400, "deep": json.loads("[" * 50 + "]" * 50), "e": "😀"}
    study = optuna.create_study(storage=opened, study_name="s")
    for key, value in kinds.items():
        study.set_user_attr(key, value)
    seen = open_pictured(picture_of(opened), "s").user_attrs
    assert repr(sorted(seen.items())) == repr(sorted(study.user_attrs.items()))
    close(opened)


def test_what_is_known_of_optuna_s_tables_is_what_optuna_says() -> None:
    tables = BaseModel.metadata.tables
    assert set(tables) == TABLES
    assert all(set(names) <= set(tables[table].c.keys()) for table, names in COLUMNS.items())
    assert newest_revision() == Revisions().get_head_version()


def test_a_file_that_stays_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "LOCK_SECONDS", 0.0)
    opened = open_storage(url := f"sqlite:///{tmp_path}/study.db", log=False)
    fill(opened, "s")
    close(opened)
    file = open_to_read(url, patience_seconds=0.1)
    with closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnusableError, match=r"gave up on sqlite:.*database is locked"):
            picture_of(file)
        with pytest.raises(ConnectionError, match=r"cannot open the storage .*is locked\. Expect"):
            open_to_read(url)
        other.execute("ROLLBACK")
    assert len(open_pictured(picture_of(file), "s").trials) == 3
