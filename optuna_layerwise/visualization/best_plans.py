"""The best policies of several studies side by side (BioTune's figure 2, over data sets)."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History
from optuna_layerwise.visualization.look import empty_figure, labels, new_figure, shown
from optuna_layerwise.visualization.plans import plan_height, plan_traces

TITLE = "Best plan of each study"


def best_plans(histories: Sequence[History]) -> go.Figure:
    """One column a study: a snowflake for frozen, a colour for the rate.

    It is the plan that was chosen and tested, or else that of the best trial.

    Where a study does not know its learning rate, all show multiples of it.
    """
    found = [
        (history, policy) for history in histories if (policy := history.answer_policy) is not None
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
            [policy for _, policy in found],
            [history.rate if known else _multiple for history, _ in found],
            blocks,
            [
                f"{name}<br>{_whose(history)}"
                for name, (history, _) in zip(names, found, strict=True)
            ],
            found[0][0].rate_name if known else "multiple of the learning rate",
            "",
        )
    )
    figure.update_layout(xaxis={"type": "category", "showgrid": False}, yaxis={"showgrid": False})
    return figure


def _whose(history: History) -> str:
    row = history.answer_row
    if row is None:
        return shown(history.final.chosen.name) if history.final else ""
    return f"trial {row.number}" + ("" if row.value is None else f": {row.value:.4g}")


def _multiple(multiplier: float) -> float:
    return multiplier
