"""A comparison as tables of text."""

from __future__ import annotations

from optuna_layerwise.analysis.comparison import Comparison, Outcome
from optuna_layerwise.reporting.report_grid import (
    Grid,
    clean,
    interval,
    number,
    probability,
    signed_number,
)


def comparison_tables(comparison: Comparison) -> list[Grid]:
    """Groups by outcome; pairs of groups; ranks where there are three or more."""
    grids = [_groups(comparison)]
    contested = [outcome for outcome in comparison.outcomes if outcome.contests]
    if contested:
        grids.append(_pairs(contested))
    ranked = [outcome for outcome in comparison.outcomes if outcome.ranking]
    if ranked:
        grids.append(_ranks(ranked))
    return grids


def _groups(comparison: Comparison) -> Grid:
    outcomes = comparison.outcomes
    sizes = {g: sum(m.group == g for m in comparison.members) for g in comparison.groups}
    rows = []
    for group, size in sizes.items():
        cells = [clean(group), str(size)]
        for outcome in outcomes:
            found = outcome.summaries.get(group)
            missing = f" ({found.n} of {size})" if found and found.n < size else ""
            cells.append(
                f"{number(found.mean)} {interval(found.interval)}".strip() + missing
                if found
                else "-"
            )
        rows.append(cells)
    return Grid(
        title=f"Best validation {comparison.metric} of each method",
        header=["method", "studies", *(outcome.heading for outcome in outcomes)],
        rows=rows,
        note="Mean over studies and its 95 % BCa bootstrap interval; "
        f"{'higher' if comparison.maximize else 'lower'} values are better. Test: of the chosen "
        "policy; gap to test: by how much the search's best validation value was better.",
    )


def _pairs(outcomes: list[Outcome]) -> Grid:
    rows = []
    for outcome in outcomes:
        for contest in outcome.contests:
            found = contest.result
            mean, bounds = found.difference.mean, found.difference.interval
            rows.append(
                [
                    f"{clean(contest.first)} against {clean(contest.second)}, {_at(outcome)}",
                    str(found.difference.n),
                    f"{signed_number(mean)} {interval(bounds, signed=True)}".strip(),
                    f"{found.wins} / {found.ties} / {found.losses}",
                    f"{found.effect:+.2f}",
                    probability(found.p),
                    probability(contest.p_adjusted),
                ]
            )
    return Grid(
        title="Pairs",
        header=["which", "pairs", "first is better by", "won / tied / lost", "r", "p", "p (Holm)"],
        rows=rows,
        note="Pairs have the same data, split and seed. Mean difference with its 95 % BCa "
        "bootstrap interval; r: rank-biserial correlation, 1 if the first wins every pair; p: "
        "exact two-sided Wilcoxon signed-rank test; Holm adjusts it for all pairs of methods.",
    )


def _ranks(outcomes: list[Outcome]) -> Grid:
    rows = []
    for outcome in outcomes:
        if (found := outcome.ranking) is None:
            continue
        order = sorted(zip(found.mean_ranks, outcome.ranked, strict=True))
        rows.append(
            [
                _at(outcome),
                str(found.n),
                ", ".join(f"{clean(group)} {rank:.2f}" for rank, group in order),
                f"{found.statistic:.2f}",
                probability(found.p),
                f"{found.critical_difference:.2f}",
            ]
        )
    return Grid(
        title="Ranks",
        header=["outcome", "blocks", "mean ranks, best first", "chi-squared", "p", "CD"],
        rows=rows,
        note="Friedman's test; methods whose mean ranks differ by less than the Nemenyi critical "
        "difference CD are not told apart at 5 %.",
    )


def _at(outcome: Outcome) -> str:
    return {"trials": "equal trials", "images": "equal images", "seconds": "equal seconds"}.get(
        outcome.axis, outcome.axis
    )
