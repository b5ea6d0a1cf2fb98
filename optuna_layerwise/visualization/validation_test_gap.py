"""What validation promised and what the test gave, for the results of finished studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History, number
from optuna_layerwise.visualization.look import (
    GREY,
    SERIES,
    empty_figure,
    labels,
    new_figure,
    short,
    shown,
)

TITLE = "From validation to test"
MAX_ROWS = 40


@dataclasses.dataclass(frozen=True)
class _Result:
    name: str
    best_trial: float | None
    val: list[float]
    test: list[float]


def validation_test_gap(histories: Sequence[History]) -> go.Figure:
    """One line a method: mean over its trainings on validation and on test data.

    For what was found also the value of the best trial, which the search has chosen and which
    therefore promises too much.
    """
    results = _all_results(histories)
    if not results:
        return empty_figure(TITLE, "No study has a test result yet: it is finalized at its end.")
    dropped = len(results) - MAX_ROWS
    results = results[:MAX_ROWS]
    names = labels([result.name for result in results])
    figure = new_figure(
        TITLE,
        "Mean over the trainings; the bar is one standard deviation of the test.",
        f"{dropped} more results are not shown." if dropped > 0 else "",
        height=200 + 34 * len(results),
    )
    for name, result in zip(names, results, strict=True):
        figure.add_scatter(
            x=[short(float(np.mean(result.val))), short(float(np.mean(result.test)))],
            y=[name, name],
            mode="lines",
            line={"color": GREY, "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
    searched = [(n, r.best_trial) for n, r in zip(names, results, strict=True) if r.best_trial]
    if searched:
        figure.add_scatter(
            x=[short(value or 0.0) for _, value in searched],
            y=[name for name, _ in searched],
            mode="markers",
            marker={"symbol": "star-open", "size": 10, "color": SERIES[2]},
            name="best trial of the search",
            hovertemplate="%{y}: %{x}<extra>best trial</extra>",
        )
    figure.add_scatter(
        x=[short(float(np.mean(result.val))) for result in results],
        y=names,
        mode="markers",
        marker={"symbol": "circle-open", "size": 10, "color": SERIES[0], "line": {"width": 2}},
        name="validation",
        hovertemplate="%{y}: %{x}<extra>validation</extra>",
    )
    figure.add_scatter(
        x=[short(float(np.mean(result.test))) for result in results],
        y=names,
        error_x={
            "type": "data",
            "array": [
                short(float(np.std(r.test, ddof=1))) if len(r.test) > 1 else 0.0 for r in results
            ],
        },
        mode="markers",
        marker={"symbol": "diamond", "size": 10, "color": SERIES[1]},
        name="test",
        hovertemplate="%{y}: %{x}<extra>test</extra>",
    )
    metrics = dict.fromkeys(history.metric for history in histories)
    figure.update_layout(
        xaxis={"title": {"text": shown(", ".join(metrics))}},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
    )
    return figure


def _results(history: History) -> Iterator[_Result]:
    """Of what was found and of the baselines; what is not as `finalize` writes it is left out."""
    if (final := history.final) is None:
        return
    best = history.best_first
    for i, found in enumerate([final.chosen, *final.baselines]):
        val, test = (_values(seeds, final.metric) for seeds in (found.val, found.test))
        if val and test:
            name = f"found ({found.name})" if i == 0 else found.name
            yield _Result(name, best[0].value if best and i == 0 else None, val, test)


def _all_results(histories: Sequence[History]) -> list[_Result]:
    """Named by their studies where there are several; baselines that all share come once."""
    found = [(history.name, list(_results(history))) for history in histories]
    found = [(name, results) for name, results in found if results]
    if len(found) == 1:
        return found[0][1]
    shared = [r for r in (found[0][1] if found else []) if all(r in other for _, other in found)]
    own = [
        dataclasses.replace(result, name=f"{name}: {result.name}")
        for name, results in found
        for result in results
        if result not in shared
    ]
    return own + shared


def _values(seeds: Sequence[Mapping[str, float | None]], metric: str) -> list[float]:
    found = [number(seed.get(metric)) for seed in seeds]
    return [value for value in found if value is not None]
