"""Demsar's diagram: methods by mean rank, and bars over those that are not told apart."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from optuna_layerwise.analysis.statistics import alike
from optuna_layerwise.visualization.look import GREY, SERIES, empty_figure, new_figure, shown

TITLE = "Mean ranks"


def critical_difference(
    ranks: Mapping[str, float], difference: float, *, blocks: int, title: str = TITLE
) -> go.Figure:
    """One line a method, best first; a bar joins methods that differ by less than ``difference``.

    Args:
        ranks: Method to mean rank, 1 is best; see `ranking`.
        difference: Nemenyi's, see `nemenyi`.
        blocks: Over how many the ranks are means.
        title: Of the figure.
    """
    if len(ranks) < 2:
        return empty_figure(title, "There are fewer than two methods to rank.")
    order = sorted(ranks, key=lambda name: ranks[name])
    sets = alike([ranks[name] for name in order], difference)
    note = (
        f"Over {blocks} blocks; 1 is best. Methods joined by a bar differ by less than the "
        f"critical difference {difference:.2f} (Nemenyi, 5 %) and are not told apart."
    )
    rows = len(order) + len(sets)
    figure = new_figure(title, note, height=150 + 30 * rows)
    figure.add_scatter(
        x=[ranks[name] for name in order],
        y=[shown(name) for name in order],
        mode="markers+text",
        marker={"color": SERIES[0], "size": 11},
        text=[f"{ranks[name]:.2f}" for name in order],
        textposition="middle right",
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        showlegend=False,
    )
    for i, members in enumerate(sets):
        ends = [ranks[order[members[0]]], ranks[order[members[-1]]]]
        figure.add_scatter(
            x=ends if ends[0] < ends[1] else [ends[0] - 0.03, ends[1] + 0.03],
            y=[f"alike{'' if len(sets) == 1 else f' {i + 1}'}"] * 2,
            mode="lines",
            line={"color": GREY, "width": 8},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_layout(
        xaxis={"title": {"text": "mean rank"}, "range": [0.8, len(order) + 0.3], "dtick": 1},
        yaxis={"autorange": "reversed"},
    )
    return figure
