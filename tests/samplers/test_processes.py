"""Many processes on one study, and processes that are killed."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import optuna
import processes
import pytest
from databases import close
from forking import CONTEXT
from optuna.trial import TrialState
from rederiving import assert_rederives

from optuna_layerwise.storage import all_trials, open_storage, stored_study_id, trial_record
from optuna_layerwise.studies import abandoned, open_study


@pytest.mark.slow
@pytest.mark.parametrize("name", processes.SMALL)
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_eight_processes_share_a_study_without_losing_or_repeating_a_trial(
    url: str, name: str
) -> None:
    storage = open_storage(url)
    study = optuna.create_study(
        study_name="shared", storage=storage, sampler=processes.sampler(name)
    )
    n_enqueued, n_trials = 24, 90
    for i in range(n_enqueued):
        study.enqueue_trial({"x": i / n_enqueued})
    ready, executed = CONTEXT.Barrier(8), CONTEXT.Queue()
    in_step = processes.InStep(CONTEXT, n_trials + 8)
    workers = [
        processes.start(processes.share, url, name, worker, n_trials, ready, executed, in_step)
        for worker in range(8)
    ]
    logs = [executed.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    assert all(isinstance(log, list) for log in logs), logs
    assert sum(len(log) > 0 for log in logs) >= 4, "they took part"

    trials = study.trials
    assert sorted(number for log in logs for number in log) == list(range(len(trials)))
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len(trials) >= n_trials
    assert assert_rederives(study, processes.sampler(name)) == 2 * n_enqueued + 3 * (
        len(trials) - n_enqueued
    )

    replay = processes.sampler(name)._up_to_date(study)
    newest = replay.before(len(trials))
    assert newest.end > len(trials) - 6, "all cohorts but the open one are committed"
    assert not newest.missing, "no result was overtaken by a population, so all were used"
    close(storage)


@pytest.mark.slow
@pytest.mark.parametrize("name", processes.SMALL)
def test_study_killed_at_random_moments_equals_an_uninterrupted_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, n_trials = f"sqlite:///{tmp_path}/killed.db", 80
    delays = random.Random(0)
    kills = 0
    while True:
        opened = CONTEXT.Event()
        worker = processes.start(processes.search_on, url, name, n_trials, opened)
        opened.wait(60)
        worker.join(timeout=delays.uniform(0.02, 0.5) if kills < 20 else 60)
        if worker.exitcode is not None:
            break
        worker.kill()
        worker.join()
        kills += 1
    assert worker.exitcode == 0
    assert kills >= 15

    whole = f"sqlite:///{tmp_path}/whole.db"
    monkeypatch.setattr(abandoned, "NEWBORN_SECONDS", abandoned.NEWBORN_SECONDS)  # it lowers it
    processes.search_on(whole, name, n_trials, CONTEXT.Event())
    killed, uninterrupted = (
        open_study(address, study_name="serial", direction="minimize") for address in (url, whole)
    )
    for one, other in zip(killed.trials, uninterrupted.trials, strict=True):
        assert (one.number, one.state, one.params, one.value) == (
            other.number,
            other.state,
            other.params,
            other.value,
        )
        records = [dict(trial_record(trial), owner=None) for trial in (one, other)]
        assert [record.pop("study") for record in records] == [
            stored_study_id(study) for study in (killed, uninterrupted)
        ]
        assert records[0] == records[1]
    assert len(killed.trials) == n_trials
    assert assert_rederives(killed, processes.sampler(name)) == 3 * n_trials
    for study in (killed, uninterrupted):
        close(study._storage)


@pytest.mark.slow
def test_second_worker_on_optunas_own_sqlite_gets_one_warning_and_a_dead_ones_trial(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/plain.db"
    study = optuna.create_study(study_name="shared", storage=url, sampler=processes.sampler())
    asked = CONTEXT.Queue()
    other = processes.start(processes.ask_and_wait, url, asked)
    number = asked.get(timeout=60)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for _ in range(3):
            study.tell(study.ask(), 1.0)
    messages = [str(w.message) for w in caught if "SQLite" in str(w.message)]
    assert len(messages) == 1 and "open_study" in messages[0]

    drawn = study.trials[number].params
    other.kill()
    other.join()
    study.tell(study.ask(), 1.0)  # notices
    assert all_trials(study)[number].state == TrialState.WAITING
    again = study.ask()
    assert (again.number, again.params) == (number, drawn)
    close(study._storage)
