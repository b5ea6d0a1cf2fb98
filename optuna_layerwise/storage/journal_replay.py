"""What the lines of a journal amount to: Optuna's own replay, of lines that were checked.

A line that nobody can say anything about ends the reading. One that is wrong about one study makes
that study unreadable, until a later line puts it right, and no other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from optuna.storages.journal._storage import JournalOperation as Op
from optuna.storages.journal._storage import JournalStorageReplayResult
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.io.plain import UNREADABLE, shortened
from optuna_layerwise.storage.journal_lines import record_of

_OF_TRIALS = {
    *(Op.SET_TRIAL_PARAM, Op.SET_TRIAL_STATE_VALUES, Op.SET_TRIAL_INTERMEDIATE_VALUE),
    *(Op.SET_TRIAL_USER_ATTR, Op.SET_TRIAL_SYSTEM_ATTR),
}
_ATTRIBUTES = {
    *(Op.SET_STUDY_USER_ATTR, Op.SET_STUDY_SYSTEM_ATTR),
    *(Op.SET_TRIAL_USER_ATTR, Op.SET_TRIAL_SYSTEM_ATTR),
}
_OF_STUDIES = {
    *(Op.DELETE_STUDY, Op.SET_STUDY_USER_ATTR, Op.SET_STUDY_SYSTEM_ATTR, Op.CREATE_TRIAL)
}
_Place = tuple[int | None, int, str]
"""Id of a trial, or none of a study; operation; name of what is set."""


class Replay(JournalStorageReplayResult):
    """Studies and trials as they are after so many lines.

    Args:
        worker_id_prefix: As Optuna's.

    Attributes:
        faults: Id of a study to what is wrong with it, and where.
        strays: Number of a line to what it is about, though that was never created.
    """

    def __init__(self, worker_id_prefix: str) -> None:
        super().__init__(worker_id_prefix)
        self.faults: dict[int, dict[_Place, str]] = {}
        self.strays: dict[int, str] = {}
        self._fresh: set[tuple[str, int]] = set()

    def begin(self) -> None:
        """From here on, what was given to others is not changed any more, but copied."""
        self._fresh.clear()

    def apply_line(self, line: bytes) -> str:
        """Do what the next line says; returns what is wrong with it, if that ends nothing else.

        Raises:
            BadLineError: if it cannot be said what it is about; it is then not counted.
            Exception: what Optuna raises of a line that this very object has written.
        """
        record, fault = record_of(line)
        stray = self._stray(record)
        if not (fault or stray):
            try:
                self.apply_logs([record])
            except UNREADABLE as error:
                if self._is_issued_by_this_worker(record):
                    raise
                fault = f"{type(error).__name__}: {error}"
                if isinstance(error, KeyError):
                    fault = f"it lacks {error}"
            else:
                self._forget_fault(record)
                return ""
        else:
            self.log_number_read += 1
        if stray:
            self.strays[self.log_number_read] = stray
            return f"it is about {stray}, which was never created"
        self._note_fault(record, fault)
        return fault

    def fault_of(self, study_id: int, *, trials: bool | None = None) -> str:
        """What is wrong with a study, with itself or with its trials; empty if nothing."""
        places = self.faults.get(study_id, {})
        found = [
            why
            for (trial, *_), why in places.items()
            if trials is None or trials is (trial is not None)
        ]
        return found[0] + (f" (and {len(found) - 1} more)" if found[1:] else "") if found else ""

    def wrong_attributes(
        self, study_id: int
    ) -> Iterator[tuple[FrozenTrial | None, str, str, str]]:
        """Trial or none, kind, key and fault of attributes that a later line can put right."""
        for (trial_id, op, key), why in self.faults.get(study_id, {}).items():
            trial = None if trial_id is None else self._trials[trial_id]
            if op in _ATTRIBUTES and key and not (trial and trial.state.is_finished()):
                yield trial, Op(op).name.lower().removeprefix("set_"), key, why

    def _stray(self, record: dict[str, Any]) -> str:
        """What a record is about, if that was never created."""
        op = record["op_code"]
        if op in _OF_TRIALS and record["trial_id"] >= len(self._trials):
            return f"trial_id {record['trial_id']}"
        if op in _OF_STUDIES and record["study_id"] >= self._next_study_id:
            return f"study_id {record['study_id']}"
        return ""

    def _note_fault(self, record: dict[str, Any], fault: str) -> None:
        """Make its study unreadable; what is created wrongly is created, so that others count."""
        op, by_nobody = record["op_code"], {"worker_id": ""}
        if op == Op.CREATE_STUDY:
            name, before = record["study_name"], self._next_study_id
            self._apply_create_study({**by_nobody, "study_name": name, "directions": [0]})
            if before == self._next_study_id:
                return  # there is one of that name
            study_id = before
        elif op in _OF_TRIALS:
            study_id = self._trial_id_to_study_id[record["trial_id"]]
        elif op in _OF_STUDIES:
            study_id = record["study_id"]
        else:
            return
        trial_id = record["trial_id"] if op in _OF_TRIALS else None
        if op == Op.CREATE_TRIAL and study_id in self._studies:
            trial_id = len(self._trials)
            empty = {"study_id": study_id, "state": TrialState.FAIL, "datetime_start": None}
            self._apply_create_trial({**by_nobody, **empty})
        place = _place(record, trial_id)
        of = f" (attribute {shortened(place[2])})" if place[2] else ""
        said = f"line {self.log_number_read} of the journal is wrong{of}: {fault}"
        said = " ".join(said.split())
        said = said if len(said) <= 200 else said[:197] + "..."
        self.faults.setdefault(study_id, {})[place] = said

    def _forget_fault(self, record: dict[str, Any]) -> None:
        """An attribute that was written again is as it was written last."""
        op, study_id, trial_id = record["op_code"], record.get("study_id"), None
        if not self.faults or op not in _ATTRIBUTES:
            return
        if op in _OF_TRIALS:
            trial_id = record["trial_id"]
            if self._trials[trial_id].state.is_finished():
                return
            study_id = self._trial_id_to_study_id[trial_id]
        assert isinstance(study_id, int)
        self.faults.get(study_id, {}).pop(_place(record, trial_id), None)

    # As Optuna's, but what is read at once is copied once, not at each line: a trial may have
    # hundreds of thousands of intermediate values, and a study as many attributes.

    def _apply_set_study_user_attr(self, log: dict[str, Any]) -> None:
        self._update_study(log, "user_attrs", log["user_attr"])

    def _apply_set_study_system_attr(self, log: dict[str, Any]) -> None:
        self._update_study(log, "system_attrs", log["system_attr"])

    def _apply_set_trial_user_attr(self, log: dict[str, Any]) -> None:
        self._update_trial(log, "user_attrs", log["user_attr"])

    def _apply_set_trial_system_attr(self, log: dict[str, Any]) -> None:
        self._update_trial(log, "system_attrs", log["system_attr"])

    def _apply_set_trial_intermediate_value(self, log: dict[str, Any]) -> None:
        self._update_trial(log, "intermediate_values", {log["step"]: log["intermediate_value"]})

    def _update_study(self, log: dict[str, Any], field: str, changes: dict[Any, Any]) -> None:
        study_id = log["study_id"]
        if self._study_exists(study_id, log):
            study = self._studies[study_id]
            if (field, study_id) not in self._fresh:
                self._fresh.add((field, study_id))
                setattr(study, field, dict(getattr(study, field)))
            getattr(study, field).update(changes)

    def _update_trial(self, log: dict[str, Any], field: str, changes: dict[Any, Any]) -> None:
        trial_id = log["trial_id"]
        if not self._trial_exists_and_updatable(trial_id, log):
            return
        if (field, -1 - trial_id) not in self._fresh:
            self._fresh.add((field, -1 - trial_id))
            trial = copy.copy(self._trials[trial_id])
            setattr(trial, field, dict(getattr(trial, field)))
            self._trials[trial_id] = trial
        getattr(self._trials[trial_id], field).update(changes)


def _place(record: dict[str, Any], trial_id: int | None) -> _Place:
    named = record.get("user_attr") or record.get("system_attr")
    name = next(iter(named)) if isinstance(named, dict) and len(named) == 1 else ""
    return trial_id, record["op_code"], name
