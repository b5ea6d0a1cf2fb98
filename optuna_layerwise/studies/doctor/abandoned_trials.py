"""Running trials that nobody runs any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial

import optuna
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import (
    LEASE_KEY,
    SETTINGS_KEY,
    all_trials,
    lease_of,
    owner_of,
    requeue,
)
from optuna_layerwise.studies.abandoned import NEWBORN_SECONDS, Watch
from optuna_layerwise.studies.continuing import requeue_abandoned
from optuna_layerwise.studies.doctor.finding import Finding

_AGAIN = "--repair gives it back, as does the next worker; the trial goes on as itself"


def abandoned_trials(study: optuna.Study) -> Iterator[Finding]:
    """Of dead processes, of leases that ran out, and of nobody."""
    watch = Watch()
    found = {trial.number for trial in watch.abandoned(all_trials(study))}
    running = [t for t in all_trials(study) if t.state == TrialState.RUNNING]
    if any(owner_of(t) is None for t in running):  # they may have begun just now
        for _ in range(2):  # looks far apart count for less
            time.sleep(NEWBORN_SECONDS / 2)
            found |= {trial.number for trial in watch.abandoned(all_trials(study))}
    ours = SETTINGS_KEY in study.user_attrs
    for trial in all_trials(study):
        if trial.state == TrialState.RUNNING:
            yield from _about(study, trial, abandoned=trial.number in found, ours=ours)


def _about(
    study: optuna.Study, trial: FrozenTrial, *, abandoned: bool, ours: bool
) -> Iterator[Finding]:
    number, owner, lease = trial.number, owner_of(trial), lease_of(trial)
    give_back = partial(requeue, study, trial)
    if owner is None:
        remedy, repair = _AGAIN, give_back
        if not (abandoned or ours):
            remedy = "if its process is gone, fail it in the dashboard or with study.tell"
            yield Finding("warning", f"trial {number} is run by nobody knows whom", remedy, number)
            return
        problem = f"trial {number} is marked as running, and no process has it"
        yield Finding("warning", problem, remedy, number, repair)
        return
    by = f"process {owner.pid} on {owner.host}"
    if abandoned:
        yield Finding(
            "warning", f"trial {number} is of {by}, which is dead", _AGAIN, number, give_back
        )
    elif lease is not None and (late := _late(trial)) > 0:
        problem = f"trial {number} is of {by}, whose lease ran out {late:.0f} seconds ago"
        remedy = f"{_AGAIN}, when it sees no sign of life for {lease.seconds:.0f} seconds"
        yield Finding("warning", problem, remedy, number, partial(requeue_abandoned, study))


def _late(trial: FrozenTrial) -> float:
    """Seconds since its lease ran out, by the clock of who held it."""
    try:
        expires = datetime.fromisoformat(trial.system_attrs[LEASE_KEY]["expires"])
        return (datetime.now(timezone.utc) - expires).total_seconds()
    except (KeyError, TypeError, ValueError):
        return 0.0
