"""Running a study to its target."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import optuna
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import (
    LEASE_SECONDS,
    Lease,
    all_trials,
    ask,
    is_there,
    owner_of,
    stored_trial,
)
from optuna_layerwise.studies.abandoned import Watch
from optuna_layerwise.studies.continuing import requeue_found
from optuna_layerwise.studies.control import is_paused
from optuna_layerwise.studies.pausing import StopSignals
from optuna_layerwise.studies.trial import Outcome, run_trial

Target: TypeAlias = Callable[[optuna.Study, Sequence[FrozenTrial]], int]
"""From a study and its trials of now to the number of finished trials to reach."""
_SHORTEST_POLL, _LONGEST_POLL = 0.1, 2.0
_SILENT_SECONDS = 60.0


class StudyDeletedError(RuntimeError):
    """The study was deleted while it was worked on."""


def count(study: optuna.Study) -> dict[TrialState, int]:
    """Number of trials in each state."""
    counts = dict.fromkeys(TrialState, 0)
    for trial in all_trials(study):
        counts[trial.state] += 1
    return counts


def finished(study: optuna.Study) -> int:
    """Number of finished trials: complete, pruned or failed."""
    return sum(number for state, number in count(study).items() if state.is_finished())


def work(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float | Sequence[float]],
    *,
    n_finished: int | Target,
    on_trial: Callable[[optuna.Study, FrozenTrial], None] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> bool:
    """Run trials until the study has ``n_finished`` finished ones; returns whether it has.

    Stops early, and returns false, when `pause` or `stop` was asked for, or at Ctrl-C or
    SIGTERM: the objective then gives its trial back, and the next `work` continues it. Where
    other processes run the last trials, waits for them. Any number of processes on any machines
    together run no trial too many, and none twice: each holds a lease on its running trial,
    which a thread renews. A trial whose lease was not renewed in its time is given to another
    worker, and what its old one still finds out about it is not stored.

    An `OSError` (a file or a connection that is gone for a moment) gives the trial back at most
    twice, before it counts. A trial that somebody ended, for example in the dashboard, is over.

    Args:
        study: As `open_study` gives it.
        objective: Of one trial.
        n_finished: Trials that are to be complete, pruned or failed; or a function that says so
            before each trial, such as `Plan.n_finished` of a budget.
        on_trial: Called after each trial that this process has ended.
        lease_seconds: After how long without a sign of life this worker's trial goes to
            another one; at most 3600.

    Raises:
        StorageUnusableError: if the storage was away for longer than it was opened with; the
            trial is then continued by another worker, or by the next `work`.
        StudyDeletedError: if somebody has deleted the study meanwhile.
        Exception: what the objective raised, after its trial was recorded as failed.
    """
    retries: Counter[int] = Counter()
    watch, waiting = Watch(), _Waiting()
    with _noticing_deletion(study), StopSignals() as stop:
        while not (stop.received or is_paused(study)):
            trials = all_trials(study)
            requeue_found(study, watch, trials)
            target = n_finished if isinstance(n_finished, int) else n_finished(study, trials)
            if sum(trial.state.is_finished() for trial in trials) >= target:
                return True
            lease = Lease.of_this_process(lease_seconds)
            trial = ask(study, lease, below=target)
            if trial is None:
                waiting.a_while(study)
                continue
            waiting = _Waiting()
            outcome = run_trial(trial, objective, lease, stop, retries)
            if outcome is Outcome.ENDED and on_trial is not None:
                on_trial(study, stored_trial(trial))
            if outcome is Outcome.PAUSED:
                return False
    return False


@contextlib.contextmanager
def _noticing_deletion(study: optuna.Study) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        if is_there(study):
            raise
        raise StudyDeletedError(
            f"study {study.study_name!r} was deleted while it was worked on; what its running "
            "trial had found out went with it"
        ) from error


class _Waiting:
    """For the last trials, which other workers run; ever less impatient, once telling whom for."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._pause = _SHORTEST_POLL
        self._told = False

    def a_while(self, study: optuna.Study) -> None:
        if not self._told and time.monotonic() - self._since > _SILENT_SECONDS:
            self._told = True
            _tell_who_is_waited_for(study)
        time.sleep(self._pause)
        self._pause = min(1.3 * self._pause, _LONGEST_POLL)


def _tell_who_is_waited_for(study: optuna.Study) -> None:
    running = [trial for trial in all_trials(study) if trial.state == TrialState.RUNNING]
    for trial in running:
        owner = owner_of(trial)
        by = f"process {owner.pid} on {owner.host}" if owner else "an unknown process"
        warnings.warn(
            f"waiting for trial {trial.number}, run by {by}; if that is gone, fail the trial "
            "with study.tell or in the dashboard",
            stacklevel=4,
        )
