"""What limits a comparison, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from optuna_layerwise.analysis.curves import AXES, Curve
from optuna_layerwise.analysis.history import Axis
from optuna_layerwise.analysis.replicates import Member
from optuna_layerwise.analysis.statistics import FEW, FEWEST_FOR_AN_INTERVAL
from optuna_layerwise.records.final import Final


def limits(
    members: Sequence[Member],
    curves: Mapping[str, Curve],
    finals: Mapping[str, Final | None],
    values: Mapping[str, Mapping[str, Mapping[str, float]]],
    budgets: Mapping[Axis, float],
) -> Iterator[str]:
    """One sentence or two for each limit.

    Args:
        members: Every study, its group and its block.
        curves: Study to its trials.
        finals: Study to its result.
        values: Title of an outcome to group to block to value.
        budgets: Axis to what was asked for.
    """
    yield from _too_few(members)
    yield from _unpaired(members)
    for axis in AXES:
        if without := [name for name, c in curves.items() if axis not in c.spent]:
            yield f"No comparison at equal {axis}: {_listed(without)} did not record them."
    for axis, budget in budgets.items():
        spent = {name: c.total(axis) for name, c in curves.items() if axis in c.spent}
        if less := [name for name, total in spent.items() if total < budget]:
            yield (
                f"Not all have spent {budget:,.6g} {axis}: {_listed(less)} ended before: "
                "their values are those at their end."
            )
    empty = [n for n, c in curves.items() if all(value is None for value in c.values)]
    if empty:
        yield f"No trial is complete in {_listed(empty)}."
    for title, of in values.items():
        missing = [
            member.study
            for member in members
            if member.block not in of.get(member.group, {}) and member.study not in empty
        ]
        if missing and title.startswith("best"):
            yield f"There is no {title} in {_listed(missing)}."
    untested = [name for name, final in finals.items() if final is None]
    if untested and len(untested) < len(finals):
        yield f"There is no test result of {_listed(untested)}."
    if again := [name for name, final in finals.items() if final and final.number > 1]:
        yield (
            f"The test split had been opened before the result of {_listed(again)}: it is no "
            "longer untouched, and its numbers tend to be too good."
        )


def _too_few(members: Sequence[Member]) -> Iterator[str]:
    sizes = [sum(m.group == group for m in members) for group in {m.group for m in members}]
    fewest = min(sizes)
    if fewest < FEWEST_FOR_AN_INTERVAL:
        yield (
            f"A group has {'1 study' if fewest == 1 else f'{fewest} studies'}: that says nothing "
            "of other seeds, so it has no interval. Run each method with more seeds (--seed), at "
            f"least {FEW}."
        )
    elif fewest < FEW:
        yield (
            f"A group has {fewest} studies: from so few, bootstrap intervals are too narrow, and "
            f"with fewer than {FEW} pairs no signed-rank test can reach 5 %."
        )


def _unpaired(members: Sequence[Member]) -> Iterator[str]:
    groups = {member.group for member in members}
    places = {(member.group, member.block) for member in members}
    alone = [m.study for m in members if not all((group, m.block) in places for group in groups)]
    if alone:
        yield (
            f"{len(alone)} of {len(members)} studies have no partner on the same data with the "
            f"same seed in some group, and are in no pair with it: {_listed(alone)}."
        )
    if len({member.data for member in members}) > 1:
        yield (
            "There are several data sets. A pair is one seed on one of them; seeds on the same "
            "data are no independent evidence about other data."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
