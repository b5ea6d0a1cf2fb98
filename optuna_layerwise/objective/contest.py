"""The contest after a search: who is best on images that none of its trainings has seen."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from optuna_layerwise.data import Examples, Splits
from optuna_layerwise.data.folds import folds_for_finalists, held_out_folds
from optuna_layerwise.objective.entrants import Entrant, worst_if_nan
from optuna_layerwise.objective.racing import still_in_the_race
from optuna_layerwise.recipe import Metric, higher_is_better


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A training that every entrant gets: the seed, the images to train on, those held out."""

    seed: int
    train: Examples
    held_out: Examples


def trainings_of(
    data: Splits, labelled: Examples, seeds: Sequence[int], folds: int | None
) -> list[Training]:
    """One training a fold, with the seeds in turn; without folds one a seed.

    Args:
        data: The splits.
        labelled: The images of training and validation.
        seeds: At least one.
        folds: As `Ending.folds`.

    Raises:
        ValueError: if that many folds cannot be made.
    """
    pairs = folds_for_finalists(labelled) if folds is None else []
    if folds is not None and folds > 1:
        pairs = held_out_folds(labelled, folds)
    if not pairs:
        return [Training(seed, data.train, data.val) for seed in seeds]
    return [Training(seed, *pair) for seed, pair in zip(itertools.cycle(seeds), pairs)]


def contest(
    entrants: Sequence[Entrant],
    trainings: Sequence[Training],
    metric: Metric,
    *,
    race: bool,
    keep: bool,
    check: Callable[[], None],
) -> None:
    """Train every entrant, training by training.

    Args:
        entrants: Who takes part.
        trainings: The trainings that each entrant gets, in their order.
        metric: The metric that decides.
        race: Train those that are clearly behind no further; see `still_in_the_race`. A fitted
            probe, which costs no epoch, stays: it errs elsewhere than the others, and may serve
            in a team.
        keep: Keep the networks of those that were not left behind.
        check: Called before each training; what it raises ends the contest.
    """
    sign = 1 if higher_is_better(metric) else -1
    running = list(entrants)
    for index, each in enumerate(trainings):
        for entrant in running:
            check()
            entrant.train(each.seed, each.train, each.held_out, keep=keep)
        if race and index + 1 < len(trainings):
            scores = np.array([[sign * fit.metrics[metric] for fit in e.fits] for e in running])
            goes_on = still_in_the_race(scores, len(trainings))
            goes_on |= [entrant.is_probe for entrant in running]
            for left_behind in itertools.compress(running, ~goes_on):
                if not left_behind.is_baseline:  # which is tested all the same
                    left_behind.kept.clear()
            running = list(itertools.compress(running, goes_on))


def ranked(entrants: Sequence[Entrant], metric: Metric) -> list[Entrant]:
    """By the mean of the validation metric; those that were left behind come last.

    Of equal ones the simpler comes first (a fitted probe, then other baselines), then the one
    with the smaller validation loss.
    """
    sign = -1 if higher_is_better(metric) else 1

    def place(entrant: Entrant) -> tuple[int, float, int, float]:
        candidate = entrant.candidate()
        value, loss = (candidate.mean(m, split="val") for m in (metric, "loss"))
        costs = worst_if_nan(sign * value), worst_if_nan(loss)
        simplicity = 0 if entrant.is_probe else 1 if entrant.is_baseline else 2
        return -len(entrant.fits), costs[0], simplicity, costs[1]

    return sorted(entrants, key=place)
