"""What searches of a LayerBench say about the contestants: regret, test result and ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optuna_layerwise.analysis.statistics import Ranking, Summary, ranking, summary


@dataclasses.dataclass(frozen=True)
class Standing:
    """One contestant after so many evaluations, or so much work.

    Args:
        contestant: Its name.
        regret: Set to points of expected validation metric that the incumbent is below the best
            policy of the bench, over seeds.
        test: Set to the expected test metric of the incumbent in points, over seeds.
        luck: Points by which the incumbent's validation result exceeds what its policy is
            expected to give on that split, over sets and seeds: what the search fooled itself by.
        rank: Mean rank by regret over sets and seeds; 1 is best.
    """

    contestant: str
    regret: Mapping[str, Summary]
    test: Mapping[str, Summary]
    luck: Summary
    rank: float


def standings(
    cells: Sequence[Mapping[str, Any]],
    best: Mapping[str, float],
    *,
    trials: int | None = None,
    work: float | None = None,
) -> tuple[list[Standing], Ranking | None]:
    """Every contestant, best first, on the sets and seeds that all of them have.

    Args:
        cells: Of `contest.search`, with a ``contestant`` each.
        best: Set to the expected validation metric of its best policy.
        trials: Judge after so many evaluations.
        work: Or after so many trainings of every block.

    Returns:
        The contestants, and from three of them on what their ranks say.

    Raises:
        ValueError: if there is no set and seed that all contestants have.
    """
    found: dict[str, dict[tuple[str, int], Sequence[float]]] = {}
    for cell in cells:
        own = found.setdefault(cell["contestant"], {})
        at = _at(cell, trials, work)
        if at is not None:
            own[cell["set"], cell["seed"]] = at
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    if not common:
        asked = f"{trials} evaluations" if trials is not None else f"{work} trainings"
        raise ValueError(f"the contestants have no search of {asked} in common; run more cells")
    names = list(found)
    judged = np.array([[found[name][key] for key in common] for name in names])
    seen, val, test = np.moveaxis(100 * judged, -1, 0)
    regret = 100 * np.array([best[name] for name, _ in common]) - val
    where = {name: np.array([s == name for s, _ in common]) for name, _ in common}
    ranked = ranking(-regret.T.round(9)) if len(names) > 2 and len(common) > 1 else None
    ranks = ranked.mean_ranks if ranked else tuple(map(float, np.argsort(regret.mean(axis=1)) + 1))
    rows = [
        Standing(
            name,
            {s: summary(regret[i, here]) for s, here in where.items()},
            {s: summary(test[i, here]) for s, here in where.items()},
            summary(seen[i] - val[i]),
            ranks[i],
        )
        for i, name in enumerate(names)
    ]
    return sorted(rows, key=lambda row: row.rank), ranked


def rows(table: Sequence[Standing], *, intervals: bool = True) -> list[list[str]]:
    """Of a table: a header, and a row for each contestant."""
    sets = list(table[0].regret)
    head = ["contestant", *(f"regret {s}" for s in sets), *(f"test {s}" for s in sets)]
    body = [
        [
            row.contestant,
            *(_shown(row.regret[s], 2, intervals) for s in sets),
            *(_shown(row.test[s], 1, intervals) for s in sets),
            f"{row.luck.mean:.2f}",
            f"{row.rank:.2f}",
        ]
        for row in table
    ]
    return [[*head, "luck", "mean rank"], *body]


def _shown(values: Summary, digits: int, intervals: bool) -> str:
    mean = f"{values.mean:.{digits}f}"
    if not intervals or values.interval is None:
        return mean
    low, high = values.interval
    return f"{mean} [{low:.{digits}f}, {high:.{digits}f}]"


def _at(cell: Mapping[str, Any], trials: int | None, work: float | None) -> Sequence[float] | None:
    key, where = ("by_trials", trials) if trials is not None else ("by_work", work)
    return next((judge[1:] for judge in cell[key] if judge[0] == where), None)
