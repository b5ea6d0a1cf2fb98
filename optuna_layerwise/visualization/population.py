"""The population generation by generation: its values, and the blocks that it trains."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.visualization.look import (
    GREY,
    SERIES,
    empty_figure,
    focus,
    labels,
    new_figure,
    short,
    shown,
    thinned,
    translucent,
    whole_ticks,
)
from optuna_layerwise.visualization.plans import plan_height

TITLE = "Population by generation"
MAX_GENERATIONS = 60
MAX_POINTS = 1_500
_SHARES = ("#F3F4F6", "#9CC3E0", "#0072B2")


def population(history: History) -> go.Figure:
    """Above the values with median and quartiles, below the share that trains each block.

    Samplers without generations are shown in tens of trials.
    """
    rows = [row for row in history.rows if row.counts]
    if not rows:
        return empty_figure(TITLE, "No trial has completed with a value.")
    last = max(row.generation for row in rows)
    pooled = -(-(last + 1) // MAX_GENERATIONS)
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.generation // pooled * pooled, []).append(row)
    x = sorted(groups)
    blocks = [block for block in history.blocks if any(block in (r.policy or {}) for r in rows)]
    span, outside = focus([row.value or 0.0 for row in rows], history.sign)
    figure = new_figure(
        TITLE,
        f"{outside} trials lie outside of the range shown." if outside else "",
        f"{pooled} generations together in each column." if pooled > 1 else "",
        height=None if len(blocks) <= 10 else 140 + (plan_height(max(17, len(blocks))) or 0),
    )
    _add_values(figure, rows, groups, x, pooled)
    figure.update_layout(
        xaxis={"title": {"text": "generation"}, **whole_ticks(last + 1)},
        yaxis={"title": {"text": shown(history.metric)}, "range": span},
    )
    if blocks:
        figure.add_heatmap(
            x=x,
            y=labels(blocks),
            z=[[_trained(groups[g], block) for g in x] for block in blocks],
            yaxis="y2",
            zmin=0,
            zmax=1,
            colorscale=[[i / (len(_SHARES) - 1), c] for i, c in enumerate(_SHARES)],
            colorbar={
                "title": {"text": "trained by", "side": "right"},
                "tickformat": ".0%",
                "thickness": 12,
                "len": 0.5,
                "y": 0,
                "yanchor": "bottom",
                "outlinewidth": 0,
                "nticks": 3,
            },
            hovertemplate="generation %{x}<br>%{y}: trained by %{z:.0%}<extra></extra>",
        )
        figure.update_layout(
            yaxis={"domain": [0.56, 1]},
            yaxis2={"domain": [0, 0.5], "showgrid": False, "type": "category"},
            xaxis_anchor="y2",
        )
    return figure


def _add_values(
    figure: go.Figure, rows: list[Row], groups: dict[int, list[Row]], x: list[int], pooled: int
) -> None:
    kept = [rows[i] for i in thinned(len(rows), MAX_POINTS)]
    figure.add_scatter(
        x=[row.generation // pooled * pooled for row in kept],
        y=[short(row.value or 0.0) for row in kept],
        text=[f"trial {row.number}" for row in kept],
        mode="markers",
        marker={"color": GREY, "size": 5, "opacity": 0.6},
        name="trial",
        hovertemplate="%{text}: %{y}<extra></extra>",
    )
    quartiles = [
        np.quantile([row.value or 0.0 for row in groups[g]], (0.25, 0.5, 0.75)) for g in x
    ]
    low, middle, high = ([short(float(q[i])) for q in quartiles] for i in range(3))
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*low, *high[::-1]],
        fill="toself",
        fillcolor=translucent(SERIES[0], 0.2),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="quartiles",
    )
    figure.add_scatter(
        x=x,
        y=middle,
        mode="lines+markers",
        line={"color": SERIES[0], "width": 2.5},
        name="median",
        hovertemplate="generation %{x}: median %{y}<extra></extra>",
    )


def _trained(rows: list[Row], block: str) -> float | None:
    having = [row.policy[block] > 0 for row in rows if row.policy and block in row.policy]
    return round(sum(having) / len(having), 3) if having else None
