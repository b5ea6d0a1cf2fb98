"""Trials as the package stores them: one JSON record each, and giving a running one back.

Everything stored is plain JSON. Optuna has no atomic call that gives a running trial back, so
the relational storages get one transaction of ours and the others a second look.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from optuna import Study
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, Trial, TrialState

from optuna_layerwise.storage.owner import Owner

TRIAL_KEY = "olw:trial"
"""Trial system attribute: schema version, owner, and the sampler's record of the draw."""
TIE_KEY = "olw:tie"
"""Trial user attribute: decides between equal values, smaller is better (validation loss)."""
SCHEMA = 1
GENERATION_SIZE = 10
"""Trials per generation under a sampler that has none of its own."""


def all_trials(study: Study) -> list[FrozenTrial]:
    """Every trial by number, not copied: read, never change."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def stored_trial(trial: Trial) -> FrozenTrial:
    """A running trial as it is stored now."""
    return trial.study._storage.get_trial(trial._trial_id)


def trial_record(trial: FrozenTrial) -> dict[str, Any]:
    """What we stored with a trial; empty if nothing, or nothing that this version reads."""
    return _checked(trial.system_attrs.get(TRIAL_KEY))


def write_trial_record(study: Study, trial: FrozenTrial, record: Mapping[str, Any]) -> None:
    """Store a trial's record, with this process as its owner."""
    owned = {**record, "v": SCHEMA, "owner": dataclasses.asdict(Owner.of_this_process())}
    study._storage.set_trial_system_attr(trial._trial_id, TRIAL_KEY, owned)
    trial.system_attrs[TRIAL_KEY] = owned


def owner_of(trial: FrozenTrial) -> Owner | None:
    """The process that runs the trial, if that is known."""
    return _owner_in(trial_record(trial))


def generation_of(trial: FrozenTrial) -> int:
    """Generation of a trial: what our sampler stored, else its number // 10."""
    generation = trial_record(trial).get("generation")
    return generation if isinstance(generation, int) else trial.number // GENERATION_SIZE


def requeue(study: Study, trial: FrozenTrial) -> bool:
    """Give a running trial back: the next ask continues it, parameters and attributes kept.

    Only while it runs under the owner that ``trial`` shows, so that of several processes that
    see the same dead trial none takes it from the one that has claimed it since.
    """
    storage = study._storage
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        return _requeue_in_one_transaction(backend, trial)
    now = storage.get_trial(trial._trial_id)
    if now.state != TrialState.RUNNING or owner_of(now) != owner_of(trial):
        return False
    storage.set_trial_system_attr(trial._trial_id, TRIAL_KEY, _disowned(trial_record(now)))
    if isinstance(storage, InMemoryStorage):  # it looks for waiting trials from this number on
        storage._prev_waiting_trial_number[study._study_id] = 0
    return storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def _requeue_in_one_transaction(backend: RDBStorage, trial: FrozenTrial) -> bool:
    session = backend.scoped_session()
    with session.begin():
        if backend.engine.name == "sqlite":
            session.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        row = models.TrialModel.find_or_raise_by_id(trial._trial_id, session, for_update=True)
        attribute = models.TrialSystemAttributeModel.find_by_trial_and_key(row, TRIAL_KEY, session)
        record = _checked(json.loads(str(attribute.value_json))) if attribute else {}
        if row.state != TrialState.RUNNING or _owner_in(record) != owner_of(trial):
            return False
        backend._set_trial_attr_without_commit(
            session,
            models.TrialSystemAttributeModel,
            trial._trial_id,
            TRIAL_KEY,
            _disowned(record),
        )
        row.state = TrialState.WAITING
    return True


_TYPES = {
    "algorithm": str,
    "made_with": dict,
    "seed": int,
    "base": int,
    "end": int,
    "generation": int,
    "missing": list,
    "genes": dict,
    "given": dict,
    "facts": dict,
}


def _checked(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or record.get("v") != SCHEMA:
        return {}
    sound = all(isinstance(record[key], kind) for key, kind in _TYPES.items() if key in record)
    return record if sound else {}


def _owner_in(record: Mapping[str, Any]) -> Owner | None:
    owner = record.get("owner")
    if not isinstance(owner, dict) or set(owner) != {"host", "pid", "started"}:
        return None
    return Owner(**owner)


def _disowned(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "v": SCHEMA, "owner": None}
