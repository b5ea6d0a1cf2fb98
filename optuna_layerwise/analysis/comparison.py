"""Compare methods over seeds and data sets, at equal trials, images and seconds.

It lies here and not in `studies`, because it reads results, and only what shows them needs it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import optuna

from optuna_layerwise.analysis.curves import AXES, RULE, Curve, curve
from optuna_layerwise.analysis.history import Axis
from optuna_layerwise.analysis.limits import limits
from optuna_layerwise.analysis.replicates import Member, grouped, stored_settings
from optuna_layerwise.analysis.statistics import (
    Paired,
    Ranking,
    Summary,
    holm,
    paired,
    ranking,
    summary,
)
from optuna_layerwise.records.final import Final, stored_final

_HEADINGS: dict[Axis, str] = {
    "trials": "after {:,.0f} trials",
    "images": "after {:,.0f} training images",
    "seconds": "after {:,.3g} seconds",
}


@dataclasses.dataclass(frozen=True)
class Contest:
    """Two groups over the blocks that both have; positive differences favour the first.

    Args:
        first: Group.
        second: Group.
        result: Of the comparison.
        p_adjusted: Its p after Holm, for all pairs of groups of this outcome.
    """

    first: str
    second: str
    result: Paired
    p_adjusted: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """All groups by one number per study.

    Args:
        title: What the number is.
        heading: The same in a word or two.
        axis: ``trials``, ``images``, ``seconds``, ``test`` or ``gap``.
        budget: At which it was read; ``None`` of ``test`` and ``gap``.
        values: Group to block to number.
        summaries: Per group.
        contests: Pairs of groups with a block in common.
        ranking: Of three or more groups over the blocks that all have, if there are two; with
            ``ranked``, the groups in its order.
        ranked: Groups.
    """

    title: str
    heading: str
    axis: str
    budget: float | None
    values: dict[str, dict[str, float]]
    summaries: dict[str, Summary]
    contests: list[Contest]
    ranking: Ranking | None
    ranked: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Groups of studies, compared.

    Args:
        metric: Name of the value; ``value`` if the studies do not say.
        maximize: Their direction.
        members: Every study, its group and its block.
        outcomes: One per budget; the test result and the gap, where all studies have them.
        notes: What limits the comparison, in sentences.
        rule: How values after a budget are read.
    """

    metric: str
    maximize: bool
    members: list[Member]
    outcomes: list[Outcome]
    notes: list[str]
    rule: str = RULE

    @property
    def groups(self) -> list[str]:
        """The names, in the order in which they came."""
        return list(dict.fromkeys(member.group for member in self.members))

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)


def compare(
    studies: Sequence[optuna.Study],
    *,
    groups: Mapping[str, str] | None = None,
    budgets: Mapping[Axis, float] | None = None,
) -> Comparison:
    """Compare studies, grouped into methods and paired on blocks; see `grouped`.

    Args:
        studies: With the same direction and metric.
        groups: Name to a pattern of study names; by default, settings and names group them.
        budgets: Axis to what may be spent; an axis that is not given, or all by default, gets
            what the shortest study has spent.

    Raises:
        ValueError: if there is no study, one is given twice, or they cannot be compared.

    Examples:
        >>> studies = [optuna.create_study(study_name=f"{s}-0") for s in ("random", "tpe")]
        >>> for study in studies:
        ...     study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        >>> compare(studies).groups
        ['random', 'tpe']
    """
    names = [study.study_name for study in studies]
    if not names:
        raise ValueError("there is no study to compare")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"studies are given once, got {twice} more often")
    if unknown := sorted(set(budgets or ()) - set(get_args(Axis))):
        raise ValueError(f"budgets are of {list(AXES)}, got {unknown}")
    curves = {study.study_name: curve(study) for study in studies}
    if len({c.maximize for c in curves.values()}) > 1:
        raise ValueError("some of the studies maximize and some minimize: they cannot be compared")
    metric = _metric(studies)
    maximize = curves[names[0]].maximize
    members = grouped(studies, groups)
    outcomes = list(_at_budgets(members, curves, budgets or {}, metric))
    finals = {study.study_name: stored_final(study) for study in studies}
    outcomes += _tested(members, curves, {n: f for n, f in finals.items() if f}, metric)
    titles = {o.title: o.values for o in outcomes}
    notes = list(limits(members, curves, finals, titles, budgets or {}))
    return Comparison(metric, maximize, members, outcomes, notes)


def _metric(studies: Sequence[optuna.Study]) -> str:
    named = set()
    for study in studies:
        recipe = stored_settings(study).get("recipe")
        final = stored_final(study)
        if isinstance(recipe, dict) and "metric" in recipe:
            named.add(str(recipe["metric"]))
        elif final is not None:
            named.add(final.metric)
        elif study.metric_names:
            named.add(study.metric_names[0])
    if len(named) > 1:
        raise ValueError(f"the studies have different metrics, {sorted(named)}")
    return named.pop() if named else "value"


def _at_budgets(
    members: Sequence[Member],
    curves: Mapping[str, Curve],
    budgets: Mapping[Axis, float],
    metric: str,
) -> Iterable[Outcome]:
    valued = [c for c in curves.values() if any(value is not None for value in c.values)]
    for axis in AXES:
        if not all(axis in c.spent for c in curves.values()) or not valued:
            continue
        budget = budgets.get(axis) or min(c.total(axis) for c in valued)
        values = {
            member: value
            for member in members
            if (value := curves[member.study].best(axis, budget)) is not None
        }
        if values and budget > 0:
            heading = _HEADINGS[axis].format(budget)
            title = f"best validation {metric} {heading}"
            yield _outcome(title, heading, axis, budget, values, valued[0].maximize)


def _tested(
    members: Sequence[Member],
    curves: Mapping[str, Curve],
    finals: Mapping[str, Final],
    metric: str,
) -> Iterable[Outcome]:
    tests = {
        member: value
        for member in members
        if member.study in finals
        and (value := finals[member.study].chosen.mean(metric, split="test")) == value
    }
    if not tests:
        return
    maximize = next(iter(curves.values())).maximize
    yield _outcome(f"test {metric} of the chosen policy", "test", "test", None, tests, maximize)
    best = {member: curves[member.study].best("trials", math.inf) for member in tests}
    gaps = {
        member: (value - tests[member]) * (1 if maximize else -1)
        for member, value in best.items()
        if value is not None
    }
    if gaps:
        title = f"by how much the search's best validation {metric} was better than the test"
        yield _outcome(title, "gap to test", "gap", None, gaps, maximize, contests=False)


def _outcome(
    title: str,
    heading: str,
    axis: str,
    budget: float | None,
    values: Mapping[Member, float],
    maximize: bool,
    *,
    contests: bool = True,
) -> Outcome:
    table: dict[str, dict[str, float]] = {}
    for member, value in values.items():
        table.setdefault(member.group, {})[member.block] = value
    sign = 1 if maximize else -1
    found = list(_contests(table, sign)) if contests else []
    adjusted = holm([result.p for _, _, result in found])
    common = set.intersection(*(set(blocks) for blocks in table.values()))
    blocks = [block for block in next(iter(table.values())) if block in common]
    ranks = contests and len(table) > 2 and len(blocks) > 1
    scores = [[sign * table[group][block] for group in table] for block in blocks]
    return Outcome(
        title=title,
        heading=heading,
        axis=axis,
        budget=budget,
        values=table,
        summaries={group: summary(list(blocks.values())) for group, blocks in table.items()},
        contests=[Contest(*c, p_adjusted=p) for c, p in zip(found, adjusted, strict=True)],
        ranking=ranking(scores) if ranks else None,
        ranked=tuple(table) if ranks else (),
    )


def _contests(
    table: Mapping[str, Mapping[str, float]], sign: int
) -> Iterable[tuple[str, str, Paired]]:
    for first, second in itertools.combinations(table, 2):
        blocks = [block for block in table[first] if block in table[second]]
        if blocks:
            ours, theirs = ([sign * table[g][b] for b in blocks] for g in (first, second))
            yield first, second, paired(ours, theirs)
