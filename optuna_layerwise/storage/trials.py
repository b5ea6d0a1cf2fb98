"""Trials as the package stores them: one record each, in plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, Trial

from optuna_layerwise.storage import long_values
from optuna_layerwise.storage.leases import lease_of
from optuna_layerwise.storage.owner import Owner

TRIAL_KEY = "olw:trial"
"""Trial system attribute: schema version, owner, and the sampler's record of the draw."""
TIE_KEY = "olw:tie"
"""Trial user attribute: decides between equal values, smaller is better (validation loss)."""
SCHEMA = 1
GENERATION_SIZE = 10
"""Trials per generation under a sampler that has none of its own."""


def all_trials(study: Study) -> list[FrozenTrial]:
    """Every trial by number, not copied: read, never change."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def stored_trial(trial: Trial) -> FrozenTrial:
    """A running trial as it is stored now."""
    return trial.study._storage.get_trial(trial._trial_id)


def trial_attr(trial: FrozenTrial, key: str) -> Any:
    """A user attribute of ours, whole if it was stored in parts; ``None`` if it is not there.

    Raises:
        IncompleteValueError: if the parts are not what was written.
    """
    return long_values.whole(trial.user_attrs.get(key), trial.system_attrs)


def trial_record(trial: FrozenTrial) -> dict[str, Any]:
    """What we stored with a trial; empty if nothing, or nothing that this version reads."""
    return record_in(trial.system_attrs)


def record_in(system_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """As `trial_record`, of a trial with these system attributes."""
    try:
        return checked(long_values.whole(system_attrs.get(TRIAL_KEY), system_attrs))
    except long_values.IncompleteValueError:
        return {}


def own_record(trial: FrozenTrial, study_id: str | None) -> dict[str, Any]:
    """What we stored with a trial of this study; empty if it was copied from another trial.

    Copied trials, as `Study.add_trials` makes them, keep the attributes of their source.

    Args:
        trial: The trial.
        study_id: Its study's, if that has one. Records of versions that stored none say nothing
            about whose they are and count as the trial's own.
    """
    record = trial_record(trial)
    own = {"study": study_id, "trial": trial.number}
    return record if own.items() <= {**own, **record}.items() else {}


def write_trial_record(study: Study, trial: FrozenTrial, record: Mapping[str, Any]) -> None:
    """Store a trial's record, with this process as its owner."""
    owned = {**record, "v": SCHEMA, "owner": dataclasses.asdict(Owner.of_this_process())}
    stored, pieces = long_values.split_all({TRIAL_KEY: owned})
    for key, value in {**pieces, **stored}.items():
        study._storage.set_trial_system_attr(trial._trial_id, key, value)
        trial.system_attrs[key] = value


def owner_of(trial: FrozenTrial) -> Owner | None:
    """The process that runs the trial, if that is known: who holds the lease, or recorded it."""
    lease = lease_of(trial)
    return Owner.from_json(trial_record(trial).get("owner")) if lease is None else lease.owner


def generation_of(trial: FrozenTrial) -> int:
    """Generation of a trial: what our sampler stored, else its number // 10."""
    generation = trial_record(trial).get("generation")
    return generation if isinstance(generation, int) else trial.number // GENERATION_SIZE


_TYPES = {
    "study": str,
    "trial": int,
    "algorithm": str,
    "made_with": dict,
    "seed": int,
    "base": int,
    "end": int,
    "generation": int,
    "missing": list,
    "genes": dict,
    "given": dict,
    "facts": dict,
}


def checked(record: Any) -> dict[str, Any]:
    """A stored record; empty if it is none, or none that this version reads."""
    if not isinstance(record, dict) or record.get("v") != SCHEMA:
        return {}
    sound = all(isinstance(record[key], kind) for key, kind in _TYPES.items() if key in record)
    return record if sound else {}
