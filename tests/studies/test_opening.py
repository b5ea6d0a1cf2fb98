"""Opening a study: it continues, and what a dead process left behind is asked for again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import lives
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import RelationalStorage, all_trials, owner_of
from optuna_layerwise.studies import abandoned, open_study, requeue_abandoned


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def test_opening_creates_a_study_once_and_then_continues_it(url: str) -> None:
    study = open_study(url, study_name="s", direction="minimize")
    study.optimize(lives.quick, n_trials=2)
    again = open_study(url, study_name="s", direction="minimize", sampler=BioTuneSampler())
    assert lives.outcome(again) == lives.outcome(study)
    assert again.direction == optuna.study.StudyDirection.MINIMIZE
    assert isinstance(again.sampler, BioTuneSampler)
    again.optimize(lives.quick, n_trials=1)
    assert [trial.number for trial in study.trials] == [0, 1, 2]


def test_it_maximises_unless_told_otherwise_and_takes_the_pruner(url: str) -> None:
    pruner = optuna.pruners.NopPruner()
    study = open_study(url, study_name="s", pruner=pruner)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.pruner is pruner


def test_a_storage_object_is_taken_as_it_is(url: str) -> None:
    storage = RelationalStorage(url)
    open_study(storage, study_name="s").optimize(lives.quick, n_trials=1)
    assert states(open_study(url, study_name="s")) == [TrialState.COMPLETE]


def test_a_database_that_cannot_be_reached_is_a_connection_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="cannot open the storage"):
        open_study(f"sqlite:///{tmp_path}/no/such/folder.db", study_name="s")


def test_the_trial_of_a_killed_process_is_requeued_as_itself(
    url: str, digits_weights: Path, start: lives.Start
) -> None:
    study = open_study(url, study_name="s")
    life = start(lives.train, url, digits_weights, "work", 5, 100_000)
    running = lives.until(lambda: next((t for t in study.trials if t.intermediate_values), None))
    owner = owner_of(running)
    assert owner is not None and owner.pid == life.pid
    assert states(open_study(url, study_name="s")) == [TrialState.RUNNING]  # it lives
    life.kill()
    life.join()
    [trial] = open_study(url, study_name="s").trials
    assert trial.state == TrialState.WAITING
    assert (trial.number, trial.params) == (running.number, running.params)
    assert owner_of(trial) is None
    assert running.intermediate_values.items() <= trial.intermediate_values.items()


@pytest.mark.slow
def test_a_zombie_counts_as_dead(url: str, start: lives.Start) -> None:
    """Its parent has not waited for it, so its process number is still taken."""
    study = open_study(url, study_name="s")
    life = start(lives.claim, url)
    lives.until(lambda: lives.asks(life, study))
    life.kill()
    lives.until(lambda: requeue_abandoned(study) == [0])


def test_a_trial_without_an_owner_is_requeued_after_a_while_and_not_before(
    url: str, start: lives.Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert abandoned.NEWBORN_SECONDS == 5
    monkeypatch.setattr(abandoned, "NEWBORN_SECONDS", 0.5)
    study = open_study(url, study_name="s")
    life = start(lives.ask_and_wait, url, 600.0, "")
    lives.until(lambda: states(study))
    life.kill()
    life.join()
    before = time.monotonic()
    assert states(open_study(url, study_name="s")) == [TrialState.WAITING]
    assert time.monotonic() - before >= 0.5


@pytest.mark.slow
def test_a_newborn_trial_is_waited_for_no_longer_than_it_needs(
    url: str, start: lives.Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "NEWBORN_SECONDS", 60)
    study = open_study(url, study_name="s")
    start(lives.ask_and_wait, url, 1.0, "suggest")
    lives.until(lambda: states(study))
    before = time.monotonic()
    again = open_study(url, study_name="s")
    assert time.monotonic() - before < abandoned.NEWBORN_SECONDS
    assert states(again) == [TrialState.RUNNING]
    assert again.trials[0].params != {}


@pytest.mark.parametrize("hours", [-8, 8])
def test_clocks_of_other_machines_do_not_matter(
    url: str, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna stores local times: in another time zone a newborn trial looks old, or unborn."""
    monkeypatch.setattr(abandoned, "NEWBORN_SECONDS", 0.5)
    study = open_study(url, study_name="s")
    start = datetime.now() + timedelta(hours=hours)
    newborn = optuna.trial.create_trial(state=TrialState.RUNNING)
    newborn.datetime_start = start
    study.add_trial(newborn)
    assert all_trials(study)[0].datetime_start == start
    before = time.monotonic()
    assert requeue_abandoned(study) == [0]
    assert 0.5 <= time.monotonic() - before < 5


def test_running_trials_of_someone_elses_sampler_are_left_alone(url: str) -> None:
    """They have parameters and no owner: there is no telling whether their process lives."""
    study = open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler())
    study.ask().suggest_float("x", 0, 1)
    assert requeue_abandoned(study) == []
    assert states(study) == [TrialState.RUNNING]


def test_trials_of_another_host_are_left_alone(url: str) -> None:
    study = open_study(url, study_name="s", sampler=BioTuneSampler())
    study.ask()
    [trial] = all_trials(study)
    record = trial.system_attrs["olw:trial"]
    record = {**record, "owner": {"host": "elsewhere", "pid": 1, "started": "then"}}
    foreign: FrozenTrial = optuna.trial.create_trial(
        state=TrialState.RUNNING, system_attrs={"olw:trial": record}
    )
    study.add_trial(foreign)
    assert requeue_abandoned(study) == []
    assert states(study) == [TrialState.RUNNING] * 2


@pytest.mark.slow
def test_three_processes_that_open_at_once_requeue_a_trial_once(
    url: str, start: lives.Start
) -> None:
    study = open_study(url, study_name="s")
    life = start(lives.claim, url)
    lives.until(lambda: lives.asks(life, study))
    life.kill()
    life.join()
    others = [start(lives.labour, url, lives.quick, 1) for _ in range(3)]
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0]
    finished = [trial.number for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert finished == [0]


def test_a_study_of_the_other_direction_is_refused(url: str) -> None:
    open_study(url, study_name="s", direction="maximize")
    with pytest.raises(ValueError, match=r"exists with direction \['maximize'\]"):
        open_study(url, study_name="s", direction="minimize")


def test_no_pruner_is_the_default(url: str) -> None:
    assert isinstance(open_study(url, study_name="s").pruner, optuna.pruners.NopPruner)
