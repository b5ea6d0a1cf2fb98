"""Optuna's relational storage, made for many workers that may die.

What differs from Optuna's, beside the patience of `PersistentStorage`:

* a claim of a waiting trial holds the write lock from before it reads (SQLite has no row locks,
  and Python's driver opens a transaction only at the first write, so two could claim the same);
* a trial is created or claimed together with its `Lease`, in one transaction, and its result is
  stored in one transaction with a look at the token: a worker that lost its trial tells nothing;
* the number of a new trial comes from the newest one instead of a count of all;
* the parameters of a leased trial and what the objective found out wait for the next write or
  read of the trial, a second at most, and are stored in one transaction;
* an attribute of a trial may be longer than a row of MySQL: it is stored in parts, and read whole.
  (Our own are split on every storage, and joined by who reads them; see `trial_attr`.)
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import threading
import weakref
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages._rdb.models import StudyModel, TrialModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from optuna_layerwise.storage import _rows as rows
from optuna_layerwise.storage import long_values
from optuna_layerwise.storage.alike import check_kept, check_parameter_alone
from optuna_layerwise.storage.leases import LEASE_KEY, Lease, LeaseLostError, lease_of
from optuna_layerwise.storage.lengths import check_parameter
from optuna_layerwise.storage.persistent import PersistentStorage, transaction


@dataclasses.dataclass
class _Held:
    """A trial that this process leases, and what is still to be written of it."""

    token: str
    params: dict[str, tuple[float, BaseDistribution]] = dataclasses.field(default_factory=dict)
    system_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)
    user_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def waits(self) -> bool:
        return bool(self.params or self.system_attrs or self.user_attrs)

    def write(self, session: Session, trial_id: int) -> None:
        rows.set_params(session, trial_id, self.params)
        rows.set_system_attrs(session, trial_id, self.system_attrs)
        rows.set_user_attrs(session, trial_id, self.user_attrs)


class RelationalStorage(PersistentStorage):
    """SQLite, PostgreSQL, MySQL or MariaDB for many workers; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except BaseException:  # of tables of another version, say
            with contextlib.suppress(AttributeError):  # there may be no engine yet
                self.engine.dispose()
            raise
        self._set_up()

    def _set_up(self) -> None:
        close, process = self.engine.dispose, os.getpid()
        # Who forgets a storage has its connections closed; not those of a parent process.
        forgotten = weakref.finalize(self, lambda: os.getpid() == process and close())
        forgotten.atexit = False
        self._held: dict[int, _Held] = {}
        self._created: dict[int, FrozenTrial] = {}
        self._lock = threading.RLock()
        self._here = threading.local()

    def __getstate__(self) -> dict[Any, Any]:
        state: dict[Any, Any] = super().__getstate__()
        ours = ("_held", "_created", "_lock", "_here")
        return {name: value for name, value in state.items() if name not in ours}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._set_up()

    # Trials with a lease.

    def claim(self, trial_id: int, lease: Lease) -> bool:
        """Take a waiting trial; whether it was still waiting."""

        def claim(again: bool) -> bool:
            with transaction(self) as session:
                row = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
                if again and rows.token(session, trial_id) == lease.token:
                    return True
                if row.state != TrialState.WAITING:
                    return False
                row.state, row.datetime_start = TrialState.RUNNING, datetime.now()
                rows.set_system_attrs(session, trial_id, {LEASE_KEY: lease.as_json()})
            return True

        claimed = self.persist(claim)
        if claimed:
            self._held[trial_id] = _Held(lease.token)
        return claimed

    def renew(self, trial_id: int, lease: Lease) -> bool:
        """Store one more sign of life; false if the trial is no longer this lease's."""

        def renew(again: bool) -> bool:
            with transaction(self) as session:
                row = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
                if row.state != TrialState.RUNNING or rows.token(session, trial_id) != lease.token:
                    return False
                rows.set_system_attrs(session, trial_id, {LEASE_KEY: lease.as_json()})
            return True

        return self.persist(renew)

    def holds(self, trial_id: int, lease: Lease) -> bool:
        """Whether this process has the trial under the lease, as far as it knows."""
        held = self._held.get(trial_id)
        return held is not None and held.token == lease.token

    def let_go(self, trial_id: int) -> None:
        """This process has nothing more to write of a trial."""
        with self._lock:
            self._held.pop(trial_id, None)

    def write_pending(self, trial_id: int) -> bool:
        """Write what waits to be written of a trial; false if that was lost or has finished."""

        def write(again: bool) -> bool:
            with transaction(self) as session:
                row = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
                if row.state != TrialState.RUNNING or rows.token(session, trial_id) != held.token:
                    return False
                held.write(session, trial_id)
            return True

        with self._lock:
            held = self._held.get(trial_id, _Held(""))
            if not held.waits:
                return True
            ours = self.persist(write)
            self._held[trial_id] = _Held(held.token)
        return ours

    @contextlib.contextmanager
    def one_reading(self) -> Iterator[None]:
        """Inside, in this thread, the cache around this storage reads a study's trials once."""
        self._here.read = set()
        try:
            yield
        finally:
            self._here.read = None

    # What Optuna calls.

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """As Optuna's, but a new template with a lease is an ask below the template's number."""
        lease = None  # of a copy it says nothing
        if template_trial is not None and template_trial._trial_id < 0 <= template_trial.number:
            lease = lease_of(template_trial)

        def create(again: bool) -> FrozenTrial:
            with transaction(self) as session:
                StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
                if lease is None or template_trial is None:
                    row = self._get_prepared_new_trial(study_id, template_trial, session)
                    session.flush()
                else:
                    before = rows.created_with(session, study_id, lease) if again else None
                    row = before or rows.create_below(session, study_id, template_trial)
                return rows.frozen(row, template_trial)

        created = self.persist(create)
        if lease is not None:
            self._held[created._trial_id] = _Held(lease.token)
            self._created[created._trial_id] = created
        return created

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As Optuna's; what was just created for an ask is not read."""
        created = self._created.pop(trial_id, None)
        if created is not None:
            return copy.deepcopy(created)  # the cache has the other one
        self.write_pending(trial_id)
        return super().get_trial(trial_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's, but atomic on SQLite too, and only by whoever holds the lease.

        Raises:
            LeaseLostError: if that is another process by now.
        """

        def store(again: bool) -> bool:
            with transaction(self) as session:
                row: Any = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
                if held is not None and rows.token(session, trial_id) != held.token:
                    raise LeaseLostError(f"trial {row.number} was given to another worker")
                if again and row.state == state and state.is_finished():
                    return True
                self.check_trial_is_updatable(trial_id, row.state)
                if state == TrialState.RUNNING and row.state != TrialState.WAITING:
                    return False
                if held is not None:
                    held.write(session, trial_id)
                for objective, value in enumerate(values or ()):
                    self._set_trial_value_without_commit(session, row, objective, value)
                row.state = state
                if state == TrialState.RUNNING:
                    row.datetime_start = datetime.now()
                elif state.is_finished():
                    row.datetime_complete = datetime.now()
            return True

        with self._lock:
            held = self._held.get(trial_id)
            stored = self.persist(store)
            self.let_go(trial_id)
        return stored

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        check_parameter(param_name, distribution, database=self.engine.name)
        with self._lock:
            held = self._held.get(trial_id)
            if held is not None and previous_distribution is not None:
                check_distribution_compatibility(previous_distribution, distribution)
                held.params[param_name] = (param_value_internal, distribution)
                return
        self.write_pending(trial_id)

        def look(again: bool) -> None:
            with transaction(self) as session:
                check_parameter_alone(session, trial_id, param_name)

        if self.engine.name == "mysql":
            self.persist(look)
        super()._set_trial_param(
            trial_id, param_name, param_value_internal, distribution, previous_distribution
        )

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's; of a leased trial, it is written with what comes next."""
        with self._lock:
            if (held := self._held.get(trial_id)) is not None:
                held.system_attrs[key] = value
                return
        super().set_trial_system_attr(trial_id, key, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's, after what waits to be written."""
        self.write_pending(trial_id)
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_attrs(
        self, trial_id: int, *, user: Mapping[str, Any], system: Mapping[str, Any]
    ) -> None:
        """Several at once; of a leased trial, they are written with what comes next."""

        def store(again: bool) -> None:
            with transaction(self) as session:
                row: Any = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
                self.check_trial_is_updatable(trial_id, row.state)
                rows.set_system_attrs(session, trial_id, system)
                rows.set_user_attrs(session, trial_id, user)

        with self._lock:
            if (held := self._held.get(trial_id)) is not None:
                held.system_attrs.update(system)
                held.user_attrs.update(user)
                return
        self.persist(store)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """As Optuna's, after what waits to be written."""
        self.write_pending(trial_id)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def _set_trial_attr_without_commit(
        self, session: Session, model_cls: Any, trial_id: int, key: str, value: Any
    ) -> None:
        short, pieces = rows.fitting(session, {key: value})
        rows.set_system_attrs(session, trial_id, pieces)
        super()._set_trial_attr_without_commit(session, model_cls, trial_id, key, short[key])
        check_kept(session, model_cls, "key", {"trial_id": trial_id}, [key])

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's, but no key that the database takes for another one."""
        self._check_key(study_id, key, system=False)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's, but no key that the database takes for another one."""
        self._check_key(study_id, key, system=True)
        super().set_study_system_attr(study_id, key, value)

    def _check_key(self, study_id: int, key: str, *, system: bool) -> None:
        def look(again: bool) -> None:
            with transaction(self) as session:
                rows.study_attr(session, study_id, key, system=system)

        if self.engine.name == "mysql":
            self.persist(look)

    def _build_frozen_trial_from_trial_model(self, trial: TrialModel) -> FrozenTrial:
        frozen = super()._build_frozen_trial_from_trial_model(trial)
        for attributes in (frozen.user_attrs, frozen.system_attrs):
            for key, value in attributes.items():
                if long_values.is_head(value) and not key.startswith("olw:"):
                    with contextlib.suppress(long_values.IncompleteValueError):
                        attributes[key] = long_values.joined(value, frozen.system_attrs)
        return frozen

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        read = getattr(self._here, "read", None)
        by_cache = bool(included_trial_ids) or trial_id_greater_than > -1
        if read is not None and by_cache:
            if study_id in read:
                return []
            read.add(study_id)
        for trial_id in list(self._held):
            self.write_pending(trial_id)
        return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
