"""The report of several studies: who is better, how sure that is, and each study in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from optuna_layerwise.analysis.comparison import Comparison
from optuna_layerwise.analysis.curves import AXES
from optuna_layerwise.analysis.history import History
from optuna_layerwise.reporting.comparison_tables import comparison_tables
from optuna_layerwise.reporting.report_facts import Facts
from optuna_layerwise.reporting.report_grid import (
    Grid,
    clean,
    duration,
    mean_and_spread,
    number,
    plan_text,
)
from optuna_layerwise.reporting.report_page import Code, Page, Section
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.visualization import figures
from optuna_layerwise.visualization.critical_difference import critical_difference

_MOST_PLANS = 24
"""Studies whose plans fit side by side."""


def comparison_page(
    comparison: Comparison, facts: Sequence[Facts], commands: Mapping[str, str] | None = None
) -> Page:
    """The report.

    Args:
        comparison: Of the studies.
        facts: Of the same studies, in the same order.
        commands: Study to the command that repeats it.
    """
    groups = comparison.groups
    sections = [
        Section("Who is better", grids=comparison_tables(comparison), warnings=comparison.notes),
        Section("How they got there", [comparison.rule], figures=_curves(comparison, facts)),
        Section(
            "What they found",
            figures=_plans(comparison, facts),
            grids=[_studies(comparison, facts)],
        ),
        Section("Keep in mind", warnings=_warnings(facts)),
        Section(
            "To repeat it",
            code=[Code(clean(name), text, folded=True) for name, text in (commands or {}).items()],
        ),
    ]
    methods = "1 method" if len(groups) == 1 else f"{len(groups)} methods"
    subtitle = f"{len(facts)} studies of {methods}"
    title = " against ".join(clean(group) for group in groups[:4])
    more = f" and {len(groups) - 4} more" if len(groups) > 4 else ""
    return Page(title + more, subtitle, [s for s in sections if not s.empty])


def _histories(comparison: Comparison, facts: Sequence[Facts]) -> figures.Groups:
    found: dict[str, list[History]] = {group: [] for group in comparison.groups}
    for member, fact in zip(comparison.members, facts, strict=True):
        found[member.group].append(fact.history)
    return found


def _curves(comparison: Comparison, facts: Sequence[Facts]) -> list[go.Figure]:
    groups = _histories(comparison, facts)
    axes = [outcome.axis for outcome in comparison.outcomes]
    drawn = [figures.best_so_far(groups, over=axis) for axis in AXES if axis in axes]
    for outcome in comparison.outcomes:
        if outcome.ranking:
            drawn.append(
                critical_difference(
                    dict(zip(outcome.ranked, outcome.ranking.mean_ranks, strict=True)),
                    outcome.ranking.critical_difference,
                    blocks=outcome.ranking.n,
                    title=f"Ranks by {outcome.title}",
                )
            )
    return drawn


def _plans(comparison: Comparison, facts: Sequence[Facts]) -> list[go.Figure]:
    drawn = []
    if len(facts) <= _MOST_PLANS:
        drawn.append(figures.best_plans([fact.history for fact in facts]))
    drawn.append(figures.rate_distributions(_histories(comparison, facts)))
    if any(fact.final for fact in facts):
        drawn.append(figures.validation_test_gap([fact.history for fact in facts]))
    return drawn


def _studies(comparison: Comparison, facts: Sequence[Facts]) -> Grid:
    rows = []
    for member, fact in zip(comparison.members, facts, strict=True):
        final, best = fact.final, fact.best
        policy = final.chosen.policy if final else best.policy if best else None
        rows.append(
            [
                clean(member.study),
                clean(member.group),
                clean(member.block) or "-",
                str(len(fact.finished)),
                number(best.value) if best else "-",
                mean_and_spread(final.chosen, final.metric) if final else "-",
                duration(fact.seconds),
                plan_text(policy),
            ]
        )
    header = ["study", "method", "on", "trials", "best validation", "test", "time", "plan"]
    return Grid("Studies", header, rows, note="Plan: ❄ is frozen, ■ is trained, input first.")


def _warnings(facts: Sequence[Facts]) -> list[str]:
    """Those of each study; what is said of all is said once."""
    said: dict[str, list[str]] = {}
    for fact in facts:
        for text in warnings_of(fact):
            said.setdefault(text, []).append(clean(fact.history.name))
    return [
        text if len(names) == len(facts) else f"{', '.join(names)}: {text}"
        for text, names in said.items()
    ]
