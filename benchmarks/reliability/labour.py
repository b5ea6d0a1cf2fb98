"""What a worker under fire runs: our `work` on a cheap objective that writes down all it does."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import optuna
import time_machine
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler
from optuna_layerwise.storage import stored_trial
from optuna_layerwise.studies import open_study, work

STUDY = "torture"
STEPS = 5
SAMPLERS = {
    "biotune": lambda: BioTuneSampler(seed=0, population=6, elites=2),
    "catcmawm": lambda: CatCMAwMSampler(seed=0, population=6),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """What every worker of one study is told.

    Attributes:
        storage: Its address.
        sampler: A name in `SAMPLERS`.
        target: Finished trials to reach.
        log: The file to which all workers append.
        pace: Seconds of a step.
        lease: Seconds without a sign of life after which another worker takes a trial.
    """

    storage: str
    sampler: str
    target: int
    log: Path
    pace: float = 0.02
    lease: float = 4.0


@dataclasses.dataclass(frozen=True)
class Host:
    """A machine that a worker believes to be on.

    Attributes:
        name: Of the machine.
        clock: Seconds by which its clock is ahead.
    """

    name: str
    clock: float = 0.0

    def move_in(self) -> None:
        """From here on, this process is there."""
        platform.node = lambda: self.name
        there = datetime.now(timezone.utc) + timedelta(seconds=self.clock)
        time_machine.travel(there, tick=True).start()


def labour(job: Job, life: int, host: Host | None = None) -> None:
    """One life of a worker: until the target is reached, or something kills it.

    Args:
        job: As above.
        life: Tells it from all others in the log.
        host: Default the true one.
    """
    if host is not None:
        host.move_in()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    def write(event: str, **facts: Any) -> None:
        note(job.log, event=event, life=life, **facts)

    def told(study: optuna.Study, trial: FrozenTrial) -> None:
        write("told", trial=trial.number, state=trial.state.name, values=trial.values)

    def objective(trial: optuna.Trial) -> float:
        write("begin", trial=trial.number)
        loss = loss_of(trial)
        done = stored_trial(trial).intermediate_values
        for step in range(STEPS):
            if step not in done:
                time.sleep(job.pace)
                write("step", trial=trial.number, step=step)
                trial.report(loss * (1 + 1 / (step + 1)), step)
            if step == STEPS // 2 and loss > 0.7:
                raise optuna.TrialPruned
        return loss

    write("alive")
    try:
        reached = work(
            open_the_study(job),
            objective,
            n_finished=job.target,
            on_trial=told,
            lease_seconds=job.lease,
        )
    except BaseException as error:
        write("died", error=f"{type(error).__name__}: {error}"[:500])
        raise
    write("end", reached=reached)


def open_the_study(job: Job) -> optuna.Study:
    """Made by whoever is first."""
    return open_study(
        job.storage,
        study_name=STUDY,
        sampler=sampler(job.sampler),
        direction="minimize",
        patience_seconds=60,
        wait=True,
    )


def sampler(name: str) -> BaseSampler:
    """With small populations, so that a short study has many cohorts."""
    return SAMPLERS[name]()


def loss_of(trial: optuna.Trial) -> float:
    """Of two floats and a category; a few trials are pruned."""
    x, y = (trial.suggest_float(name, 0, 1) for name in "xy")
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return (x - 0.3) ** 2 + (y - 0.6) ** 2 + 0.1 * (kind != "b")


def note(log: Path, **facts: Any) -> None:
    """Append one line in one write, which neither SIGKILL nor another process can split."""
    line = json.dumps({**facts, "pid": os.getpid(), "at": time.monotonic()}) + "\n"
    descriptor = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
