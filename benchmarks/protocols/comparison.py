"""What the cells of a comparison say: differences with intervals, tests, ranks, and optimism.

A *block* is a data set, a fraction and a run: there, all methods had the same images. Values are
in points (per cent) of the metric; a difference is paired over the blocks that both methods have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.protocols.experiments import Block, Cell
from benchmarks.protocols.table import Record
from optuna_layerwise.analysis.statistics import (
    Paired,
    Ranking,
    Summary,
    holm,
    paired,
    ranking,
    summary,
)

Resource = Literal["trials", "images", "seconds"]
REFERENCE = "full"


@dataclasses.dataclass(frozen=True)
class Standing:
    """One method over all its blocks.

    Args:
        arm: Its name.
        test: Of its retrained choice.
        difference: Against the reference on the test split; ``None`` of the reference itself.
        p: Of that by the signed-rank test, adjusted for all methods (Holm).
        rank: Mean rank by test result over the blocks that all methods have; 1 is best.
        optimism: Best validation result of its search minus its test result.
        gap: Validation minus test of the retrained choice: what the split alone makes, and the
            choice of the best epoch.
        trials: Mean number.
        work: Mean operations of its search, as a share of the reference's.
        seconds: Mean time of its search, as a share of the reference's.
    """

    arm: str
    test: Summary
    difference: Paired | None
    p: float | None
    rank: float | None
    optimism: Summary
    gap: Summary
    trials: float
    work: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All methods, the best first.

    Args:
        standings: One a method.
        ranking: Over the blocks that all of them have, in the order of the standings; ``None``
            for fewer than three methods or two blocks.
    """

    standings: tuple[Standing, ...]
    ranking: Ranking | None


def compare(found: Mapping[Cell, Record], *, reference: str = REFERENCE) -> Comparison:
    """Compare the methods on the test split, each after its whole budget.

    Raises:
        ValueError: if the reference has no result, or a method none beside one of it.
    """
    cells = by_arm(found)
    if reference not in cells:
        raise ValueError(f"no result of {reference!r}, with which the others are compared")
    tests = {arm: {b: _test(r) for b, r in own.items()} for arm, own in cells.items()}
    pairs: dict[str, Paired] = {}
    for arm in cells:
        common = sorted(set(tests[arm]) & set(tests[reference]))
        if arm != reference and common:
            pairs[arm] = paired(*([tests[a][b] for b in common] for a in (arm, reference)))
    adjusted = dict(zip(pairs, holm([pair.p for pair in pairs.values()]), strict=True))
    ranked = rank(tests)
    ranks = dict(zip(tests, ranked.mean_ranks, strict=True)) if ranked else {}
    standings = [
        Standing(
            arm=arm,
            test=summary(list(tests[arm].values())),
            difference=pairs.get(arm),
            p=adjusted.get(arm),
            rank=ranks.get(arm),
            optimism=summary([_searched(r) - _test(r) for r in own.values()]),
            gap=summary([_retrained(r) - _test(r) for r in own.values()]),
            trials=float(np.mean([r["search"]["trials"] for r in own.values()])),
            work=_relative(own, cells[reference], "flops"),
            seconds=_relative(own, cells[reference], "seconds"),
        )
        for arm, own in cells.items()
    ]
    order = sorted(standings, key=lambda s: (s.rank or 0.0, -s.test.mean))
    if ranked:
        mean_ranks = tuple(s.rank for s in order if s.rank is not None)
        ranked = dataclasses.replace(ranked, mean_ranks=mean_ranks)
    return Comparison(tuple(order), ranked)


def after(
    found: Mapping[Cell, Record],
    resource: Resource,
    budgets: Sequence[float],
    *,
    reference: str = REFERENCE,
) -> dict[str, list[Paired]]:
    """Method to its best validation result so far against the reference's, at equal budgets.

    The test split is opened once, for what is chosen in the end; on the way there is only the
    validation split, whose best result favours who has tried more.

    Args:
        found: The cells.
        resource: In which the budgets are given.
        budgets: Numbers of trials; of images and seconds, shares of all that the reference used
            in the same block. Who has spent its own work before keeps its best result.
        reference: The method that the others are compared with.
    """
    cells = by_arm(found)
    own = cells.pop(reference)
    result = {}
    for arm, others in cells.items():
        common = sorted(set(others) & set(own))
        if not common:
            continue
        at = [_limits(own[block], resource, budgets) for block in common]
        result[arm] = [
            paired(
                [incumbent(others[b], resource, at[i][k]) for i, b in enumerate(common)],
                [incumbent(own[b], resource, at[i][k]) for i, b in enumerate(common)],
            )
            for k in range(len(budgets))
        ]
    return result


def incumbent(record: Record, resource: Resource, limit: float) -> float:
    """Best validation result of the trials that were finished within a budget, in points.

    Of none, that of the first trial: nobody has less than that. What was pruned cannot be chosen,
    so that its last validation result does not count.
    """
    trials = record["trials"]
    values = [
        0.0 if value is None or state == "pruned" else 100 * value
        for value, state in zip(trials["value"], trials["state"], strict=True)
    ]
    used = np.cumsum(np.ones(len(values)) if resource == "trials" else trials[resource])
    within = [v for v, u in zip(values, used, strict=True) if u <= limit * (1 + 1e-9)]
    return max(within, default=values[0])


def rank(tests: Mapping[str, Mapping[Block, float]]) -> Ranking | None:
    """Friedman's and Nemenyi's tests over the blocks that all methods have."""
    common = sorted(set.intersection(*(set(own) for own in tests.values())))
    if len(tests) < 3 or len(common) < 2:
        return None
    return ranking([[own[block] for own in tests.values()] for block in common])


def by_arm(found: Mapping[Cell, Record]) -> dict[str, dict[Block, Record]]:
    """Method to block to what came out."""
    cells: dict[str, dict[Block, Record]] = {}
    for cell, record in found.items():
        cells.setdefault(cell.arm, {})[cell.block] = record
    return cells


def _limits(record: Record, resource: Resource, budgets: Sequence[float]) -> list[float]:
    whole = 1.0 if resource == "trials" else float(sum(record["trials"][resource]))
    return [whole * budget for budget in budgets]


def _points(seeds: Sequence[Mapping[str, Any]], metric: str) -> float:
    return 100 * float(np.mean([seed[metric] or 0.0 for seed in seeds]))


def _test(record: Record) -> float:
    return _points(record["chosen"]["test"], record["metric"])


def _retrained(record: Record) -> float:
    return _points(record["chosen"]["val"], record["metric"])


def _searched(record: Record) -> float:
    return incumbent(record, "trials", len(record["trials"]["value"]))


def _relative(own: Mapping[Block, Record], reference: Mapping[Block, Record], what: str) -> float:
    common = set(own) & set(reference)
    shares = [own[b]["search"][what] / reference[b]["search"][what] for b in common]
    return float(np.mean(shares)) if shares else float("nan")
