"""All checks of a study, in order, each of them one function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator

import optuna

from optuna_layerwise.storage import all_trials, has_start
from optuna_layerwise.studies.doctor.abandoned_trials import abandoned_trials
from optuna_layerwise.studies.doctor.finding import Finding
from optuna_layerwise.studies.doctor.study_contents import (
    final_result,
    order_to_workers,
    other_attributes,
)
from optuna_layerwise.studies.doctor.trial_contents import numbers, records, values, what_made_them

Check = Callable[[optuna.Study], Iterable[Finding]]
CHECKS: tuple[Check, ...] = (
    *(order_to_workers, final_result, other_attributes),
    *(numbers, values, records, what_made_them, abandoned_trials),
)


def examine(study: optuna.Study, *more: Check) -> Iterator[Finding]:
    """What is wrong with a study; of one that another tool made, only that it is one.

    Looks for up to 5 seconds at running trials that nobody is known to run.

    Args:
        study: The study.
        more: Further checks, for what this room cannot see.
    """
    if not is_ours(study):
        yield Finding("note", "another tool made this study, and nothing of ours is in it")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they say what is found here
        for check in (*CHECKS, *more):
            yield from check(study)


def is_ours(study: optuna.Study) -> bool:
    """Whether this package has stored anything with a study."""
    if has_start(study) or any(key.startswith("olw:") for key in study.user_attrs):
        return True
    attributes = ({**t.user_attrs, **t.system_attrs} for t in all_trials(study))
    return any(key.startswith("olw:") for found in attributes for key in found)
