"""Is a study what its sampler made? Draws every suggestion again, and says where it differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.recipe import Metric
from optuna_layerwise.records.deriving import edited_trials
from optuna_layerwise.records.run import TRAINED, run_of
from optuna_layerwise.samplers import SAMPLERS, Difference, Rederivation
from optuna_layerwise.storage import TIE_KEY, all_trials


def stored_encoding(settings: Settings) -> Encoding:
    """The encoding of a study of the command line; needs neither its data nor its weights."""
    spec = dataclasses.replace(settings, weights="none").spec()
    blocks = spec.partition(spec.build(num_classes=2))
    return settings.encoding_for(tuple(blocks))


def stored_sampler(study: optuna.Study) -> BaseSampler:
    """The sampler alone of `stored_search`."""
    return stored_search(study)[0]


def stored_search(study: optuna.Study) -> tuple[BaseSampler, Encoding]:
    """The sampler and the encoding of a study of the command line.

    Raises:
        ValueError: if it is none.
    """
    if SETTINGS_KEY not in study.user_attrs:
        raise ValueError(
            f"study {study.study_name!r} was not created by `optuna-layerwise tune`: name its "
            f"sampler with --sampler (one of {', '.join(SAMPLERS)}), --sampler-option and, if it "
            "had one, --encoding"
        )
    settings = Settings.from_study(study)
    encoding = stored_encoding(settings)
    return settings.make_sampler(encoding, joins=False), encoding


def edited_records(study: optuna.Study, encoding: Encoding | None) -> list[Difference]:
    """What is stored with trials and does not follow from the rest, by trial number."""
    policies = edited_trials(study, encoding) if encoding else {}
    edited = [
        Difference(number, part, *values)
        for number, parts in policies.items()
        for part, values in parts.items()
    ]
    return sorted([*edited, *edited_outcomes(study)], key=lambda found: found.trial)


def edited_outcomes(study: optuna.Study) -> list[Difference]:
    """Values and ties of trials that are not those of the trainings stored with them."""
    if SETTINGS_KEY not in study.user_attrs:
        return []
    metric, edited = Settings.from_study(study).recipe.metric, []
    for trial in all_trials(study):
        run = run_of(study, trial)
        if trial.state != TrialState.COMPLETE or run is None or run.outcome not in TRAINED:
            continue
        parts: dict[str, tuple[Any, Metric]] = {
            "value": (trial.values[0] if trial.values else None, metric),
            TIE_KEY: (trial.user_attrs.get(TIE_KEY), "loss"),
        }
        for part, (stored, name) in parts.items():
            derived = run.mean(name)
            if stored is not None and stored != derived:
                edited.append(Difference(trial.number, part, stored, derived))
    return edited


def first_cause(edited: list[Difference], found: Rederivation) -> str:
    """Where the first difference comes from."""
    drawn = found.differences
    if not edited or (drawn and drawn[0].trial <= edited[0].trial):
        return found.cause
    first = edited[0]
    source = "trainings gave" if first.part in ("value", TIE_KEY) else "parameters mean"
    return (
        f"{first.part} of trial {first.trial} was changed: its {source} {first.derived}, "
        f"but {first.stored} is stored"
    )
