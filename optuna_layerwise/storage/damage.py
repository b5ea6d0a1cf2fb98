"""Stored attributes that are no JSON, or too deep: nobody can read a study that has one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna._imports import _LazyImport
from optuna.storages import BaseStorage, RDBStorage

from optuna_layerwise.io.plain import UNREADABLE, decoded
from optuna_layerwise.storage.journal import FileJournalStorage
from optuna_layerwise.storage.picture import study_names
from optuna_layerwise.storage.trials import all_trials

if TYPE_CHECKING:
    import sqlalchemy
    from optuna.storages._rdb import models
else:  # a journal is read without
    sqlalchemy = _LazyImport("sqlalchemy")
    models = _LazyImport("optuna.storages._rdb.models")


def _of_trials() -> tuple[Any, ...]:
    return models.TrialUserAttributeModel, models.TrialSystemAttributeModel


def _of_studies() -> tuple[Any, ...]:
    return models.StudyUserAttributeModel, models.StudySystemAttributeModel


@dataclasses.dataclass(frozen=True)
class Damaged:
    """One such attribute.

    Args:
        study: Name.
        trial: Number; ``None`` of an attribute of the study.
        key: Of the attribute.
        text: What is stored.
        table: Where; of a journal, the kind of attribute.
        row: Its number there; of a journal, the id of the study or trial.
        reason: What is wrong with it.
    """

    study: str
    trial: int | None
    key: str
    text: str
    table: str
    row: int
    reason: str = "it is no JSON"


def is_there(study: optuna.Study) -> bool:
    """Whether nobody has deleted the study."""
    return study.study_name in study_names(study._storage)


def trial_numbers(study: optuna.Study) -> list[int]:
    """As they are stored: Optuna keeps one trial of several with the same number."""
    backend = getattr(study._storage, "_backend", study._storage)
    if not isinstance(backend, RDBStorage):
        return [trial.number for trial in all_trials(study)]
    columns = models.TrialModel.__table__.c
    found = sqlalchemy.select(columns.number).where(columns.study_id == study._study_id)
    with backend.engine.connect() as connection:
        return list(connection.execute(found).scalars())


@contextlib.contextmanager
def naming_what_cannot_be_read(study: optuna.Study) -> Iterator[None]:
    """Inside, what cannot be read of a study's own attributes is an error that names one.

    Raises:
        ValueError: it has the attribute, the study, and what is wrong.
    """
    try:
        yield
    except UNREADABLE:
        for one in damaged_attributes(study._storage, study.study_name, trials=False):
            raise ValueError(
                f"attribute {one.key!r} of study {one.study!r} cannot be read: {one.reason}; "
                "`optuna-layerwise doctor` says what can be done"
            ) from None
        raise


def readable_attrs(study: optuna.Study) -> dict[str, Any]:
    """A study's user attributes, after a look at its system attributes, which pages read, too.

    Raises:
        ValueError: see `naming_what_cannot_be_read`.
    """
    with naming_what_cannot_be_read(study):
        study._storage.get_study_system_attrs(study._study_id)
        return dict(study._storage.get_study_user_attrs(study._study_id))


def damaged_attributes(storage: BaseStorage, study: str, *, trials: bool = True) -> list[Damaged]:
    """Those of a study and its trials, if they can be removed; elsewhere none are seen.

    What a line of a journal says is removed by a line that follows it, but a finished trial takes
    none.
    """
    if isinstance(storage, FileJournalStorage):
        found = _damaged_in_journal(storage, study)
        return [one for one in found if trials or one.trial is None]
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage):
        return []
    return list(
        _damaged(backend, study, (*_of_trials(), *_of_studies()) if trials else _of_studies())
    )


def remove_damaged(storage: BaseStorage, damaged: Damaged) -> None:
    """Delete an attribute that cannot be read, as long as it is what was seen."""
    if isinstance(storage, FileJournalStorage):
        getattr(storage, f"set_{damaged.table}")(damaged.row, damaged.key, None)
        return
    backend = getattr(storage, "_backend", storage)
    assert isinstance(backend, RDBStorage)
    [model] = [m for m in (*_of_trials(), *_of_studies()) if m.__tablename__ == damaged.table]
    columns = model.__table__.c
    [key] = list(model.__table__.primary_key)
    same = key == damaged.row
    if "\\x" not in str(damaged.text):  # so bytes are shown that are no text
        same &= columns.value_json == damaged.text
    from optuna_layerwise.storage.persistent import transaction  # with SQLAlchemy

    with transaction(backend) as session:
        session.execute(sqlalchemy.delete(model).where(same))


def _damaged_in_journal(storage: FileJournalStorage, study: str) -> Iterator[Damaged]:
    study_id = storage.get_study_id_from_name(study)
    for trial, kind, key, reason in storage.wrong_attributes(study_id):
        number, row = (None, study_id) if trial is None else (trial.number, trial._trial_id)
        yield Damaged(study, number, key, "", kind, row, reason)


def _damaged(backend: RDBStorage, study: str, tables: Sequence[Any]) -> Iterator[Damaged]:
    trials = models.TrialModel.__table__.c
    study_id = backend.get_study_id_from_name(study)
    with backend.engine.connect() as connection:
        for model in tables:
            columns = model.__table__.c
            [row] = list(model.__table__.primary_key)
            found = sqlalchemy.select(row, columns.key, columns.value_json)
            if model in _of_trials():
                found = found.add_columns(trials.number).join(
                    models.TrialModel, columns.trial_id == trials.trial_id
                )
                found = found.where(trials.study_id == study_id)
            else:
                found = found.where(columns.study_id == study_id)
            for number, key, text, *trial in connection.execute(found):
                try:
                    decoded(text)
                except ValueError as error:
                    of, table = trial[0] if trial else None, model.__tablename__
                    yield Damaged(study, of, key, text, table, number, str(error))
