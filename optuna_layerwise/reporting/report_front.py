"""The section on several objectives: the front, and the cheapest of the nearly best."""

from __future__ import annotations

from optuna_layerwise.analysis.front import cheapest_within, front, objective_names
from optuna_layerwise.analysis.history import History
from optuna_layerwise.reporting.report_grid import Grid, clean, number, plan_text
from optuna_layerwise.reporting.report_page import Section


def front_section(history: History) -> Section:
    """Empty for a study with one objective."""
    rows = front(history) if history.n_objectives > 1 else []
    grid = Grid(
        "The front: no other trial is at least as good in everything, and better in something",
        ["trial", *map(clean, objective_names(history)), "plan"],
        [
            [str(row.number), *map(number, row.trial.values or ()), plan_text(row.policy or {})]
            for row in rows
        ],
        note="Plan: from the input to the head, ❄ is frozen, ■ is trained.",
    )
    return Section("Several objectives", front_words(history), grids=[grid] if rows else [])


def front_words(history: History) -> list[str]:
    """The cheapest policy within one point of the best, in a sentence; none for one objective."""
    row = cheapest_within(history) if history.n_objectives > 1 else None
    if row is None:
        return []
    named = zip(objective_names(history), row.trial.values or (), strict=False)
    said = ", ".join(f"{clean(name)} {number(value)}" for name, value in named)
    return [
        f"The cheapest trial within 0.01 of the best {clean(history.metric)} is {row.number}: "
        f"{said}."
    ]
