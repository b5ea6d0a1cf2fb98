"""Trials that a study begins with, enqueued once by whichever process comes first.

Each has its place in the list in a system attribute, and is looked for in the very transaction
that adds it. So a process that dies half-way leaves the rest to the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_layerwise.io.plain import plain
from optuna_layerwise.storage import _rows as rows
from optuna_layerwise.storage.persistent import PersistentStorage, transaction
from optuna_layerwise.storage.study_attrs import alone
from optuna_layerwise.storage.trials import all_trials

FIRST_KEY = "olw:first"
"""Trial system attribute: the place of a trial among those that its study begins with."""


def enqueue_once(study: Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Enqueue those of a study's first trials that are not there yet, as `study.enqueue_trial`.

    Args:
        study: The study.
        points: Their parameters; the same list at each call.
    """
    storage, study_id = study._storage, study._study_id
    trials = {place: _trial(place, params) for place, params in enumerate(points)}
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        database = backend

        def add(again: bool) -> None:
            _add(database, study_id, trials)

        backend.persist(add) if isinstance(backend, PersistentStorage) else add(False)
        return
    with alone(storage):
        there = {trial.system_attrs.get(FIRST_KEY) for trial in all_trials(study)}
        for place, trial in trials.items():
            if place not in there:
                storage.create_new_trial(study_id, trial)


def _trial(place: int, params: Mapping[str, Any]) -> FrozenTrial:
    attributes = {"fixed_params": plain(params), FIRST_KEY: place}
    return create_trial(state=TrialState.WAITING, system_attrs=attributes)


def _add(backend: RDBStorage, study_id: int, trials: Mapping[int, FrozenTrial]) -> None:
    with transaction(backend) as session:
        StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        there = rows.values_in_trials(session, study_id, FIRST_KEY)
        for place, trial in trials.items():
            if place not in there:
                backend._get_prepared_new_trial(study_id, trial, session)
                session.flush()
