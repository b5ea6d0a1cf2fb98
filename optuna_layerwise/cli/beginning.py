"""Tell the user, before a run begins, how its data and options were understood."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from optuna_layerwise.cli.options import console
from optuna_layerwise.cost import Budget
from optuna_layerwise.data.targets import counts_of
from optuna_layerwise.experiments.budget import Plan
from optuna_layerwise.io.plain import MANY
from optuna_layerwise.recipe import NOUNS
from optuna_layerwise.records.final import count_finals
from optuna_layerwise.records.run import run_content
from optuna_layerwise.reporting.report_grid import duration
from optuna_layerwise.storage import all_trials, without_secrets
from optuna_layerwise.studies import finished

if TYPE_CHECKING:
    from optuna_layerwise.cli.searching import Search

_LISTED = 12
"""Classes, and blocks, that are listed one by one."""
_EVER = Budget(MANY * 86_400.0, "seconds")
"""A budget with room for everything."""


def introduce(search: Search, *, whole: bool = False) -> None:
    """Say what is about to be run.

    Args:
        search: The study, opened.
        whole: Say all that was understood, for who has typed it, and not one line of it.
    """
    data, settings, objective = search.data, search.settings, search.objective
    console.print(
        Text.assemble("study ", (search.study.study_name, "bold"), ": ")
        + f"{len(data.train)} training, "
        f"{len(data.val)} validation and {len(data.test)} test {data.train.noun} of "
        f"{len(data.classes)} {NOUNS[data.train.task]}; {settings.model} in "
        f"{len(objective.blocks)} blocks on {objective.device}"
        + (f"; {settings.target} trials" if settings.target else ""),
        soft_wrap=True,
    )
    for title, text in _understood(search) if whole else ():
        console.print(Text.assemble((f"  {title:<8}", "bold"), text), soft_wrap=True)
    from optuna_layerwise.training import device_name

    here = device_name(objective.device)
    names = {run_content(trial).get("device_name") for trial in all_trials(search.study)}
    if others := sorted(name for name in names - {here} if name and isinstance(name, str)):
        console.print(
            f"trials so far ran on {', '.join(others)}, and those of this process run on {here}: "
            "values can differ in the last digits",
            markup=False,
            soft_wrap=True,
        )


def say_planned(search: Search) -> None:
    """Say what the search and its end are expected to take of the budget, if there is one."""
    if search.plan is not None:
        console.print(search.plan.words(search.study), soft_wrap=True)


def expected_words(search: Search) -> str:
    """How long the search and its end are expected to take, from a few measured steps."""
    study, settings = search.study, search.settings
    if search.plan is not None and search.plan.budget.unit == "seconds":
        plan = search.plan
    else:
        trials = settings.trials
        if search.plan is not None:
            trials = search.plan.n_finished(study, study.get_trials(deepcopy=False))
        limited = dataclasses.replace(settings, budget="1s", trials=max(trials, 1))
        made = Plan.of(limited, search.objective)
        assert made is not None
        made.budget, plan = _EVER, made
    parts = plan.expected(study)
    total, of_search, of_end = (
        duration(seconds).replace(".0 ", " ") for seconds in (sum(parts), *parts)
    )
    return (
        f"about {total} for one worker: {of_search} for the search and {of_end} for its end "
        "(from a few measured steps)"
    )


def _understood(search: Search) -> Iterator[tuple[str, str]]:
    """Titles and texts: what the data, the network and the options were taken for."""
    data, settings, objective = search.data, search.settings, search.objective
    counts = counts_of(data.train.labels, len(data.classes))
    named = [f"{name}: {n}" for name, n in zip(data.classes, counts, strict=False)]
    named += [
        f"{name}: {mean:.4g} ± {std:.2g}"
        for name, (mean, std) in zip(data.classes, data.train.scale, strict=False)
    ]
    if len(named) > _LISTED and counts:
        order = np.argsort(counts, kind="stable")
        named = [f"from {named[order[0]]} to {named[order[-1]]}"]
    yield NOUNS[data.train.task], f"{', '.join(named)} (training {data.train.noun})"
    if (groups := data.train.groups) is not None:
        yield (
            "groups",
            f"{len(set(groups))} among the training {data.train.noun}; no group is in two splits",
        )
    blocks = list(objective.blocks)
    shown = blocks if len(blocks) <= _LISTED else [*blocks[:5], "...", *blocks[-5:]]
    yield "blocks", ", ".join(shown)
    what = settings.baseline or f"{settings.sampler} on {settings.encoding}"
    seeds = f", {len(settings.seeds)} trainings each" if len(settings.seeds) > 1 else ""
    recipe = settings.recipe
    yield (
        "search",
        f"{what}, seed {settings.seed}; trials of at most {recipe.epochs} epochs{seeds}, compared "
        f"by validation {recipe.metric}",
    )
    if finished(search.study) < settings.trials and not count_finals(search.study):
        yield "time", expected_words(search)
    yield (
        "results",
        f"in {without_secrets(search.storage)}"
        + (f"; weights in {settings.output}" if settings.output else ""),
    )
