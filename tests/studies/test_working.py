"""Working to a target: exactly, together, and until told to pause."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import lives
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.studies import (
    count,
    finished,
    is_paused,
    open_study,
    pause,
    resume,
    work,
)
from optuna_layerwise.studies.pausing import StopSignals


@pytest.fixture
def study(url: str) -> optuna.Study:
    return open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))


def test_the_target_is_reached_exactly_and_nothing_is_run_beyond_it(study: optuna.Study) -> None:
    seen: list[int] = []

    def note(study: optuna.Study, trial: FrozenTrial) -> None:
        seen.append(trial.number)

    assert work(study, lives.quick, n_finished=5, on_trial=note)
    assert work(study, lives.quick, n_finished=5, on_trial=note)
    assert work(study, lives.quick, n_finished=3, on_trial=note)
    assert seen == [0, 1, 2, 3, 4]
    assert finished(study) == len(study.trials) == 5


def test_failed_and_pruned_trials_count(study: optuna.Study) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:
            raise optuna.TrialPruned
        return math.nan if trial.number == 2 else trial.suggest_float("x", 0, 1)

    assert work(study, objective, n_finished=4)
    counts = count(study)
    assert counts == {
        TrialState.COMPLETE: 2,
        TrialState.PRUNED: 1,
        TrialState.FAIL: 1,
        TrialState.RUNNING: 0,
        TrialState.WAITING: 0,
    }
    assert finished(study) == 4


def test_an_error_ends_the_work_and_its_trial_counts_as_failed(study: optuna.Study) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:
            raise RuntimeError("the disk is full")
        return trial.suggest_float("x", 0, 1)

    with pytest.raises(RuntimeError, match="the disk is full"):
        work(study, objective, n_finished=3)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert work(study, objective, n_finished=3)
    assert len(study.trials) == 3


def test_enqueued_trials_are_part_of_the_target(study: optuna.Study) -> None:
    for x in (0.1, 0.2):
        study.enqueue_trial({"x": x})
    assert work(study, lives.quick, n_finished=3)
    assert [trial.params["x"] for trial in study.trials][:2] == [0.1, 0.2]
    assert len(study.trials) == 3


def test_work_stops_at_pause_and_goes_on_after_resume(study: optuna.Study) -> None:
    def pause_at(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 2:
            pause(study)

    assert not work(study, lives.quick, n_finished=5, on_trial=pause_at)
    assert is_paused(study)
    assert finished(study) == len(study.trials) == 3
    assert not work(study, lives.quick, n_finished=5)
    assert finished(study) == 3
    resume(study)
    assert not is_paused(study)
    assert work(study, lives.quick, n_finished=5)
    assert finished(study) == len(study.trials) == 5


def test_a_study_that_was_never_paused_is_not_changed_by_resume(study: optuna.Study) -> None:
    resume(study)
    assert study.user_attrs == {}


def test_a_pause_from_outside_stops_a_worker_after_its_trial(
    study: optuna.Study, url: str, start: lives.Start
) -> None:
    life = start(lives.labour, url, lives.quick, 100_000)
    lives.until(lambda: finished(study) >= 3)
    pause(study)
    life.join(120)
    assert life.exitcode == lives.STOPPED
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}


@pytest.mark.slow
def test_several_processes_together_run_no_trial_too_many(url: str, start: lives.Start) -> None:
    """Without a guard, each of them could take the last trial."""
    study = open_study(url, study_name="s")
    for target in (6, 12):
        workers = [start(lives.labour, url, lives.quick, target) for _ in range(4)]
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0] * 4
        ended = [trial.number for trial in study.trials if trial.state.is_finished()]
        assert ended == list(range(target))
        assert count(study)[TrialState.RUNNING] == 0


def test_the_last_trials_of_another_process_are_waited_for(
    study: optuna.Study, url: str, start: lives.Start
) -> None:
    start(lives.labour, url, lives.slow, 2)
    lives.until(lambda: study.trials and study.trials[0].intermediate_values)
    waiting = start(lives.labour, url, lives.quick, 2)
    lives.until(lambda: finished(study) == 1)
    waiting.join(1.0)
    assert waiting.is_alive()
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.COMPLETE]


def test_the_last_trial_of_a_process_that_is_killed_is_taken_over(
    study: optuna.Study, url: str, digits_weights: Path, start: lives.Start
) -> None:
    life = start(lives.train, url, digits_weights, "work", 1, 100_000)
    lives.until(lambda: study.trials and study.trials[0].intermediate_values)
    waiting = start(lives.train, url, digits_weights, "work", 1, 1)
    waiting.join(1.0)
    assert waiting.is_alive()
    life.kill()
    waiting.join(120)
    assert waiting.exitcode == 0
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_ctrl_c_between_two_trials_returns_too(study: optuna.Study) -> None:
    """Someone else's objective knows no stop signals: its trial is finished first."""

    def interrupt(study: optuna.Study, trial: FrozenTrial) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    assert not work(study, lives.quick, n_finished=5, on_trial=interrupt)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_work_heeds_a_stop_that_came_before_it(study: optuna.Study) -> None:
    with StopSignals() as stop:
        stop.received = True
        assert not work(study, lives.quick, n_finished=5)
    assert study.trials == []


def test_a_trial_given_back_is_continued_before_a_new_one(
    study: optuna.Study, url: str, start: lives.Start
) -> None:
    life = start(lives.claim, url)
    lives.until(lambda: lives.asks(life, study))
    life.kill()
    life.join()
    before = time.monotonic()
    assert work(study, lives.quick, n_finished=1)  # notices the dead process by itself
    assert time.monotonic() - before < 5
    assert [trial.number for trial in study.trials] == [0]


def test_a_transient_error_gives_the_trial_back_at_most_twice(study: optuna.Study) -> None:
    tries: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        tries.append(trial.number)
        trial.suggest_float("x", 0, 1)
        if trial.number == 1 and tries.count(1) <= 2:
            raise ConnectionResetError("gone for a moment")
        if trial.number == 2:
            raise TimeoutError("gone for good")
        return 0.0

    with pytest.warns(UserWarning, match="is tried again"), pytest.raises(TimeoutError):
        work(study, objective, n_finished=4)
    assert tries == [0, 1, 1, 1, 2, 2, 2]
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]
