"""What a sampler was started with, where that came from outside the study; JSON, written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study

START_KEY = "olw:start"
"""Study system attribute."""
_VERSION = 1


def stored_start(study: Study) -> dict[str, Any]:
    """What was stored; empty if nothing, or nothing that this version reads."""
    start = study._storage.get_study_system_attrs(study._study_id).get(START_KEY)
    return dict(start) if isinstance(start, dict) and start.get("v") == _VERSION else {}


def has_start(study: Study) -> bool:
    """Whether anything is stored, readable or not."""
    return START_KEY in study._storage.get_study_system_attrs(study._study_id)


def has_unreadable_start(study: Study) -> bool:
    """Whether something is stored that this version does not read."""
    return has_start(study) and not stored_start(study)


def store_start(study: Study, start: Mapping[str, Any]) -> dict[str, Any]:
    """Store it unless there is one; returns what is stored."""
    if not stored_start(study):
        record = {**start, "v": _VERSION}
        study._storage.set_study_system_attr(study._study_id, START_KEY, record)
    return stored_start(study)
