"""What a sampler was started with, where that came from outside the study; JSON, written once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study

from optuna_layerwise.storage.study_attrs import study_attr, write_once

START_KEY = "olw:start"
"""Study system attribute."""
_VERSION = 1


def stored_start(study: Study) -> dict[str, Any]:
    """What was stored; empty if nothing, or nothing that this version reads."""
    start = study_attr(study, START_KEY, system=True)
    return dict(start) if isinstance(start, dict) and start.get("v") == _VERSION else {}


def has_start(study: Study) -> bool:
    """Whether anything is stored, readable or not."""
    return study_attr(study, START_KEY, system=True) is not None


def has_unreadable_start(study: Study) -> bool:
    """Whether something is stored that this version does not read."""
    return has_start(study) and not stored_start(study)


def store_start(study: Study, start: Mapping[str, Any]) -> dict[str, Any]:
    """Store it unless there is one; returns what is stored."""
    write_once(study, START_KEY, {**start, "v": _VERSION}, system=True)
    return stored_start(study)
