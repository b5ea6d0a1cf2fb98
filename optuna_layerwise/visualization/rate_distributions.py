"""Which rates good trials give each block, over data sets and shares (REVO-Tune's 3 and 4)."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.visualization.bands import Groups
from optuna_layerwise.visualization.look import (
    DASHES,
    SERIES,
    SYMBOLS,
    empty_figure,
    labels,
    new_figure,
    short,
    translucent,
)

TITLE = "Rates that good trials choose"
MIN_TRIALS = 5
_BOXES = 60
"""Boxes that can be told apart; with more there are lines and bands."""


def rate_distributions(groups: Groups, *, top: float = 0.25) -> go.Figure:
    """Rates of trained blocks above, and below how often each block is frozen.

    Args:
        groups: Name, such as that of a data set, to its studies, whose trials are pooled.
        top: Share of the trials of each study, best first, that is looked at; at least 5.

    Raises:
        ValueError: if ``top`` is not in (0, 1].
    """
    if not 0 < top <= 1:
        raise ValueError(f"top must be above 0 and at most 1, got {top}")
    histories = [history for group in groups.values() for history in group]
    known = all(history.lr is not None for history in histories)
    chosen = {
        name: [(history, row) for history in group for row in _best(history, top)]
        for name, group in groups.items()
    }
    chosen = {name: rows for name, rows in chosen.items() if rows}
    if not chosen:
        return empty_figure(TITLE, "No trial with a value has a layer plan yet.")
    blocks = list(dict.fromkeys(block for history in histories for block in history.blocks))
    ticks = labels(blocks)
    counts = ", ".join(str(len(rows)) for rows in chosen.values())
    figure = new_figure(
        TITLE, f"The best {top:.0%} of the trials of each study ({counts} trials)."
    )
    as_boxes = len(blocks) * len(chosen) <= _BOXES
    for i, (label, rows) in enumerate(zip(labels(list(chosen)), chosen.values(), strict=True)):
        rates = [
            [(history.rate(m) if known else m) for history, row in rows if (m := _at(row, block))]
            for block in blocks
        ]
        frozen = [_frozen([row for _, row in rows], block) for block in blocks]
        colour = SERIES[i % len(SERIES)]
        look = {"legendgroup": label, "name": label}
        if as_boxes:
            figure.add_box(
                x=[tick for tick, values in zip(ticks, rates, strict=True) for _ in values],
                y=[short(value) for values in rates for value in values],
                marker={"color": colour, "size": 3},
                line={"width": 1.5},
                boxpoints="outliers",
                yaxis="y2",
                **look,
            )
        else:
            _add_band(figure, ticks, rates, colour, DASHES[i % len(DASHES)], look)
        figure.add_scatter(
            x=ticks,
            y=frozen,
            mode="lines+markers",
            line={"color": colour, "dash": DASHES[i % len(DASHES)]},
            marker={"size": 6, "symbol": SYMBOLS[i % len(SYMBOLS)]},
            showlegend=False,
            hovertemplate=f"%{{x}} frozen by %{{y:.0%}}<extra>{label}</extra>",
            **look,
        )
    name = histories[0].rate_name if known else "multiple of the learning rate"
    figure.update_layout(
        boxmode="group",
        xaxis={"type": "category", "categoryorder": "array", "categoryarray": ticks},
        yaxis={
            "domain": [0, 0.27],
            "range": [-0.05, 1.05],
            "tickformat": ".0%",
            "nticks": 3,
            "title": {"text": "frozen by"},
        },
        yaxis2={
            "domain": [0.33, 1],
            "type": "log",
            "dtick": 1,
            "exponentformat": "power",
            "title": {"text": name},
        },
    )
    return figure


def _best(history: History, top: float) -> list[Row]:
    ranked = [row for row in history.best_first if row.policy]
    return ranked[: max(MIN_TRIALS, round(top * len(ranked)))]


def _at(row: Row, block: str) -> float:
    return (row.policy or {}).get(block, 0.0)


def _frozen(rows: list[Row], block: str) -> float | None:
    having = [row.policy[block] == 0 for row in rows if row.policy and block in row.policy]
    return round(sum(having) / len(having), 3) if having else None


def _add_band(
    figure: go.Figure,
    ticks: list[str],
    rates: list[list[float]],
    colour: str,
    dash: str,
    look: dict[str, str],
) -> None:
    """Median and quartiles of every block that somebody trains."""
    some = [
        (tick, np.quantile(v, (0.25, 0.5, 0.75)))
        for tick, v in zip(ticks, rates, strict=True)
        if v
    ]
    x = [tick for tick, _ in some]
    low, middle, high = ([short(float(q[i])) for _, q in some] for i in range(3))
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*low, *high[::-1]],
        fill="toself",
        fillcolor=translucent(colour, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=look["legendgroup"],
        yaxis="y2",
    )
    figure.add_scatter(
        x=x,
        y=middle,
        mode="lines",
        line={"color": colour, "dash": dash, "width": 2},
        yaxis="y2",
        hovertemplate="%{x}: %{y:.2g}",
        **look,
    )
