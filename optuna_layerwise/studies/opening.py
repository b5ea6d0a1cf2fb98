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
_POLL_SECONDS = 0.05


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

    Args:
        storage: A SQLAlchemy URL, see `open_storage`, or a storage.
        study_name: Name.
        sampler: Default Optuna's own.
        pruner: Default none: ranks within a generation need trials that were trained alike.
        direction: Must be that of a study that exists.

    Raises:
        ConnectionError: if the storage cannot be reached.
        ValueError: if the study exists with another direction.
    """
    study = optuna.create_study(
        storage=open_storage(storage) if isinstance(storage, str) else storage,
        study_name=study_name,
        sampler=sampler,
        pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
        direction=direction,
        load_if_exists=True,
    )
    if (got := [d.name.lower() for d in study.directions]) != [direction]:
        raise ValueError(
            f"study {study_name!r} exists with direction {got}, not {direction!r}; choose another "
            "study_name or that direction"
        )
    requeue_abandoned(study)
    return study


def requeue_abandoned(study: optuna.Study) -> list[int]:
    """Give back the running trials of dead processes; returns their numbers."""
    deadline = time.monotonic() + NEWBORN_SECONDS  # stored times are of other machines' clocks
    newborn, requeued = _newborn(study), _requeue_dead(study)
    while newborn and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        newborn &= _newborn(study)
    left_behind = [t for t in all_trials(study) if _birth(t) in newborn and _is_newborn(t)]
    return requeued + [t.number for t in left_behind if requeue(study, t)]


def _requeue_dead(study: optuna.Study) -> list[int]:
    running = [t for t in all_trials(study) if t.state == TrialState.RUNNING]
    dead = [t for t in running if (owner := owner_of(t)) is not None and owner.is_dead]
    return [t.number for t in dead if requeue(study, t)]


def _newborn(study: optuna.Study) -> set[tuple[int, datetime | None]]:
    return {_birth(t) for t in all_trials(study) if _is_newborn(t)}


def _birth(trial: FrozenTrial) -> tuple[int, datetime | None]:
    """Tells a trial from itself when it is claimed again."""
    return trial.number, trial.datetime_start


def _is_newborn(trial: FrozenTrial) -> bool:
    """Created (or given back) and claimed, but not yet asked for anything by its process."""
    things: Iterable[object] = (trial.params, trial.user_attrs, trial.intermediate_values)
    nothing = bool(trial_record(trial)) or not any(things)
    return trial.state == TrialState.RUNNING and owner_of(trial) is None and nothing
