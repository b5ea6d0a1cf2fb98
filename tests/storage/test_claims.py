"""Trials under a lease, on every storage: asked for, told, given back, and never two at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close
from forking import CONTEXT
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import TrialState

from optuna_layerwise.storage import (
    LEASE_KEY,
    Lease,
    LeaseLostError,
    RelationalStorage,
    all_trials,
    ask,
    lease_of,
    open_storage,
    renew,
    requeue,
    tell,
)
from optuna_layerwise.storage.journal import FileJournalStorage, JournalFile

COMPLETE = TrialState.COMPLETE


def study_in(storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))


def asked(study: optuna.Study, below: int = 10) -> tuple[optuna.Trial, Lease]:
    lease = Lease.of_this_process(60)
    trial = ask(study, lease, below=below)
    assert trial is not None
    return trial, lease


def test_a_lease_survives_json_and_what_is_none_is_not_read() -> None:
    lease = Lease.of_this_process(30)
    stored = lease.as_json()
    assert Lease.from_json(stored) == lease
    assert stored["expires"].endswith("+00:00")
    for broken in (
        *(None, [], "lease", {}, {"v": 1}, {**stored, "v": 2}, {**stored, "owner": "me"}),
        *({**stored, "token": 1}, {**stored, "seconds": "long"}, {**stored, "seconds": 1e9}),
        *({**stored, "renewals": None}, {**stored, "checkpoint": 3}),
        {**stored, "owner": {"host": 1, "pid": 2, "started": "x"}},
    ):
        assert Lease.from_json(broken) is None
    with pytest.raises(ValueError, match="above 0 and at most 3600, got 0"):
        Lease.of_this_process(0)


def test_an_ask_takes_what_waits_then_makes_new_ones_and_stops_below_the_limit(
    storage: BaseStorage,
) -> None:
    study = study_in(storage)
    study.enqueue_trial({"x": 0.5})
    trials = [asked(study, below=3) for _ in range(3)]
    assert [trial.number for trial, _ in trials] == [0, 1, 2]
    assert trials[0][0].suggest_float("x", 0, 1) == 0.5
    assert ask(study, Lease.of_this_process(60), below=3) is None
    assert [lease_of(t) for t in all_trials(study)] == [lease for _, lease in trials]
    assert {t.state for t in all_trials(study)} == {TrialState.RUNNING}
    assert len(study.trials) == 3


def test_trials_that_ran_under_a_lease_are_copied_whole(
    storage: BaseStorage, tmp_path: Path
) -> None:
    study = study_in(storage)
    for value in (0.5, 0.25, 0.75):
        trial, lease = asked(study)
        trial.suggest_float("x", 0, 1)
        tell(study, trial, lease, COMPLETE, [value])
    asked(study)
    added = optuna.create_study(storage=storage, study_name="added")
    added.add_trials(study.trials[1:])
    target = open_storage(f"sqlite:///{tmp_path / 'copy.db'}")
    optuna.copy_study(from_study_name=study.study_name, from_storage=storage, to_storage=target)
    copied = optuna.load_study(study_name=study.study_name, storage=target)
    for of, there in ((added.trials, study.trials[1:]), (copied.trials, study.trials)):
        assert [(t.state, t.values, t.params) for t in of] == [
            (t.state, t.values, t.params) for t in there
        ]
    close(target)


@pytest.mark.sweep(5)
def test_what_a_leased_trial_suggests_reports_and_notes_is_stored(storage: BaseStorage) -> None:
    study = study_in(storage)
    for number in range(2):
        trial, lease = asked(study)
        values = {name: trial.suggest_float(name, 0, 1) for name in "zab"}
        values["kind"] = trial.suggest_categorical("kind", ["u", "v"])
        assert study.trials[number].params == values == trial.params
        trial.report(0.25, 1)
        trial.set_user_attr("note", [1])
        values["late"] = trial.suggest_int("late", 1, 9)
        tell(study, trial, lease, COMPLETE, [1.5])
        stored = study.trials[number]
        assert list(stored.params.items()) == list(values.items())
        assert (stored.state, stored.values) == (COMPLETE, [1.5])
        assert (stored.intermediate_values, stored.user_attrs) == ({1: 0.25}, {"note": [1]})
    with pytest.raises(ValueError, match="CategoricalDistribution does not support dynamic"):
        asked(study)[0].suggest_categorical("kind", ["w"])


def test_a_worker_that_lost_its_trial_can_neither_renew_nor_tell(storage: BaseStorage) -> None:
    study = study_in(storage)
    trial, lease = asked(study)
    trial.suggest_float("x", 0, 1)
    lease = lease.renewed()
    assert renew(trial, lease)
    seen = all_trials(study)[0]
    assert lease_of(seen) == lease
    assert renew(trial, lease.renewed())
    assert not requeue(study, seen, unrenewed=True), "it was renewed since it was seen"
    assert requeue(study, seen)
    assert not renew(trial, lease)
    again, new = asked(study)
    assert (again.number, again.params) == (trial.number, trial.params)
    assert not renew(trial, lease)
    with pytest.raises(LeaseLostError, match="trial 0 was given to another worker"):
        tell(study, trial, lease, COMPLETE, [0.0])
    assert all_trials(study)[0].state == TrialState.RUNNING
    tell(study, again, new, COMPLETE, [1.0])
    with pytest.raises((LeaseLostError, UpdateFinishedTrialError)):
        tell(study, trial, lease, COMPLETE, [0.0])
    assert study.trials[0].value == 1.0


@pytest.mark.sweep(url="sqlite")
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql", "journal"], indirect=True)
def test_what_a_worker_elsewhere_still_tells_of_a_trial_it_has_lost_is_not_stored(
    url: str,
) -> None:
    """That worker does not know: nothing in its own memory has changed."""
    lost, mine = open_storage(url), open_storage(url)
    study = study_in(lost)
    trial, lease = asked(study)
    trial.suggest_float("x", 0, 1)
    other = optuna.load_study(study_name=study.study_name, storage=mine)
    assert requeue(other, all_trials(other)[0])
    again, new = asked(other)
    assert again.number == trial.number
    with pytest.raises(LeaseLostError, match="trial 0 was given to another worker"):
        tell(study, trial, lease, COMPLETE, [0.0])
    assert all_trials(other)[0].state == TrialState.RUNNING
    tell(other, again, new, COMPLETE, [1.0])
    assert other.trials[0].value == 1.0
    close(lost)
    close(mine)


def test_a_trial_that_somebody_ended_is_neither_renewed_nor_told(storage: BaseStorage) -> None:
    study = study_in(storage)
    trial, lease = asked(study)
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)  # as the dashboard
    assert not renew(trial, lease)
    with pytest.raises(UpdateFinishedTrialError):
        tell(study, trial, lease, COMPLETE, [0.0])
    assert study.trials[0].state == TrialState.FAIL


def test_a_pruned_trial_gets_its_last_value(storage: BaseStorage) -> None:
    study = study_in(storage)
    for last in (0.5, float("nan")):
        trial, lease = asked(study)
        trial.report(0.25, 1)
        trial.report(last, 2)
        tell(study, trial, lease, TrialState.PRUNED, None)
    assert [t.value for t in study.trials] == [0.5, None]


@pytest.mark.sweep(url="sqlite")
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql", "journal"], indirect=True)
def test_a_thread_that_had_a_trial_before_does_not_get_it_beside_its_new_owner(url: str) -> None:
    """Optuna's journal believes a claim because this thread was the last to have the trial."""
    mine, other = open_storage(url), open_storage(url)
    study = study_in(mine)
    trial, _ = asked(study)
    assert requeue(study, all_trials(study)[0])
    claims: list[bool] = []
    claim_of_other = other.set_trial_state_values
    if isinstance(mine, JournalStorage):
        append = mine._backend.append_logs

        def late(logs: list[dict[str, Any]]) -> None:
            claims.append(claim_of_other(trial._trial_id, TrialState.RUNNING))
            append(logs)

        mine._backend.append_logs = late
    else:
        claims.append(claim_of_other(trial._trial_id, TrialState.RUNNING))
    claims.append(mine.set_trial_state_values(trial._trial_id, TrialState.RUNNING))
    assert claims == [True, False]
    close(mine)
    close(other)


@pytest.mark.sweep(url="sqlite")
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql", "journal"], indirect=True)
def test_who_saw_a_dead_trial_late_does_not_take_it_from_who_has_claimed_it_since(
    url: str,
) -> None:
    """In a journal file, a look and what follows from it are two operations."""
    mine, other = open_storage(url), open_storage(url)
    study = study_in(mine)
    asked(study)
    seen = all_trials(study)[0]
    late_study = optuna.load_study(study_name=study.study_name, storage=other)
    given: list[bool] = []
    late = threading.Thread(target=lambda: given.append(requeue(late_study, seen)))
    alone = mine.alone() if isinstance(mine, FileJournalStorage) else contextlib.nullcontext()
    with alone:
        if isinstance(mine, FileJournalStorage):
            late.start()
            late.join(0.3)
            assert late.is_alive(), "it waits for its turn"
        assert requeue(study, seen)
        trial, lease = asked(study)
    if late.ident is None:
        late.start()
    late.join(60)
    assert given == [False]
    tell(study, trial, lease, COMPLETE, [1.0])
    assert study.trials[0].value == 1.0
    close(mine)
    close(other)


def take(url: str, n: int, ready: Any, taken: Any) -> None:
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    ready.wait(60)
    numbers = []
    while (trial := ask(study, Lease.of_this_process(60), below=n)) is not None:
        numbers.append(trial.number)
    taken.put(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql", "journal"], indirect=True)
def test_eight_processes_claim_each_of_eighty_waiting_trials_once(url: str) -> None:
    storage, n = open_storage(url), 80
    study = optuna.create_study(study_name="s", storage=storage)
    study.add_trials([optuna.trial.create_trial(state=TrialState.WAITING)] * n)
    ready, taken = CONTEXT.Barrier(8), CONTEXT.Queue()
    workers = [CONTEXT.Process(target=take, args=(url, n, ready, taken)) for _ in range(8)]
    for worker in workers:
        worker.start()
    numbers = Counter(number for _ in workers for number in taken.get(timeout=120))
    for worker in workers:
        worker.join(60)
    assert numbers == Counter(range(n))
    assert {t.state for t in all_trials(study)} == {TrialState.RUNNING}
    close(storage)


def test_a_relational_storage_can_be_pickled_with_a_trial_in_hand(tmp_path: Path) -> None:
    storage = RelationalStorage(f"sqlite:///{tmp_path}/study.db", patience_seconds=7)
    study = study_in(optuna.storages.get_storage(storage))
    asked(study)
    copy = pickle.loads(pickle.dumps(storage))
    assert copy.patience_seconds == 7
    assert LEASE_KEY in copy.get_trial(1).system_attrs
    close(storage)
    close(copy)


def test_a_process_that_was_forked_meanwhile_keeps_no_lock_of_a_journal(tmp_path: Path) -> None:
    """Such as one that loads data: it has the locked file open, and knows nothing of it."""
    file = JournalFile(str(tmp_path / "study.log"))
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    with file.locked():
        forked.start()
    try:
        log = {"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [1]}
        locked = threading.Thread(target=lambda: file.append_logs([log]), daemon=True)
        locked.start()
        locked.join(10)
        assert not locked.is_alive()
    finally:
        forked.kill()
        forked.join()
