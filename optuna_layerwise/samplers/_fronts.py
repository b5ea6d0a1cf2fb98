"""One order for trials with several objectives: fronts, and in a front what each adds to it.

The first front holds the trials that no other one dominates: none is at least as good in all
objectives and better in one. The next one holds those that are left without the first, and so on
(Deb et al. 2002, https://doi.org/10.1109/4235.996017). In a front, a trial is the better, the more
hypervolume is lost without it (Emmerich, Beume and Naujoks 2005,
https://doi.org/10.1007/978-3-540-31880-4_5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_layerwise.storage import Standing, standing_of
from optuna_layerwise.storage.standing import FAILED, FINISHED

Costs = npt.NDArray[np.float64]
MOST_OBJECTIVES = 3
_REFERENCE = 1.1
"""Where hypervolume ends, in each objective, if the best trial has 0 and the worst one 1."""


def standings(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> dict[int, Standing]:
    """Where trials stand among each other, by their number.

    Feasible trials get as their cost their place in the order, divided by their number; trials
    with equal values, or that add the same, share one. Others stand as with a single objective.
    """
    found = {trial.number: standing_of(trial, directions[0]) for trial in trials}
    signs = [-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions]
    costs: dict[int, list[float]] = {}
    for trial in trials:
        standing, values = found[trial.number], trial.values or ()
        if standing.outcome != FINISHED:
            continue
        if len(values) != len(signs) or not all(map(math.isfinite, values)):
            found[trial.number] = Standing(FAILED, 0.0, 0.0, 0.0, trial.number)
            continue
        costs[trial.number] = [sign * value for sign, value in zip(signs, values, strict=True)]
    for number, place in zip(costs, places(np.array([*costs.values()])), strict=True):
        cost = float(place) / len(costs)
        found[number] = Standing(FINISHED, 0.0, cost, math.inf, number)
    return found


def places(costs: Costs) -> npt.NDArray[np.int64]:
    """The place of each of n points [n, objectives], smaller is better; equals share one."""
    if not len(costs):
        return np.zeros(0, np.int64)
    low, high = costs.min(axis=0), costs.max(axis=0)
    scaled = (costs - low) / np.where(high > low, high - low, 1.0)
    keys: list[tuple[int, float]] = [(0, 0.0)] * len(costs)
    left, front = np.arange(len(costs)), 0
    while len(left):
        best = first_front(scaled[left])
        members = left[best]
        for index, added in zip(members, contributions(scaled[members]), strict=True):
            keys[index] = (front, -round(added, 12))
        left, front = left[~best], front + 1
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys])


def first_front(costs: Costs) -> npt.NDArray[np.bool_]:
    """Which points [n, objectives] no other one dominates."""
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    return np.logical_not((no_worse & better).any(axis=0))


def contributions(costs: Costs) -> list[float]:
    """How much hypervolume each point [n, objectives] adds; 0 for points that occur twice."""
    found = []
    for index, point in enumerate(costs):
        others = np.maximum(np.delete(costs, index, axis=0), point)
        found.append(float(np.prod(_REFERENCE - point)) - hypervolume(others, _REFERENCE))
    return found


def hypervolume(costs: Costs, reference: float) -> float:
    """The volume that points [n, objectives] dominate, below the reference in each objective."""
    costs = costs[(costs < reference).all(axis=1)]
    if not len(costs):
        return 0.0
    if costs.shape[1] == 1:
        return float(reference - costs.min())
    costs = np.unique(costs[first_front(costs)], axis=0)  # by the first objective, ascending
    ends = np.append(costs[1:, 0], reference)
    if costs.shape[1] == 2:  # the second one falls
        return float(((ends - costs[:, 0]) * (reference - costs[:, 1])).sum())
    slabs = enumerate(ends - costs[:, 0], 1)
    return sum(float(width) * hypervolume(costs[:n, 1:], reference) for n, width in slabs if width)
