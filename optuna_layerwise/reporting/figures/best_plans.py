"""The best policies of several studies side by side (BioTune's figure 2, over data sets)."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from optuna_layerwise.reporting.figures.look import empty_figure, labels, new_figure
from optuna_layerwise.reporting.figures.plans import plan_height, plan_traces
from optuna_layerwise.reporting.rows import History

TITLE = "Best plan of each study"


def best_plans(histories: Sequence[History]) -> go.Figure:
    """One column a study: a snowflake for frozen, a colour for the rate.

    Where a study does not know its learning rate, all show multiples of it.
    """
    found = [
        (history, row)
        for history in histories
        for row in history.best_first[:1]
        if row.policy is not None
    ]
    if not found:
        return empty_figure(TITLE, "No study has a best trial with a layer plan yet.")
    blocks = list(dict.fromkeys(block for history, _ in found for block in history.blocks))
    names = labels([history.name for history, _ in found])
    without = len(histories) - len(found)
    known = all(history.lr is not None for history, _ in found)
    figure = new_figure(
        TITLE,
        f"{without} of {len(histories)} studies have none yet." if without else "",
        height=plan_height(len(blocks)),
    )
    figure.add_traces(
        plan_traces(
            [row.policy or {} for _, row in found],
            [history.rate if known else _multiple for history, _ in found],
            blocks,
            [
                f"{name}<br>trial {row.number}: {row.value:.4g}"
                for name, (_, row) in zip(names, found, strict=True)
            ],
            found[0][0].rate_name if known else "multiple of the learning rate",
            "",
        )
    )
    figure.update_layout(xaxis={"type": "category", "showgrid": False}, yaxis={"showgrid": False})
    return figure


def _multiple(multiplier: float) -> float:
    return multiplier
