"""The reported values of trials over epochs, the best ones in colour."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.visualization.look import (
    DASHES,
    GREY,
    SERIES,
    SYMBOLS,
    empty_figure,
    focus,
    new_figure,
    short,
    shown,
    thinned,
    whole_ticks,
)

TITLE = "Learning curves"
MAX_OTHERS = 150


def learning_curves(history: History, *, n_best: int = 4) -> go.Figure:
    """Validation values epoch by epoch: the ``n_best`` best trials, and the others in grey.

    The study's answer is the first of the best, whatever its rank in the search.
    """
    reported = [row for row in history.rows if row.trial.intermediate_values]
    if not reported:
        return empty_figure(TITLE, "No trial of this study has reported values on its way.")
    answer = history.answer_row
    ranked = [row for row in history.best_first if row is not answer]
    ranked = [answer, *ranked] if answer is not None else ranked
    best = [row for row in ranked if row.trial.intermediate_values][:n_best]
    others = [row for row in reported if row not in best]
    kept = [others[i] for i in thinned(len(others), MAX_OTHERS)]
    ends = [
        curve[-1] for row in reported if (curve := [v for v in _curve(row)[1] if v is not None])
    ]
    span, outside = focus(ends, history.sign)
    figure = new_figure(
        TITLE,
        f"{outside} trials end outside of the range shown." if outside else "",
        f"Grey: {len(kept)} of {len(others)} other trials." if len(kept) < len(others) else "",
    )
    x: list[int | None] = []
    y: list[float | None] = []
    for row in kept:
        epochs, values = _curve(row)
        x += [*epochs, None]
        y += [*values, None]
    if kept:
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": GREY, "width": 1},
            opacity=0.4,
            name="other trials",
            hoverinfo="skip",
        )
    for i, row in enumerate(best):
        epochs, values = _curve(row)
        figure.add_scatter(
            x=epochs,
            y=values,
            mode="lines+markers",
            line={"color": SERIES[i % len(SERIES)], "width": 2.5, "dash": DASHES[i % len(DASHES)]},
            marker={"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 7},
            name=f"trial {row.number}",
            hovertemplate=f"trial {row.number}, epoch %{{x}}: %{{y}}<extra></extra>",
        )
    longest = max(max(row.trial.intermediate_values) + 1 for row in reported)
    figure.update_layout(
        xaxis={"title": {"text": "epoch"}, **whole_ticks(longest)},
        yaxis={"title": {"text": shown(f"validation {history.metric}")}, "range": span},
    )
    return figure


def _curve(row: Row) -> tuple[list[int], list[float | None]]:
    """Epochs, from 1, and what was reported."""
    items = sorted(row.trial.intermediate_values.items())
    values = [short(value) if math.isfinite(value) else None for _, value in items]
    return [epoch + 1 for epoch, _ in items], values
