from __future__ import annotations

import threading
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import (
    TRIAL_KEY,
    Owner,
    all_trials,
    owner_of,
    requeue,
    trial_record,
    write_trial_record,
)


def ask(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("epoch", 3)
    trial.report(0.25, step=0)
    write_trial_record(study, all_trials(study)[trial.number], {"algorithm": "test/1", "base": 0})
    return trial


def stored(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials()[number]  # a copy, which later changes do not reach


def hand_over(study: optuna.Study, trial: FrozenTrial, **changes: Any) -> None:
    """As if another process had claimed the trial."""
    record = trial_record(trial)
    record = {**record, "owner": {**record["owner"], **changes}}
    study._storage.set_trial_system_attr(trial._trial_id, TRIAL_KEY, record)


def test_requeued_trial_is_asked_again_as_itself(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    left = [ask(study) for _ in range(3)][1]
    before = stored(study, left.number)
    assert owner_of(before) == Owner.of_this_process()

    assert requeue(study, before)
    waiting = stored(study, left.number)
    assert (waiting.state, owner_of(waiting)) == (TrialState.WAITING, None)

    again = study.ask()
    assert again.number == left.number
    assert again.params == left.params
    assert again.suggest_float("x", 0, 1) == left.params["x"]
    after = stored(study, left.number)
    assert after.state == TrialState.RUNNING
    assert (after.user_attrs, after.intermediate_values) == ({"epoch": 3}, {0: 0.25})
    assert trial_record(after)["algorithm"] == "test/1"
    study.tell(again, 1.0)
    assert stored(study, left.number).value == 1.0
    bare = study.ask()
    assert bare.number == 3
    assert requeue(study, stored(study, 3)), "a trial that has no record yet"
    assert study.ask().number == 3


def test_requeue_refuses_all_but_the_running_trial_that_was_seen(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    ask(study)
    seen = stored(study, 0)
    hand_over(study, seen, pid=1)
    assert not requeue(study, seen), "another process has claimed it since"
    now = stored(study, 0)
    owner = owner_of(now)
    assert now.state == TrialState.RUNNING and owner is not None and owner.pid == 1

    assert requeue(study, now)
    assert not requeue(study, now), "it waits"
    study.tell(study.ask(), 1.0)
    assert not requeue(study, now), "it has finished"
    assert stored(study, 0).state == TrialState.COMPLETE


@pytest.mark.parametrize("storage", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_of_many_that_see_a_dead_trial_one_requeues_it(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    ask(study)
    seen = stored(study, 0)
    given_back: list[bool] = []
    ready = threading.Barrier(6)

    def give_back() -> None:
        ready.wait()
        given_back.append(requeue(study, seen))

    threads = [threading.Thread(target=give_back) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given_back) == [False] * 5 + [True]
