"""One process begins a study; all others join it as it is, or are told what differs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import optuna

from optuna_layerwise.experiments.repeating import option_of
from optuna_layerwise.experiments.settings import MAY_CHANGE, SETTINGS_KEY, Settings
from optuna_layerwise.io.plain import there_and_here
from optuna_layerwise.io.texts import quoted
from optuna_layerwise.records.fingerprint import join
from optuna_layerwise.storage import (
    FIRST_TRIALS_KEY,
    compare_and_set,
    enqueue_once,
    study_attr,
    update,
)

if TYPE_CHECKING:
    from optuna_layerwise.encodings import Encoding
    from optuna_layerwise.objective.finetune import FinetuneObjective

_DIGESTS = ("data_fingerprint", "model_digest")
_PLACES = ("data", "data_root", "image_root", "weights")


def begin_or_join(
    study: optuna.Study,
    objective: FinetuneObjective,
    settings: Settings,
    *,
    allow_different: bool,
) -> None:
    """Store what a new study is to be, unless another process was quicker: then join that.

    Settings, fingerprint and the number of trials to begin with are written together. A process
    that dies right after leaves it to the next one to enqueue those.

    Args:
        study: Without settings when it was looked at.
        objective: What these settings make a trial do.
        settings: The settings of this process.
        allow_different: Join one with other data, weights, packages or code.

    Raises:
        ValueError: if the quicker process has other settings, or another `Fingerprint`.
    """
    also = objective.fingerprint.as_attribute()
    if n_first := len(settings.first(objective.encoding)):
        also[FIRST_TRIALS_KEY] = n_first
    if not compare_and_set(study, SETTINGS_KEY, None, settings.to_json(), also=also):
        stored = Settings.from_study(study)
        if allow_different:
            settings = as_stored(settings, stored)
        refuse_differences(study.study_name, settings, stored)
        join(study, objective.fingerprint, allow_different=allow_different)
        store_changes(study, settings, stored)
        study.sampler = settings.make_sampler(objective.encoding, joins=True)
    enqueue_first(study, settings, objective.encoding)


def enqueue_first(study: optuna.Study, settings: Settings, encoding: Encoding) -> None:
    """Enqueue those of the trials that a study begins with which are not there yet."""
    n_first = study_attr(study, FIRST_TRIALS_KEY)
    if isinstance(n_first, int):
        enqueue_once(study, settings.recipes(encoding)[:n_first])


def store_changes(study: optuna.Study, settings: Settings, read: Settings) -> None:
    """Store what differs from the settings that were read; what others changed since stays."""
    ours, before = (json.loads(some.to_json()) for some in (settings, read))
    changes = {name: ours[name] for name in MAY_CHANGE if ours[name] != before[name]}
    if changes:
        update(study, SETTINGS_KEY, lambda text: json.dumps({**json.loads(text), **changes}))


def as_stored(settings: Settings, stored: Settings, *, places: bool = True) -> Settings:
    """Settings with the data and the weights of those that are stored.

    Args:
        settings: The settings of this process.
        stored: The settings of the study.
        places: Where they lie, too, instead of only what they are.
    """
    fields = (*_DIGESTS, *_PLACES) if places else _DIGESTS
    kept: dict[str, Any] = {field: getattr(stored, field) for field in fields}
    return dataclasses.replace(settings, **kept)


def refuse_differences(name: str, settings: Settings, stored: Settings) -> None:
    """Refuse to continue a study as something else."""
    if differences := settings.differences(stored):
        named = {option_of(field): values for field, values in differences.items()}
        told = (
            ", or join all the same with --allow-different"
            if set(differences) <= set(_DIGESTS)
            else ""
        )
        raise ValueError(
            f"study {name!r} exists with another configuration: "
            f"{there_and_here(named, most=40)}. Choose another --study "
            f"name, or continue it as it is with "
            f"`optuna-layerwise resume --study {quoted(name)}`{told}"
        )
