"""Running a study to its target."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.pausing import StopSignals, TrialPaused
from optuna_layerwise.storage import all_trials, owner_of, requeue, stored_trial
from optuna_layerwise.studies.control import is_paused
from optuna_layerwise.studies.opening import requeue_abandoned

MAX_RETRIES = 2
"""Times that a trial is given back after a transient error."""
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0


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
    objective: Callable[[optuna.Trial], float],
    *,
    n_finished: int,
    on_trial: Callable[[optuna.Study, FrozenTrial], None] | None = None,
) -> bool:
    """Run trials until the study has ``n_finished`` finished ones; returns whether it has.

    Stops early, and returns false, when `pause` was asked for, or at Ctrl-C or SIGTERM: the
    objective then gives its trial back, and the next `work` continues it. Where other processes
    run the last trials, waits for them. Any number of processes together run no trial too many:
    one whose number is ``n_finished`` or above is left waiting.

    An `OSError` (a file or a connection that is gone for a moment) gives the trial back at most
    twice, before it counts.

    Raises:
        Exception: what the objective raised, after its trial was recorded as failed.
    """
    callbacks = [on_trial] if on_trial else None
    retries: Counter[int] = Counter()
    waiting_since = None

    def within_target(trial: optuna.Trial) -> float:
        if trial.number >= n_finished:
            requeue(study, stored_trial(trial))
            raise _GivenBack
        try:
            return objective(trial)
        except OSError as error:
            retries[trial.number] += 1
            if retries[trial.number] > MAX_RETRIES or not requeue(study, stored_trial(trial)):
                raise
            warnings.warn(f"trial {trial.number} is tried again after {error!r}", stacklevel=2)
            raise _GivenBack from error

    with StopSignals() as stop:
        while not (stop.received or is_paused(study)):
            if finished(study) >= n_finished:
                return True
            trials = all_trials(study)
            waiting = any(t.state == TrialState.WAITING for t in trials[:n_finished])
            if len(trials) >= n_finished and not waiting:
                requeue_abandoned(study)  # another process runs the last trials
                waiting_since = waiting_since or time.monotonic()
                if time.monotonic() - waiting_since > _PATIENCE_SECONDS:
                    waiting_since = math.inf
                    _tell_who_is_waited_for(study)
                time.sleep(_POLL_SECONDS)
                continue
            try:
                study.optimize(within_target, n_trials=1, callbacks=callbacks)
            except _GivenBack:
                pass
            except TrialPaused:
                return False
    return False


class _GivenBack(TrialPaused):
    """Not for this process to run, or not now; the study goes on."""


def _tell_who_is_waited_for(study: optuna.Study) -> None:
    running = [trial for trial in all_trials(study) if trial.state == TrialState.RUNNING]
    for trial in running:
        owner = owner_of(trial)
        by = f"process {owner.pid} on {owner.host}" if owner else "an unknown process"
        warnings.warn(
            f"waiting for trial {trial.number}, run by {by}; if that is gone, fail the trial "
            "with study.tell or in the dashboard",
            stacklevel=3,
        )
