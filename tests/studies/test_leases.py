"""Workers that die, stop or are slow, here and on other machines: each result is one worker's."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import elsewhere
import lives
import optuna
import pytest
from databases import close, url
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import (
    LEASE_KEY,
    Lease,
    Owner,
    all_trials,
    ask,
    lease_of,
    open_storage,
    owner_of,
    requeue,
    tell,
)
from optuna_layerwise.studies import (
    StudyDeletedError,
    finished,
    open_study,
    pause,
    requeue_abandoned,
    work,
)
from optuna_layerwise.studies.abandoned import Watch
from optuna_layerwise.studies.pausing import StopSignals, TrialPaused

__all__ = ["url"]
EVERYWHERE = pytest.mark.parametrize(
    "url", ["sqlite", "journal", "postgresql", "mysql"], indirect=True
)


def first(study: optuna.Study) -> FrozenTrial | None:
    """The first trial, once it runs and its parameters are stored."""
    trials = all_trials(study)
    return trials[0] if trials and trials[0].params else None


@pytest.mark.sweep(url="sqlite")
@EVERYWHERE
def test_the_trial_of_a_dead_worker_elsewhere_is_taken_over_when_its_lease_has_run_out(
    url: str, start: lives.Start
) -> None:
    study = open_study(url, study_name="s")
    life = start(elsewhere.labour, url, "far-away", elsewhere.waiting, 2, 2.0)
    running = lives.until(lambda: first(study))
    owner = owner_of(running)
    assert owner is not None and (owner.host, owner.is_dead) == ("far-away", False)
    before = time.monotonic()
    assert requeue_abandoned(study) == []
    assert time.monotonic() - before < 2.0, "it shows that it lives before its lease runs out"
    life.kill()
    life.join()
    killed = time.monotonic()
    assert requeue_abandoned(study) == [0]
    assert time.monotonic() - killed > 1.0
    assert work(study, lambda trial: trial.suggest_float("x", 0, 1), n_finished=2)
    assert [t.number for t in study.trials] == [0, 1]
    assert study.trials[0].params == running.params
    close(study._storage)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_worker_that_was_stopped_tells_nothing_of_the_trial_that_another_one_has_done(
    url: str, start: lives.Start
) -> None:
    """It is no use that its process lives, and that its token is in memory."""
    study = open_study(url, study_name="s")
    life = start(elsewhere.labour, url, os.uname().nodename, elsewhere.stopping, 2, 1.0)
    lives.until(lambda: first(study))
    assert life.pid is not None
    seen: list[int] = []

    def quick(trial: optuna.Trial) -> float:
        seen.append(trial.number)
        return trial.suggest_float("x", 0, 1)

    assert work(study, quick, n_finished=2)  # waits for the lease to run out, and takes over
    assert sorted(seen) == [0, 1]
    os.kill(life.pid, signal.SIGCONT)
    life.join(60)
    assert life.exitcode == 0, "it sees that the target is reached"
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_running_trial_that_is_failed_in_the_dashboard_is_over_and_its_worker_goes_on(
    url: str, start: lives.Start
) -> None:
    study = open_study(url, study_name="s")
    life = start(elsewhere.labour, url, os.uname().nodename, elsewhere.patient, 3, 30.0)
    lives.until(lambda: study.trials and study.trials[0].user_attrs)
    study.tell(0, state=TrialState.FAIL)
    life.join(60)
    assert life.exitcode == 0
    assert [t.state.name for t in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("how", ["lost", "order"])
def test_a_running_trial_ends_at_its_next_step_when_it_is_lost_or_ordered_to(
    how: str, tmp_path: Path
) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")
    tries: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        tries.append(trial.number)
        trial.suggest_float("x", 0, 1)
        if len(tries) > 1:
            return 1.0
        if how == "order":
            pause(study, now=True)
        else:
            other = optuna.load_study(
                study_name="s", storage=open_storage(f"sqlite:///{tmp_path}/study.db")
            )
            assert requeue(other, all_trials(other)[0])
            close(other._storage)
        with StopSignals() as stop:
            lives.until(lambda: stop.trial_is_to_stop, seconds=20)
        requeue(study, all_trials(study)[0])
        raise TrialPaused

    with StopSignals() as stop:
        assert work(study, objective, n_finished=2, lease_seconds=1.0) is (how == "lost")
        assert not stop.received
    assert tries == ([0, 0, 1] if how == "lost" else [0])
    assert finished(study) == (2 if how == "lost" else 0)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("url", ["sqlite", "journal"], indirect=True)
@pytest.mark.parametrize("clock", ["1999-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_clocks_of_other_machines_do_not_decide_who_is_dead(url: str, clock: str) -> None:
    """The stored time at which a lease runs out may be years off."""
    study, watch = open_study(url, study_name="s"), Watch()
    lease = Lease.of_this_process(0.4)
    trial = ask(study, lease, below=1)
    assert trial is not None

    def store(lease: Lease) -> None:
        stored = {**lease.as_json(), "expires": clock}
        study._storage.set_trial_system_attr(trial._trial_id, LEASE_KEY, stored)

    for _ in range(4):
        lease = lease.renewed()
        store(lease)
        assert watch.abandoned(all_trials(study)) == []
        time.sleep(0.15)
    lives.until(lambda: [t.number for t in watch.abandoned(all_trials(study))] == [0], seconds=5)
    assert lease_of(all_trials(study)[0]) == lease
    close(study._storage)


@pytest.mark.slow
def test_whoever_is_back_first_when_the_database_was_away_takes_no_trial_of_the_others() -> None:
    """Nobody could renew a lease meanwhile."""
    study, watch = optuna.create_study(), Watch()
    assert ask(study, Lease.of_this_process(0.4), below=1) is not None
    assert watch.abandoned(all_trials(study)) == []
    time.sleep(0.6)
    assert watch.abandoned(all_trials(study)) == []
    time.sleep(0.3)
    assert [trial.number for trial in watch.abandoned(all_trials(study))] == [0]


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_a_trial_that_is_lost_while_it_is_drawn_is_not_begun(url: str) -> None:
    """As where the database was away for longer than the lease, in the midst of asking."""
    other = open_study(url, study_name="s")
    taken: list[Lease] = []

    class Slow(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            assert requeue(other, all_trials(other)[0])
            taken.append(Lease.of_this_process(60))
            assert ask(other, taken[0], below=1) is not None
            study._storage.set_trial_system_attr(trial._trial_id, "of-the-sampler", 1)

    study = open_study(url, study_name="s", sampler=Slow(seed=0))
    assert ask(study, Lease.of_this_process(60), below=1) is None
    [trial] = all_trials(study)
    assert (trial.state, lease_of(trial)) == (TrialState.RUNNING, taken[0])
    assert "of-the-sampler" not in trial.system_attrs
    for each in (study, other):
        close(each._storage)


def test_a_lease_is_renewed_from_a_thread_while_the_objective_computes(tmp_path: Path) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")
    before = threading.active_count()

    def objective(trial: optuna.Trial) -> float:
        def renewals() -> int:
            lease = lease_of(all_trials(trial.study)[0])
            return 0 if lease is None else lease.renewals

        lives.until(lambda: sum(range(1000)) and renewals() >= 3, seconds=30)
        return 1.0

    assert work(study, objective, n_finished=1, lease_seconds=1.0)
    assert threading.active_count() == before


@pytest.mark.sweep
@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()])
@pytest.mark.filterwarnings("ignore:trial 0 is tried again")
def test_a_worker_that_lost_its_trial_and_breaks_leaves_it_to_who_has_it(
    error: BaseException, tmp_path: Path
) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")
    taken: list[Lease] = []

    def objective(trial: optuna.Trial) -> float:
        other = optuna.load_study(
            study_name="s", storage=open_storage(f"sqlite:///{tmp_path}/study.db")
        )
        assert requeue(other, all_trials(other)[0])
        taken.append(Lease.of_this_process(60))
        assert ask(other, taken[0], below=1) is not None
        close(other._storage)
        raise error

    with pytest.raises(type(error)):
        work(study, objective, n_finished=1, lease_seconds=60)
    [trial] = all_trials(study)
    assert (trial.state, lease_of(trial)) == (TrialState.RUNNING, taken[-1])
    assert len(taken) == 1, "it was not taken back to try again"


def test_an_objective_that_notices_first_that_its_trial_is_elsewhere_does_not_end_the_work(
    tmp_path: Path,
) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 0:
            study.tell(0, state=TrialState.FAIL)
            raise TrialPaused
        return 1.0

    assert work(study, objective, n_finished=2, lease_seconds=60)
    assert [t.state.name for t in study.trials] == ["FAIL", "COMPLETE"]


def test_orders_reach_a_trial_in_a_thread(tmp_path: Path) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")
    done: list[bool] = []

    def objective(trial: optuna.Trial) -> float:
        pause(study, now=True)
        with StopSignals() as stop:
            lives.until(lambda: stop.trial_is_to_stop, seconds=20)
        requeue(study, all_trials(study)[0])
        raise TrialPaused

    thread = threading.Thread(target=lambda: done.append(work(study, objective, n_finished=1)))
    thread.start()
    thread.join(60)
    assert done == [False]
    assert [t.state for t in study.trials] == [TrialState.WAITING]


def test_the_keeper_of_a_trial_whose_study_was_deleted_ends_it(tmp_path: Path) -> None:
    study = open_study(f"sqlite:///{tmp_path}/study.db", study_name="s")

    def objective(trial: optuna.Trial) -> float:
        optuna.delete_study(study_name="s", storage=study._storage)
        with StopSignals() as stop:
            lives.until(lambda: stop.trial_is_to_stop, seconds=20)
        return 1.0

    with pytest.raises(StudyDeletedError, match="study 's' was deleted while"):
        work(study, objective, n_finished=1, lease_seconds=1.0)


def test_who_opens_a_busy_study_waits_for_no_trial_that_has_begun_since() -> None:
    """Else trials that are shorter than a renewal would keep a newcomer out for ever."""
    study, watch = optuna.create_study(), Watch()
    leases = [Lease(Owner("elsewhere", 1, "1"), token, 60.0) for token in ("first", "second")]
    trial = ask(study, leases[0], below=9)
    assert trial is not None
    watch.abandoned(all_trials(study))
    assert watch.unsure(all_trials(study))
    tell(study, trial, leases[0], TrialState.COMPLETE, [0.5])
    assert ask(study, leases[1], below=9) is not None
    watch.abandoned(all_trials(study))
    assert not watch.unsure(all_trials(study))
