"""Drawing every trial of a study again, to see whether the study is what its sampler made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.samplers._fingerprint import fingerprint
from optuna_layerwise.storage import all_trials, trial_record


@dataclasses.dataclass(frozen=True)
class Difference:
    """A part of a trial that is not what its sampler draws.

    Args:
        trial: Number.
        part: A parameter, or ``gene x`` or ``facts`` of the trial's record.
        stored: What the study has.
        derived: What the sampler draws.
    """

    trial: int
    part: str
    stored: Any
    derived: Any


@dataclasses.dataclass(frozen=True)
class Rederivation:
    """What came of drawing a study again.

    Args:
        trials: Number of trials that were compared.
        genes: Number of parameters in them that were compared.
        others: Number of trials that this sampler did not draw.
        skipped: Fingerprint to the number of trials that were drawn under it, which is another
            than that of this process.
        differences: By trial number.
        cause: Where the first of them comes from, as far as the study tells; empty without.
    """

    trials: int
    genes: int
    others: int
    skipped: Mapping[str, int]
    differences: Sequence[Difference]
    cause: str


def rederive(study: Study, sampler: BaseSampler) -> Rederivation:
    """Draw every trial again from what the study holds of the trials before it.

    Nothing is stored. States are rebuilt from stored numbers, exactly; a draw is compared, exactly
    as well, if it was made under the `fingerprint` of this process. Enqueued parameters are not
    compared; those that `PartialFixedSampler` gave count as differences.

    Args:
        study: The study.
        sampler: A sampler with the options of the one that drew the trials; its seed does not
            matter.

    Raises:
        ValueError: if the sampler drew none of the trials (the message says who did), or is not
            one of this package.

    Examples:
        >>> import optuna
        >>> from optuna_layerwise.samplers import BioTuneSampler
        >>> study = optuna.create_study(sampler=BioTuneSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=30)
        >>> rederive(study, BioTuneSampler()).differences
        []
    """
    if not isinstance(sampler, CohortSampler):
        raise ValueError(
            f"{type(sampler).__name__} keeps no record of its draws; only those of this package's "
            "own samplers can be drawn again"
        )
    redrawn = sampler.redraw(study)
    skipped: Counter[str] = Counter()
    differences: list[Difference] = []
    genes, agreed, cause = 0, {0}, ""
    for trial, params, record in redrawn:
        made_with = record.get("made_with", {})  # may name more: cmaes, which drew until 0.1.0
        if not fingerprint().items() <= made_with.items():
            skipped[_shown(made_with)] += 1
            continue
        genes += len(params)
        if found := _differences(trial, params, record):
            cause = cause or _cause(trial, params, record, agreed)
            differences += found
        elif not differences:
            agreed.add(record["end"])
    return Rederivation(
        trials=len(redrawn) - skipped.total(),
        genes=genes,
        others=len(all_trials(study)) - len(redrawn),
        skipped=skipped,
        differences=differences,
        cause=cause,
    )


def _differences(
    trial: FrozenTrial, params: Mapping[str, Any], record: Mapping[str, Any]
) -> list[Difference]:
    """Between a trial as stored, and the parameters and the record that are drawn now."""
    stored = trial_record(trial)
    parts = {name: (trial.params[name], value) for name, value in params.items()}
    for name in stored["genes"] | record["genes"]:
        if name not in parts or parts[name][0] == parts[name][1]:
            parts[f"gene {name}"] = stored["genes"].get(name), record["genes"].get(name)
    parts["facts"] = stored["facts"], record["facts"]
    return [
        Difference(trial.number, part, theirs, ours)
        for part, (theirs, ours) in parts.items()
        if theirs != ours
    ]


def _cause(
    trial: FrozenTrial, params: Mapping[str, Any], record: Mapping[str, Any], agreed: set[int]
) -> str:
    """Of the first difference; ``agreed``: what all trials before it were drawn from."""
    if trial_record(trial) == record:
        name = next(name for name, value in params.items() if trial.params[name] != value)
        parameter = f"parameter {name!r} of trial {trial.number}"
        if name in record["genes"]:
            return f"{parameter} was changed: its sampler recorded what gives {params[name]}"
        return f"{parameter} or the seed in its record was changed: that gives {params[name]}"
    if not record["end"]:
        return (
            f"trial {trial.number} was drawn from no other trial: its record was changed, or "
            "other code drew it"
        )
    end = max(end for end in agreed if end < record["end"])
    narrower = f"; what was drawn from trials 0 to {end - 1} alone still agrees" if end else ""
    return (
        f"trial {trial.number} was drawn from trials 0 to {record['end'] - 1}: a value, a "
        f"parameter or an attribute of one of them, or its own record, was changed{narrower}"
    )


def _shown(made_with: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {what}" for name, what in made_with.items()) or "unknown versions"
