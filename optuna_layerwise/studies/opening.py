"""Opening a study so that it continues where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import all_trials, open_storage, owner_of, requeue, trial_record

NEWBORN_SECONDS = 5.0
"""A trial is given its owner within milliseconds; after this long it never will be."""


def open_study(
    storage: str | optuna.storages.BaseStorage,
    *,
    study_name: str,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    direction: Literal["maximize", "minimize"] = "maximize",
) -> optuna.Study:
    """Create or continue a study; trials that a dead process left behind are asked for again.

    As `optuna.create_study(load_if_exists=True)`, but claims on SQLite are atomic, and a trial
    whose process was killed continues as itself: same number, same parameters. A trial that has
    no parameters, attributes or owner for 5 seconds counts as left behind, too.

    Raises:
        ConnectionError: if the storage cannot be reached.
    """
    study = optuna.create_study(
        storage=open_storage(storage) if isinstance(storage, str) else storage,
        study_name=study_name,
        sampler=sampler,
        pruner=pruner,
        direction=direction,
        load_if_exists=True,
    )
    requeue_abandoned(study)
    return study


def requeue_abandoned(study: optuna.Study) -> list[int]:
    """Give back the running trials of dead processes; returns their numbers."""
    requeued = []
    while True:
        running = [t for t in all_trials(study) if t.state == TrialState.RUNNING]
        abandoned = [t for t in running if _is_abandoned(t)]
        requeued += [t.number for t in abandoned if requeue(study, t)]
        if not any(_is_newborn(t) for t in running if t not in abandoned):
            return requeued
        time.sleep(0.05)


def _is_abandoned(trial: FrozenTrial) -> bool:
    owner = owner_of(trial)
    if owner is not None:
        return owner.is_dead
    return _has_nothing(trial) and _age(trial) > NEWBORN_SECONDS


def _is_newborn(trial: FrozenTrial) -> bool:
    return owner_of(trial) is None and _has_nothing(trial)


def _has_nothing(trial: FrozenTrial) -> bool:
    """Created (or given back) and claimed, but not yet asked for anything by its process."""
    things: Iterable[object] = (trial.params, trial.user_attrs, trial.intermediate_values)
    return bool(trial_record(trial)) or not any(things)


def _age(trial: FrozenTrial) -> float:
    started = trial.datetime_start or datetime.min
    return (datetime.now() - started).total_seconds()
