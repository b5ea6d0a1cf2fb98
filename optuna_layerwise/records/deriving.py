"""What a trial trains follows from its parameters: a record that says otherwise was edited."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.run import Run, readable_runs
from optuna_layerwise.storage import all_trials


def meant(encoding: Encoding, params: Mapping[str, Any]) -> tuple[Policy, dict[str, Any]]:
    """The policy that a trial's parameters mean, and the fields of the recipe that they set.

    Raises:
        KeyError: if a parameter is missing.
    """
    return encoding.decode(params), {name: params[name] for name in encoding.tuned}


def edited_parts(encoding: Encoding, trial: FrozenTrial, run: Run) -> dict[str, tuple[Any, Any]]:
    """What a trial's record says it trained and its parameters do not mean.

    Args:
        encoding: The encoding that the trial's parameters were asked for.
        trial: Its parameters; nothing is said of those that another encoding asked for.
        run: The trial's record.

    Returns:
        Part to what is stored and what the parameters mean.
    """
    space = encoding.search_space
    if any(trial.distributions.get(name) != distribution for name, distribution in space.items()):
        return {}
    policy, recipe = meant(encoding, trial.params)
    parts = {
        **_differing("multiplier of", run.policy, policy),
        **_differing("recipe's", run.recipe, recipe),
    }
    if not parts and tuple(run.policy) != encoding.blocks:
        parts["order of blocks"] = (list(run.policy), list(encoding.blocks))
    return parts


def edited_trials(
    study: optuna.Study, encoding: Encoding
) -> dict[int, dict[str, tuple[Any, Any]]]:
    """Number of each trial whose record was edited to its `edited_parts`."""
    trials = all_trials(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # who reads what cannot be read says so
        runs = readable_runs(study, trials)
    found = {
        trial.number: edited_parts(encoding, trial, runs[trial.number])
        for trial in trials
        if trial.number in runs
    }
    return {number: parts for number, parts in found.items() if parts}


def warn_of_edited(study: optuna.Study, encoding: Encoding) -> list[int]:
    """Trials that cannot be trained again as they were; one warning names them."""
    if edited := list(edited_trials(study, encoding)):
        warnings.warn(
            f"study {study.study_name!r}: no finalist is made of {listed(edited)}: the stored "
            "policy is not what the parameters mean, so it was edited, or trained with another "
            "encoding or learning rate; `optuna-layerwise replay` lists what differs",
            stacklevel=4,
        )
    return edited


def listed(numbers: Sequence[int]) -> str:
    """Numbers of trials in words."""
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _differing(
    kind: str, stored: Mapping[str, Any], derived: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    return {
        f"{kind} {name}": (stored.get(name), derived.get(name))
        for name in {**stored, **derived}
        if not _same(stored.get(name), derived.get(name))
    }


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one: powers differ in their last bit from machine to machine."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=1e-12)
    return bool(one == other)
