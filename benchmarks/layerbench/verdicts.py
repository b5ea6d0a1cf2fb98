"""What the committed contests and budgets say: differences of pairs, ranks, lines for figures.

Everything is judged by what the chosen policy is *expected* to give, in points of accuracy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.layerbench.figure import Point
from benchmarks.layerbench.ranking import standings
from optuna_layerwise.analysis.statistics import Summary, paired, summary

Cells = Sequence[Mapping[str, Any]]
VAL, TEST = 2, 3
"""Places in ``[evaluations or work, seen, val, test]``."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A question that two contestants answer: what the first has more than the second."""

    question: str
    first: str
    second: str


def difference(
    cells: Cells, pair: Pair, *, key: str, at: float, column: int
) -> tuple[Summary, int, int]:
    """First minus second over the sets and seeds that both have, in points; wins and losses.

    Args:
        cells: Of contests.
        pair: Two of their contestants.
        key: ``by_trials`` or ``by_work``.
        at: So many evaluations, or so much work.
        column: `VAL` or `TEST`.
    """
    first, second = (_judged(cells, name, key, at, column) for name in (pair.first, pair.second))
    common = sorted(first.keys() & second.keys())
    found = paired([first[c] for c in common], [second[c] for c in common])
    return found.difference, found.wins, found.losses


def mean_ranks(cells: Cells, best: Mapping[str, float], at: int) -> tuple[dict[str, float], float]:
    """Contestant to mean rank by regret after so many evaluations, and Nemenyi's difference."""
    found, ranked = standings(cells, best, trials=at)
    assert ranked is not None
    return {row.contestant: row.rank for row in found}, ranked.critical_difference


def line(
    cells: Cells, name: str, data: str, *, key: str, column: int, best: float | None = None
) -> list[Point]:
    """A contestant's mean and 95 % interval on one set, wherever all of its searches got to."""
    own = [c for c in cells if c["contestant"] == name and c["set"] == data]
    points = []
    for at in [judge[0] for judge in own[0][key]]:
        values = [judge[column] for cell in own for judge in cell[key] if judge[0] == at]
        if len(values) == len(own):
            shown = 100 * np.array(values)
            points.append(_point(at, 100 * best - shown if best is not None else shown))
    return points


@dataclasses.dataclass(frozen=True)
class End:
    """How searches of `budget` are ended."""

    contestant: str
    repeats: int
    finalists: int


def ended(budgets: Cells, end: End, trainings: int) -> dict[tuple[str, int], tuple[float, ...]]:
    """Set and seed to all trainings, work, val and test (points) after so many of the search."""
    found = {}
    for cell in budgets:
        if (cell["contestant"], cell["repeats"]) == (end.contestant, end.repeats):
            for n, finalists, more, work, val, test in cell["after"]:
                if (n, finalists) == (trainings, end.finalists):
                    found[cell["set"], cell["seed"]] = (n + more, work, 100 * val, 100 * test)
    return found


def budget_line(budgets: Cells, end: End, data: str, trainings: Sequence[int]) -> list[Point]:
    """Test accuracy against all trainings, those of finalists included."""
    points = []
    for n in trainings:
        own = [value for (s, _), value in ended(budgets, end, n).items() if s == data]
        points.append(_point(float(np.mean([v[0] for v in own])), [v[3] for v in own]))
    return points


def _judged(
    cells: Cells, name: str, key: str, at: float, column: int
) -> dict[tuple[str, int], float]:
    return {
        (cell["set"], cell["seed"]): 100 * judge[column]
        for cell in cells
        if cell["contestant"] == name
        for judge in cell[key]
        if judge[0] == at
    }


def _point(at: float, values: Any) -> Point:
    found = summary(values)
    low, high = found.interval or (found.mean, found.mean)
    return at, found.mean, low, high
