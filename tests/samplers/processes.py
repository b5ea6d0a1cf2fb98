"""What the child processes of these tests run."""

from __future__ import annotations

import multiprocessing.process
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from forking import CONTEXT

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.storage import open_storage
from optuna_layerwise.studies import abandoned, open_study

NAMES = ("x", "y", "z")
POPULATION = 6
SMALL: dict[str, Callable[[], CohortSampler]] = {
    "biotune": lambda: BioTuneSampler(seed=0, population=POPULATION, elites=2),
    "catcmawm": lambda: CatCMAwMSampler(seed=0, population=POPULATION),
}


def sampler(name: str = "biotune") -> CohortSampler:
    return SMALL[name]()


def value(trial: optuna.Trial) -> float:
    return sum((trial.suggest_float(name, 0, 1) - 0.3) ** 2 for name in NAMES)


def start(target: Callable[..., None], *args: Any) -> multiprocessing.process.BaseProcess:
    """Start a process from a server that has imported everything, but opened nothing."""
    process = CONTEXT.Process(target=target, args=args, daemon=True)
    process.start()
    return process


class InStep:
    """Trials of several processes, none of which overtakes a population of others.

    However busy the machine is: a trial lasts until those are told that are a population older.
    """

    def __init__(self, context: Any, n_trials: int) -> None:
        self._told, self._changed = context.RawArray("b", n_trials), context.Condition()

    def wait(self, number: int) -> None:
        older = max(0, number - POPULATION + 1)
        with self._changed:
            assert self._changed.wait_for(lambda: all(self._told[:older]), timeout=60)

    def note(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """After a trial was told."""
        with self._changed:
            self._told[trial.number] = 1
            self._changed.notify_all()


def share(
    url: str, name: str, worker: int, n_trials: int, ready: Any, executed: Any, in_step: InStep
) -> None:
    """One of several workers; puts the numbers that it executed, or what went wrong."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("error")
    numbers: list[int] = []
    pause = np.random.default_rng(worker)

    def objective(trial: optuna.Trial) -> float:
        numbers.append(trial.number)
        outcome = value(trial)
        time.sleep(pause.exponential(0.02))
        in_step.wait(trial.number)
        return outcome

    try:
        study = optuna.load_study(
            study_name="shared", storage=open_storage(url), sampler=sampler(name)
        )
        ready.wait(60)
        enough = optuna.study.MaxTrialsCallback(n_trials, states=None)
        study.optimize(objective, callbacks=[in_step.note, enough])
        executed.put(numbers)
    except Exception as error:
        executed.put(repr(error))


def search_on(url: str, name: str, n_trials: int, opened: Any) -> None:
    """Open a study, or continue it, and bring it to ``n_trials`` finished ones."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    abandoned.NEWBORN_SECONDS = 0.3
    opened.set()
    study = open_study(url, study_name="serial", sampler=sampler(name), direction="minimize")

    def objective(trial: optuna.Trial) -> float:
        outcome = value(trial)
        time.sleep(0.005)
        return outcome

    while sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)) < n_trials:
        study.optimize(objective, n_trials=1)


def ask_and_wait(url: str, asked: Any) -> None:
    """A worker on Optuna's own storage that is stuck in its first trial."""
    study = optuna.load_study(study_name="shared", storage=url, sampler=sampler())
    trial = study.ask()
    value(trial)
    asked.put(trial.number)
    time.sleep(60)
