"""What every trial did with every block, best trials first (BioTune's figure 2)."""

from __future__ import annotations

import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History
from optuna_layerwise.visualization.look import (
    SERIES,
    empty_figure,
    new_figure,
    short,
    thinned,
)
from optuna_layerwise.visualization.plans import plan_height, plan_traces

TITLE = "Layer plans, best trials first"
MAX_TRIALS = 200
MAX_CELLS = 8_000


def layer_plan(
    history: History, *, max_trials: int = MAX_TRIALS, max_cells: int = MAX_CELLS
) -> go.Figure:
    """Blocks by trials: a snowflake for frozen, a colour for the rate; above them the value.

    Args:
        history: A study.
        max_trials: More are thinned out evenly over the ranks.
        max_cells: Blocks times trials, for figures that must stay small.
    """
    ranked = [row for row in history.best_first if row.policy]
    if not ranked:
        return empty_figure(TITLE, _reason(history))
    blocks = history.blocks
    limit = max(2, min(max_trials, max_cells // len(blocks)))
    kept = [ranked[i] for i in thinned(len(ranked), limit)]
    thin = f"{len(kept)} of {len(ranked)} trials, spread evenly over the ranks."
    figure = new_figure(
        TITLE,
        f"The line above is their {history.metric}.",
        thin if len(kept) < len(ranked) else "",
        _without(history, len(ranked)),
        height=plan_height(len(blocks)),
    )
    numbers = [str(row.number) for row in kept]
    figure.add_scatter(
        x=numbers,
        y=[short(row.value or 0.0) for row in kept],
        yaxis="y2",
        mode="lines+markers",
        line={"color": SERIES[0], "width": 1.5},
        marker={"size": 3},
        name=history.metric,
        showlegend=False,
        hovertemplate="trial %{x}: %{y}<extra></extra>",
    )
    plans = [row.policy or {} for row in kept]
    figure.add_traces(
        plan_traces(
            plans, [history.rate] * len(plans), blocks, numbers, history.rate_name, "trial"
        )
    )
    top = 0.84 if len(blocks) <= 40 else 0.92
    figure.update_layout(
        xaxis={"type": "category", "title": {"text": "trial"}, "showgrid": False},
        yaxis={"domain": [0, top - 0.03], "showgrid": False},
        yaxis2={"domain": [top, 1], "nticks": 3},
    )
    return figure


def _without(history: History, n_shown: int) -> str:
    n = sum(row.finished for row in history.rows) - n_shown
    return f"{n} finished trials have no value or no plan, or are infeasible." if n else ""


def _reason(history: History) -> str:
    if not any(row.finished for row in history.rows):
        return "No trial has finished yet."
    if not history.best_first:
        return "No trial has completed with a value and within its constraints."
    return "The trials of this study say nothing about blocks: no layer plan to show."
