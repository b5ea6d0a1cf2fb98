"""The trials of a study with several objectives that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence

from optuna_layerwise.analysis.history import History, Row


def front(history: History) -> list[Row]:
    """The trials that none dominates, by their first value, the best first.

    None is at least as good in all objectives and better in one.
    """
    numbers = {trial.number for trial in history.study.best_trials}
    return [row for row in history.best_first if row.number in numbers]


def cheapest_within(history: History, points: float = 0.01) -> Row | None:
    """The trial with the best second value among those whose first value is nearly the best.

    Args:
        history: Of a study with several objectives.
        points: How far the first value may be from the best.

    Returns:
        ``None`` if no trial can be the best.
    """
    rows = history.best_first
    near = [row for row in rows if abs(_values(row)[0] - _values(rows[0])[0]) <= points + 1e-12]
    signs = [-1 if each.name == "MAXIMIZE" else 1 for each in history.study.directions]
    return min(near, key=lambda row: signs[1] * _values(row)[1], default=None)


def objective_names(history: History) -> list[str]:
    """What the objectives are called."""
    names = history.study.metric_names
    others = (f"objective {place}" for place in range(2, history.n_objectives + 1))
    return list(names or (history.metric, *others))


def _values(row: Row) -> Sequence[float]:
    return row.trial.values or ()
