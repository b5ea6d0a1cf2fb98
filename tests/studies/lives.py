"""Worker processes that can be killed: real ones, forked by a server that has imported torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
from forking import CONTEXT

from optuna_layerwise.recipe import Recipe
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import all_trials, owner_of
from optuna_layerwise.studies import finished, open_study, work

Start = Callable[..., BaseProcess]
STOPPED = 3
"""Exit status of a worker that did not reach its target."""


def start(target: Callable[..., object], *arguments: object) -> BaseProcess:
    process = CONTEXT.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def until(condition: Callable[[], Any], *, seconds: float = 120.0) -> Any:
    """Wait until the condition is true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} seconds"
        time.sleep(0.01)
    return result


def asks(process: BaseProcess, study: optuna.Study) -> bool:
    """Whether a process has been given a trial, or is over."""
    owners = (owner_of(trial) for trial in all_trials(study))
    return not process.is_alive() or any(o and o.pid == process.pid for o in owners)


def outcome(study: optuna.Study) -> list[tuple[Any, ...]]:
    """What has to be equal in an interrupted and an uninterrupted study."""
    return [
        (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values)
        for trial in study.trials
    ]


def train(
    url: str,
    weights: Path,
    how: str,
    n_finished: int,
    epochs: int,
    checkpoints: Path | None = None,
) -> None:
    """A BioTune search on the digits, opened or continued; a checkpoint saves each epoch."""
    import torch

    from optuna_layerwise import FinetuneObjective, ModelSpec

    torch.set_num_threads(1)
    objective = FinetuneObjective(
        model=ModelSpec(name="digits_cnn", weights=weights, image_size=8),
        data="digits",
        encoding="biotune",
        recipe=Recipe(lr=3e-3, epochs=epochs, patience=None, batch_size=25),
        device="cpu",
        checkpoints=checkpoints,
        checkpoint_seconds=0,
    )
    study = open_study(
        url,
        study_name="s",
        sampler=BioTuneSampler(seed=0, encoding=objective.encoding),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=epochs // 4),
    )
    if how == "optimize":
        study.optimize(objective, n_trials=n_finished - finished(study))
    elif not work(study, objective, n_finished=n_finished):
        sys.exit(STOPPED)


def train_one(url: str, weights: Path, folder: Path, epochs: int) -> None:
    """One long trial of two seeds, begun or continued, that saves each epoch."""
    import torch

    from optuna_layerwise import FinetuneObjective, ModelSpec

    torch.set_num_threads(1)
    objective = FinetuneObjective(
        model=ModelSpec(name="digits_cnn", weights=weights, image_size=8),
        data="digits",
        encoding="biotune",
        recipe=Recipe(lr=3e-3, epochs=epochs, patience=None, batch_size=10),
        seeds=(0, 1),
        device="cpu",
        checkpoints=folder,
        checkpoint_seconds=0,
        keep_weights=1,
    )
    study = open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
    if not work(study, objective, n_finished=1):
        sys.exit(STOPPED)


def quick(trial: optuna.Trial) -> float:
    """An objective of someone else, of varying duration."""
    x = trial.suggest_float("x", 0, 1)
    time.sleep(0.02 * x)
    return x


def slow(trial: optuna.Trial) -> float:
    """One that reports, and does not end by itself."""
    value = quick(trial)
    for step in range(100_000):
        if step == 0:
            trial.report(value, step)
        time.sleep(0.01)
    return value


def labour(url: str, objective: Callable[[optuna.Trial], float], n_finished: int) -> None:
    """Work on somebody's study."""
    study = open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler())
    if not work(study, objective, n_finished=n_finished):
        sys.exit(STOPPED)


def ask_and_wait(url: str, seconds: float, then: str) -> None:
    """Ask for a trial, as a sampler without records does, and do the rest late or never."""
    study = open_study(url, study_name="s", sampler=optuna.samplers.RandomSampler())
    trial = study.ask()
    time.sleep(seconds)
    if then == "suggest":
        trial.suggest_float("x", 0, 1)
    time.sleep(600)


def claim(url: str) -> None:
    """Ask for a trial with a sampler that records its owner, and keep it."""
    study = open_study(url, study_name="s", sampler=BioTuneSampler())
    study.ask()
    time.sleep(600)
