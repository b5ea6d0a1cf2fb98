"""Opening a study so that it continues where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_layerwise.storage import (
    PATIENCE_SECONDS,
    all_trials,
    holds_study,
    open_storage,
    requeue,
)
from optuna_layerwise.studies.abandoned import Watch

Direction: TypeAlias = "Literal['maximize', 'minimize'] | StudyDirection"
_POLL_SECONDS = 0.05


def open_study(
    storage: str | optuna.storages.BaseStorage,
    *,
    study_name: str,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    direction: Direction = "maximize",
    directions: Sequence[Direction] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    wait: bool = False,
) -> optuna.Study:
    """Create or continue a study; trials that a dead process left behind are asked for again.

    As `optuna.create_study(load_if_exists=True)`, but claims on SQLite are atomic, and a trial
    whose process was killed continues as itself: same number, same parameters. So does one whose
    lease was not renewed in its time, and one without parameters, attributes or owner for 5
    seconds; see `requeue_abandoned`.

    Args:
        storage: A URL, see `open_storage`, or a storage.
        study_name: Name.
        sampler: Default Optuna's own.
        pruner: Default none: ranks within a generation need trials that were trained alike.
        direction: Must be that of a study that exists.
        directions: In its place, those of a study with several objectives.
        patience_seconds: How long a storage given by URL may be away later on.
        wait: Wait as long for one that is away now, too.

    Raises:
        ConnectionError: if the storage cannot be reached.
        ValueError: if the study exists with another direction, or if the database takes the name
            for that of another study, as the collations of MySQL and MariaDB do.
    """
    if isinstance(storage, str):
        storage = open_storage(storage, patience_seconds=patience_seconds, wait=wait)
    wanted = [
        each if isinstance(each, StudyDirection) else StudyDirection[each.upper()]
        for each in ([direction] if directions is None else directions)
    ]
    holds_study(storage, study_name)  # or says that another one has a name that counts as this
    study = optuna.create_study(
        storage=storage,
        study_name=study_name,
        sampler=sampler,
        pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
        directions=wanted,
        load_if_exists=True,
    )
    if study.directions != wanted:
        got, asked = ([each.name.lower() for each in d] for d in (study.directions, wanted))
        raise ValueError(
            f"study {study_name!r} exists with direction {got}, not {asked}; choose another "
            "study_name or that direction"
        )
    requeue_abandoned(study)
    return study


def requeue_abandoned(study: optuna.Study) -> list[int]:
    """Give back the running trials that nobody runs any more; returns their numbers.

    Waits until that is sure of each of them: a trial of another machine or container shows
    within a quarter of its lease's time that it is run, or is given back when that time is over.
    """
    watch, requeued = Watch(), []
    while True:
        trials = all_trials(study)
        requeued += requeue_found(study, watch, trials)
        if not watch.unsure(trials):
            return sorted(requeued)
        time.sleep(_POLL_SECONDS)


def requeue_found(study: optuna.Study, watch: Watch, trials: Iterable[FrozenTrial]) -> list[int]:
    """Give back what a watch finds abandoned among trials read just now; returns the numbers."""
    found = watch.abandoned(trials)
    return [trial.number for trial in found if requeue(study, trial, unrenewed=True)]
