"""The best value so far over trials, images or seconds; several seeds as a line and a band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import plotly.graph_objects as go

from optuna_layerwise.analysis.history import Axis, History, Row
from optuna_layerwise.visualization.bands import Array, Groups, band, band_name
from optuna_layerwise.visualization.look import (
    DASHES,
    GREY,
    SERIES,
    empty_figure,
    focus,
    labels,
    new_figure,
    short,
    thinned,
    translucent,
)

TITLE = "Best value so far"
_NAMES: dict[Axis, str] = {
    "trials": "finished trials",
    "images": "training images seen",
    "seconds": "seconds of training",
}
MAX_POINTS = 1_500
"""Trials that are drawn as points."""
_GRID = 400


def best_so_far(
    groups: Groups, *, over: Axis = "trials", max_points: int = MAX_POINTS
) -> go.Figure:
    """A step line a group; of a single study also its trials, and those without a value.

    Costs are added up in the order in which trials ended, so that of several workers it is the
    work that counts, not how many did it. A band ends where its first study ends.

    Args:
        groups: Name to studies.
        over: What is along the axis.
        max_points: Trials of each kind that are drawn as points; more are thinned out.

    Raises:
        ValueError: if ``over`` is none of ``trials``, ``images``, ``seconds``.
    """
    if over not in _NAMES:
        raise ValueError(f"over must be one of {list(get_args(Axis))}, got {over!r}")
    histories = [history for group in groups.values() for history in group]
    curves = {
        name: [curve for history in group if len((curve := steps(history, over))[0])]
        for name, group in groups.items()
    }
    curves = {name: found for name, found in curves.items() if found}
    if not curves:
        return empty_figure(TITLE, _reason(histories, over))
    single = histories[0] if len(histories) == 1 else None
    if single:
        values = [row.value for row in single.rows if row.value is not None]
    else:
        values = [float(v) for found in curves.values() for _, y in found for v in y]
    kind = "trials" if single else "steps"
    span, outside = focus(values, histories[0].sign)
    figure = new_figure(
        TITLE,
        band_name(groups),
        _left_out(histories, over),
        f"{outside} {kind} lie outside of the range shown." if outside else "",
    )
    if single:
        _add_trials(figure, single, over, span, max_points)
    for i, (label, found) in enumerate(zip(labels(list(curves)), curves.values(), strict=True)):
        colour, dash = SERIES[i % len(SERIES)], DASHES[i % len(DASHES)]
        x, low, middle, high = _together(found)
        line = {"color": colour, "width": 2.5, "shape": "hv", "dash": dash}
        if len(found) > 1:
            figure.add_scatter(
                x=[*_stairs(x)[1:], *_stairs(x)[:0:-1]],
                y=[*_stairs(low)[:-1], *_stairs(high)[-2::-1]],
                fill="toself",
                fillcolor=translucent(colour, 0.2),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=label,
            )
        figure.add_scatter(
            x=x,
            y=middle,
            line=line,
            mode="lines",
            name="best so far" if single else label,
            legendgroup=label,
            hovertemplate=f"%{{x}} {_NAMES[over]}: %{{y}}<extra>{label}</extra>",
        )
    metrics = dict.fromkeys(history.metric for history in histories)
    figure.update_layout(
        xaxis={"title": {"text": _NAMES[over]}, "rangemode": "tozero"},
        yaxis={"title": {"text": ", ".join(labels(list(metrics)))}, "range": span},
    )
    return figure


def steps(history: History, over: Axis) -> tuple[Array, Array]:
    """Where the best value changed, and to what; the last step is the end of the study."""
    rows = history.as_finished
    total = np.cumsum([_cost(row, over) or 0.0 for row in rows])
    x: list[float] = []
    best: list[float] = []
    if over != "trials" and not any(_cost(row, over) for row in rows):
        return np.array(x), np.array(best)
    for spent, row in zip(total, rows, strict=True):
        value = row.value
        if value is None or not row.feasible:
            continue
        if not best or history.sign * (value - best[-1]) > 0:
            x.append(float(spent))
            best.append(value)
    if best and x[-1] < total[-1]:
        x.append(float(total[-1]))
        best.append(best[-1])
    return np.array(x), np.array(best)


def _cost(row: Row, over: Axis) -> float | None:
    if over == "trials":
        return 1.0
    return row.images if over == "images" else row.seconds


def _together(curves: Sequence[tuple[Array, Array]]) -> tuple[list[float], ...]:
    """A curve as it is; of several the band, on a common grid up to where the first ends."""
    if len(curves) == 1:
        x, y = curves[0]
        values = [short(v) for v in y]
        return [short(v) for v in x], values, values, values
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    end = max(start, end)
    grid = np.unique(np.concatenate([x[(x >= start) & (x <= end)] for x, _ in curves]))
    grid = grid[thinned(len(grid), _GRID)] if len(grid) else np.array([start])
    all_values = np.array([y[np.searchsorted(x, grid, side="right") - 1] for x, y in curves])
    return tuple([short(v) for v in part] for part in (grid, *band(all_values)))


def _stairs(values: Sequence[float]) -> list[float]:
    """Each value twice; shifted by one, x and y are the corners of a step line."""
    return [value for value in values for _ in range(2)]


def _add_trials(
    figure: go.Figure,
    history: History,
    over: Axis,
    span: Sequence[float] | None,
    max_points: int,
) -> None:
    """The trials themselves: with a value, infeasible, and without one along the worse edge."""
    rows = history.as_finished
    total = np.cumsum([_cost(row, over) or 0.0 for row in rows])
    points = list(zip(total, rows, strict=True))
    values = [row.value for row in rows if row.value is not None]
    if not values:
        return
    edge = min(values) if history.sign > 0 else max(values)
    if span:
        edge = span[0] if history.sign > 0 else span[1]
    kinds = (
        ("trial", "circle", GREY, [p for p in points if p[1].counts]),
        (
            "infeasible",
            "triangle-up-open",
            SERIES[3],
            [p for p in points if p[1].value is not None and not p[1].feasible],
        ),
        ("pruned", "line-ns-open", GREY, [p for p in points if p[1].outcome == "pruned"]),
        (
            "diverged or failed",
            "x",
            SERIES[1],
            [p for p in points if p[1].value is None and p[1].outcome != "pruned"],
        ),
    )
    for name, symbol, colour, chosen in kinds:
        chosen = [chosen[i] for i in thinned(len(chosen), max_points)]
        if chosen:
            figure.add_scatter(
                x=[short(float(spent)) for spent, _ in chosen],
                y=[short(edge if row.value is None else row.value) for _, row in chosen],
                text=[f"trial {row.number}: {row.outcome}" for _, row in chosen],
                mode="markers",
                marker={
                    "symbol": symbol,
                    "color": colour,
                    "size": 6 if symbol == "circle" else 9,
                    "opacity": 0.7 if symbol == "circle" else 1,
                    "line": {"width": 0 if symbol == "circle" else 1.5},
                },
                name=name,
                hovertemplate="%{text}, %{y}<extra></extra>",
            )


def _left_out(histories: Sequence[History], over: Axis) -> str:
    missing = sum(
        1
        for history in histories
        for row in history.rows
        if row.finished and _cost(row, over) is None
    )
    return f"{missing} trials do not say what they cost; they count as nothing." if missing else ""


def _reason(histories: Sequence[History], over: Axis) -> str:
    rows = [row for history in histories for row in history.rows]
    if not any(row.finished for row in rows):
        return "No trial has finished yet."
    if not any(row.counts for row in rows):
        return "No trial has completed with a value and within its constraints."
    return f"The trials of this study do not say what they cost in {over}."
