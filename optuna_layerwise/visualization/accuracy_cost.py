"""Accuracy against the trained share and the cost of a trial, with the front of both."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.visualization.look import (
    GREY,
    SERIES,
    empty_figure,
    focus,
    new_figure,
    short,
    shown,
    thinned,
)

TITLE = "Value against what it costs"
MAX_POINTS = 1_500


def accuracy_cost(history: History) -> go.Figure:
    """Two panels, trained share and operations (or seconds); the line joins the best buys.

    A trial is on the front if no trial costs as little and has a better value. Trials whose
    training an earlier one had done cost nothing and are left out of the second panel.
    """
    rows = [row for row in history.rows if row.counts]
    if not rows:
        return empty_figure(TITLE, "No trial has completed with a value.")
    by_share = [(row.trained_share, row) for row in rows if row.trained_share is not None]
    in_operations = any(row.flops for row in rows)
    costs = [(row.flops if in_operations else row.seconds, row) for row in rows]
    by_cost = [(cost, row) for cost, row in costs if cost]
    panels = [
        (points, name)
        for points, name in (
            (by_share, "trained share"),
            (by_cost, "operations" if in_operations else "seconds"),
        )
        if points
    ]
    if not panels:
        return empty_figure(TITLE, "The trials of this study do not say what they cost.")
    figure = make_subplots(cols=len(panels), shared_yaxes=True, horizontal_spacing=0.06)
    free = sum(row.outcome == "repeated" for row in rows)
    span, outside = focus([row.value or 0.0 for row in rows], history.sign)
    base = new_figure(
        TITLE,
        f"{outside} trials lie outside of the range shown." if outside else "",
        f"{free} trials repeated an earlier training at no cost; not in the right panel."
        if free and len(panels) > 1
        else "",
    )
    figure.update_layout(base.layout)
    for i, (points, name) in enumerate(panels, start=1):
        _add_panel(figure, history, points, i)
        figure.update_xaxes(title_text=name, col=i)
    if by_share:
        figure.update_xaxes(tickformat=".0%", col=1)
    figure.update_yaxes(range=span)
    figure.update_yaxes(title_text=shown(history.metric), col=1)
    return figure


def _add_panel(
    figure: go.Figure, history: History, points: Sequence[tuple[float, Row]], column: int
) -> None:
    front = front_of(points, history.sign)
    on_front = {row.number for _, row in front}
    others = [(cost, row) for cost, row in points if row.number not in on_front]
    others = [others[i] for i in thinned(len(others), MAX_POINTS)]
    for name, chosen, look in (
        (
            "trial",
            others,
            {"mode": "markers", "marker": {"color": GREY, "size": 6, "opacity": 0.6}},
        ),
        (
            "front",
            front,
            {
                "mode": "lines+markers",
                "line": {"color": SERIES[1], "shape": "hv", "width": 2},
                "marker": {"symbol": "diamond", "size": 9},
            },
        ),
    ):
        figure.add_scatter(
            x=[short(cost) for cost, _ in chosen],
            y=[short(row.value or 0.0) for _, row in chosen],
            text=[f"trial {row.number}" for _, row in chosen],
            name=name,
            legendgroup=name,
            showlegend=column == 1,
            hovertemplate="%{text}: %{y} at %{x}<extra></extra>",
            row=1,
            col=column,
            **look,
        )


def front_of(points: Sequence[tuple[float, Row]], sign: int) -> list[tuple[float, Row]]:
    """The points that none beats at its cost or less, cheapest first."""
    front: list[tuple[float, Row]] = []
    for cost, row in sorted(points, key=lambda p: (p[0], -sign * (p[1].value or 0.0))):
        if not front or sign * ((row.value or 0.0) - (front[-1][1].value or 0.0)) > 0:
            front.append((cost, row))
    return front
