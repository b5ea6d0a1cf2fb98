"""Workers on other machines, as far as their database can tell; and how fast they are."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from collections.abc import Callable

import lives
import optuna

from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import all_trials
from optuna_layerwise.studies import open_study, work


def waiting(trial: optuna.Trial) -> float:
    """Begins, and does not end."""
    x = trial.suggest_float("x", 0, 1)
    time.sleep(600)
    return x


def stopping(trial: optuna.Trial) -> float:
    """Stops its own process, clocks and threads included, until somebody lets it go on."""
    trial.suggest_float("x", 0, 1)
    if trial.number == 0:
        all_trials(trial.study)  # so that its parameters are stored
        with trial.storage._backend.engine.connect() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # no thread of ours has the lock now
        os.kill(os.getpid(), signal.SIGSTOP)
    return -1.0


def patient(trial: optuna.Trial) -> float:
    """Is ended from outside, the first one."""
    x = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("begun", True)
    if trial.number == 0:
        lives.until(lambda: all_trials(trial.study)[0].state.is_finished())
    return x


def labour(
    url: str,
    host: str,
    objective: Callable[[optuna.Trial], float],
    n_finished: int,
    lease_seconds: float,
) -> None:
    """Work on a study from a machine of that name."""
    platform.node = lambda: host
    study = open_study(url, study_name="s", sampler=BioTuneSampler(seed=0))
    done = work(study, objective, n_finished=n_finished, lease_seconds=lease_seconds)
    sys.exit(0 if done else 3)
