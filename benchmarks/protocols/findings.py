"""The comparison as tables: standings, equal budgets on the way, optimism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.protocols.arms import Arm
from benchmarks.protocols.comparison import Comparison, Resource, after, compare
from benchmarks.protocols.experiments import Cell
from benchmarks.protocols.table import Record
from optuna_layerwise.analysis.statistics import FEW, Paired, Summary
from optuna_layerwise.reporting.report_grid import Grid, probability, signed_number

CAUTION = (
    "Runs of a set share its images, so that blocks are not independent and intervals somewhat "
    f"too narrow, the more so for few: with fewer than {FEW} no signed-rank test can reach 5 %."
)
BUDGETS: dict[Resource, tuple[float, ...]] = {
    "trials": (5, 10, 20),
    "images": (0.25, 0.5, 1.0),
    "seconds": (0.25, 0.5, 1.0),
}


def standings_grid(comparison: Comparison, arms: Mapping[str, Arm]) -> Grid:
    """Everything about the end of the searches."""
    header = (
        *("method", "mean rank", "test, %", "difference to full fine-tuning", "p (Holm)"),
        *("effect", "wins/ties/losses", "trials", "work", "time"),
    )
    rows = []
    for s in comparison.standings:
        d = s.difference
        rows.append(
            [
                arms[s.arm].title,
                "–" if s.rank is None else f"{s.rank:.2f}",
                f"{s.test.mean:.1f}",
                "" if d is None else difference(d),
                "" if s.p is None else probability(s.p),
                "" if d is None else f"{d.effect:+.2f}",
                "" if d is None else f"{d.wins}/{d.ties}/{d.losses}",
                f"{s.trials:.0f}",
                f"{s.work:.2f}",
                f"{s.seconds:.2f}",
            ]
        )
    return Grid("", header, rows, _of_the_ranks(comparison))


def _of_the_ranks(comparison: Comparison) -> str:
    ranked = comparison.ranking
    if ranked is None:
        return "Too few methods or blocks for a test of the ranks."
    return (
        f"Ranks over {ranked.n} blocks (set, fraction, run) that all methods have; Friedman's "
        f"p = {probability(ranked.p)}; mean ranks that differ by less than "
        f"{ranked.critical_difference:.2f} are not told apart (Nemenyi, 5 %). Differences in "
        "points with 95 % bootstrap intervals; p of the signed-rank test; the effect is the "
        "rank-biserial correlation, from -1 to 1. Work (operations) and time of the search are "
        f"shares of those of full fine-tuning. {CAUTION}"
    )


def budget_grids(found: Mapping[Cell, Record], arms: Mapping[str, Arm]) -> Iterator[Grid]:
    """Best validation result so far against that of full fine-tuning, at equal budgets."""
    for resource, budgets in BUDGETS.items():
        rows = [
            [arms[arm].title, *map(difference, at)]
            for arm, at in after(found, resource, budgets).items()
        ]
        named = [
            f"{b:g} trials" if resource == "trials" else f"{b:.0%} of the {resource}"
            for b in budgets
        ]
        yield Grid(f"equal {resource}", ["method", *named], rows)


def optimism_grid(comparison: Comparison, arms: Mapping[str, Arm]) -> Grid:
    """By how much searches fit their validation images."""
    rows = [
        [arms[s.arm].title, f"{s.trials:.0f}", _interval(s.optimism), _interval(s.gap)]
        for s in sorted(comparison.standings, key=lambda s: -s.optimism.mean)
    ]
    header = (
        *("method", "trials", "best validation of the search - test"),
        "validation - test of the retrained choice",
    )
    return Grid("", header, rows)


def comparison_grids(found: Mapping[Cell, Record], arms: Mapping[str, Arm]) -> Iterator[Grid]:
    """All of them."""
    comparison = compare(found)
    yield standings_grid(comparison, arms)
    yield from budget_grids(found, arms)
    yield optimism_grid(comparison, arms)


def difference(pair: Paired) -> str:
    """Mean and interval, in points."""
    return _interval(pair.difference)


def _interval(summary: Summary) -> str:
    shown = signed_number(summary.mean, 1)
    if summary.interval is None:
        return shown
    low, high = (signed_number(bound, 1) for bound in summary.interval)
    return f"{shown} ({low} to {high})"
