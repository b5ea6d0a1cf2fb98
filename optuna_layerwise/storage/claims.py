"""Trials that are asked for, kept, told and given back under a lease, on any storage.

Our relational storage does each of these in one transaction, and a journal file is locked
meanwhile. Elsewhere there is a look at the lease immediately before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna import Study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.storages._rdb.models import TrialModel
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from optuna_layerwise.storage import _rows as rows
from optuna_layerwise.storage import long_values
from optuna_layerwise.storage.journal import FileJournalStorage
from optuna_layerwise.storage.leases import LEASE_KEY, NO_LEASE, Lease, LeaseLostError, lease_of
from optuna_layerwise.storage.owner import Owner
from optuna_layerwise.storage.persistent import transaction
from optuna_layerwise.storage.relational import RelationalStorage
from optuna_layerwise.storage.trials import SCHEMA, TRIAL_KEY, record_in


def ask(study: Study, lease: Lease, *, below: int) -> Trial | None:
    """The first trial that waits, or else a new one, under a lease.

    As `study.ask`, but for the lease, and for no trial whose number is ``below`` or above; then
    ``None``. So it is where the storage was away for longer than the lease, and the trial has gone
    to another worker. (In a storage that is not ours another worker may be quicker: a trial too
    many then waits for a target that includes it.)
    """
    study._thread_local.cached_all_trials = None
    storage, backend = study._storage, relational(study._storage)
    with backend.one_reading() if backend else contextlib.nullcontext():
        with _alone(storage):
            trial_id = _take(study, backend, lease, below)
        trial = None if trial_id is None else Trial(study, trial_id)
    if backend is None or trial is None:
        return trial
    if not backend.write_pending(trial._trial_id):  # what it was drawn from, for all to see
        backend.let_go(trial._trial_id)
        return None
    return trial


def _take(study: Study, backend: RelationalStorage | None, lease: Lease, below: int) -> int | None:
    storage = study._storage
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    for trial in trials[:below]:
        waits = trial.state == TrialState.WAITING
        if waits and _claim(storage, backend, trial._trial_id, lease):
            return trial._trial_id
    if len(trials) >= below:
        return None
    template = create_trial(state=TrialState.RUNNING, system_attrs={LEASE_KEY: lease.as_json()})
    template.number, template.datetime_start = below, datetime.now()
    try:
        trial_id = storage.create_new_trial(study._study_id, template)
    except rows.TargetReachedError:
        return None
    if backend is None:
        created = storage.get_trial(trial_id)
        if created.number >= below:
            requeue(study, created)
            return None
    return trial_id


def _claim(
    storage: BaseStorage, backend: RelationalStorage | None, trial_id: int, lease: Lease
) -> bool:
    if backend is not None:
        return backend.claim(trial_id, lease)
    with _alone(storage):
        try:
            if not storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        storage.set_trial_system_attr(trial_id, LEASE_KEY, lease.as_json())
    return True


def renew(trial: Trial, lease: Lease) -> bool:
    """Give a sign of life; false if the trial is no longer this lease's, or has ended."""
    backend = relational(trial.storage)
    if backend is not None:
        return backend.renew(trial._trial_id, lease)
    with _alone(trial.storage):
        if not _holds(trial.storage, trial._trial_id, lease):
            return False
        try:
            trial.storage.set_trial_system_attr(trial._trial_id, LEASE_KEY, lease.as_json())
        except UpdateFinishedTrialError:
            return False
    return True


def is_seen_by_threads(storage: BaseStorage) -> bool:
    """Whether all threads share it; a database in memory is one a thread."""
    backend = getattr(storage, "_backend", storage)
    in_memory = (None, "", ":memory:")
    return not (isinstance(backend, RDBStorage) and backend.engine.url.database in in_memory)


def write_pending(trial: Trial) -> None:
    """Write at once what a relational storage of ours would write together with what follows."""
    if (backend := relational(trial.storage)) is not None:
        backend.write_pending(trial._trial_id)


def tell(
    study: Study, trial: Trial, lease: Lease, state: TrialState, values: Sequence[float] | None
) -> None:
    """Store the outcome of a trial.

    Raises:
        LeaseLostError: if the trial was given to another worker meanwhile.
        UpdateFinishedTrialError: if somebody has ended it.
    """
    study._thread_local.cached_all_trials = None
    with _alone(trial.storage):
        _tell(study, trial, lease, state, values)


def _tell(
    study: Study, trial: Trial, lease: Lease, state: TrialState, values: Sequence[float] | None
) -> None:
    trial_id, storage = trial._trial_id, trial.storage
    backend = relational(storage)
    if not (backend.holds(trial_id, lease) if backend else _holds(storage, trial_id, lease)):
        if storage.get_trial(trial_id).state.is_finished():
            raise UpdateFinishedTrialError(f"trial {trial.number} has been ended by somebody")
        raise LeaseLostError(f"trial {trial.number} was given to another worker")
    frozen = trial._get_latest_trial()
    if state == TrialState.PRUNED and frozen.intermediate_values:
        last = frozen.intermediate_values[max(frozen.intermediate_values)]
        values = [last] if last == last else None  # no NaN
    try:
        study.sampler.after_trial(study, frozen, state, values)
    finally:
        storage.set_trial_state_values(trial_id, state, values)


def set_user_attrs(trial: Trial, attrs: Mapping[str, Any]) -> None:
    """As `trial.set_user_attr` of each, but in one transaction where there are any.

    Long values are stored in parts, which are system attributes, on every storage, so that the
    trial can be copied to any; `trial_attr` reads them.
    """
    short, pieces = long_values.split_all(attrs)
    backend = relational(trial.storage)
    if backend is None:
        for key, value in pieces.items():
            trial.storage.set_trial_system_attr(trial._trial_id, key, value)
        for key, value in short.items():
            trial.set_user_attr(key, value)
    else:
        backend.set_trial_attrs(trial._trial_id, user=short, system=pieces)
        trial._cached_frozen_trial.user_attrs.update(short)


def let_go(trial: Trial) -> None:
    """This process has nothing more to write of a trial."""
    if (backend := relational(trial.storage)) is not None:
        backend.let_go(trial._trial_id)


def requeue(study: Study, trial: FrozenTrial, *, unrenewed: bool = False) -> bool:
    """Give a running trial back: the next ask continues it, parameters and attributes kept.

    Only while it runs under the owner and the lease that ``trial`` shows, so that of several
    processes that see the same dead trial none takes it from the one that has claimed it since.

    Args:
        study: Its study.
        trial: As it was read.
        unrenewed: Only if the lease was not renewed since then.
    """

    def disowned(stored: Mapping[str, Any]) -> dict[str, Any] | None:
        if _holder(stored, unrenewed) != _holder(trial.system_attrs, unrenewed):
            return None
        record = {**record_in(stored), "v": SCHEMA, "owner": None}
        short, pieces = long_values.split_all({LEASE_KEY: NO_LEASE, TRIAL_KEY: record})
        return {**pieces, **short}

    storage, trial_id = study._storage, trial._trial_id
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RelationalStorage):
        backend.write_pending(trial_id)
        given = backend.persist(lambda again: _give_back(backend, trial_id, disowned, again))
        if given:
            backend.let_go(trial_id)
        return given
    if isinstance(backend, RDBStorage):
        return _give_back(backend, trial_id, disowned, False)
    with _alone(storage):
        now = storage.get_trial(trial_id)
        changes = disowned(now.system_attrs) if now.state == TrialState.RUNNING else None
        if changes is None:
            return False
        for key, value in changes.items():
            storage.set_trial_system_attr(trial_id, key, value)
        if isinstance(storage, InMemoryStorage):  # it looks for waiting ones from here on
            storage._prev_waiting_trial_number[study._study_id] = 0
        return storage.set_trial_state_values(trial_id, TrialState.WAITING)


def _holder(system_attrs: Mapping[str, Any], with_renewals: bool) -> object:
    """Who has the trial."""
    lease = Lease.from_json(system_attrs.get(LEASE_KEY))
    if lease is None:
        return Owner.from_json(record_in(system_attrs).get("owner"))
    return lease.token, lease.renewals if with_renewals else None


def _give_back(
    backend: RDBStorage,
    trial_id: int,
    changed: Callable[[dict[str, Any]], dict[str, Any] | None],
    again: bool,
) -> bool:
    with transaction(backend) as session:
        row = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if again and row.state == TrialState.WAITING:
            return True
        stored = rows.system_attrs(session, trial_id)
        changes = changed(stored) if row.state == TrialState.RUNNING else None
        if changes is None:
            return False
        rows.set_system_attrs(session, trial_id, changes)
        row.state = TrialState.WAITING
    return True


def _alone(storage: BaseStorage) -> contextlib.AbstractContextManager[None]:
    """Nobody else writes meanwhile, where that can be had."""
    if isinstance(storage, FileJournalStorage):
        return storage.alone()
    return contextlib.nullcontext()


def _holds(storage: BaseStorage, trial_id: int, lease: Lease) -> bool:
    now = storage.get_trial(trial_id)
    held = lease_of(now)
    return now.state == TrialState.RUNNING and held is not None and held.token == lease.token


def relational(storage: BaseStorage) -> RelationalStorage | None:
    """Ours behind Optuna's cache, if that is what the storage is."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, RelationalStorage) else None
