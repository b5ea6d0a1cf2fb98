"""What searches of a LayerBench say about the contestants: regret, test result and ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from optuna_layerwise.layerbench.table import Array

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Standing:
    """One contestant after so many evaluations, or so much work.

    Args:
        contestant: Its name.
        regret: Set to points of expected validation metric that the incumbent is below the best
            policy of the bench: mean over seeds, lower and upper 95 % bound.
        test: Set to the expected test metric of the incumbent, the same.
        gap: Points by which the incumbent's validation result exceeds what its policy is expected
            to give on that split: the search's own luck, the same over all sets.
        rank: Among the contestants by regret, in each set and seed; 1 is best; the same.
        n: Searches.
    """

    contestant: str
    regret: Mapping[str, Array]
    test: Mapping[str, Array]
    gap: Array
    rank: Array
    n: int


def standings(
    cells: Sequence[Mapping[str, Any]],
    best: Mapping[str, float],
    *,
    trials: int | None = None,
    work: float | None = None,
) -> list[Standing]:
    """Every contestant, best first, on the sets and seeds that all of them have.

    Args:
        cells: Of `contest.search`, with a ``contestant`` each.
        best: Set to the expected validation metric of its best policy.
        trials: Judge after so many evaluations.
        work: Or after so many trainings of every block.

    Raises:
        ValueError: if there is no set and seed that all contestants have.
    """
    found: dict[str, dict[tuple[str, int], Sequence[float]]] = {}
    for cell in cells:
        at = _at(cell, trials, work)
        if at is not None:
            found.setdefault(cell["contestant"], {})[cell["set"], cell["seed"]] = at
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    if not common:
        raise ValueError(
            "the contestants have no search in common after "
            f"{trials or work} {'evaluations' if trials else 'trainings'}: run more cells"
        )
    names = list(found)
    judged = np.array([[found[name][key] for key in common] for name in names])
    seen, val, test = np.moveaxis(judged, -1, 0)
    top = np.array([best[name] for name, _ in common])
    regret = 100 * (top - val)
    ranks = rankdata(regret.round(9), axis=0)
    sets = np.array([name for name, _ in common])
    rows = [
        Standing(
            name,
            {s: interval(regret[i, sets == s]) for s in dict.fromkeys(sets)},
            {s: interval(100 * test[i, sets == s]) for s in dict.fromkeys(sets)},
            interval(100 * (seen[i] - val[i])),
            interval(ranks[i]),
            len(common),
        )
        for i, name in enumerate(names)
    ]
    return sorted(rows, key=lambda row: float(row.rank[0]))


def interval(values: Array) -> Array:
    """Mean, and its 95 % percentile bootstrap bounds."""
    rng = np.random.Generator(np.random.Philox(0))
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    return np.array([values.mean(), *np.percentile(drawn, [2.5, 97.5])])


def rows(table: Iterable[Standing]) -> list[list[str]]:
    """Of a table: a header and a row for each contestant."""
    table = list(table)
    sets = list(table[0].regret)
    head = ["contestant", *(f"regret on {s}" for s in sets), *(f"test on {s}" for s in sets)]
    body = [
        [
            row.contestant,
            *(shown(row.regret[s]) for s in sets),
            *(shown(row.test[s], digits=1) for s in sets),
            shown(row.gap),
            shown(row.rank),
        ]
        for row in table
    ]
    return [[*head, "luck", f"mean rank of {len(table)}"], *body]


def shown(values: Array, digits: int = 2) -> str:
    """A mean with its bounds."""
    mean, low, high = values
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _at(cell: Mapping[str, Any], trials: int | None, work: float | None) -> Sequence[float] | None:
    key, where = ("by_trials", trials) if trials is not None else ("by_work", work)
    return next((judge[1:] for judge in cell[key] if judge[0] == where), None)
