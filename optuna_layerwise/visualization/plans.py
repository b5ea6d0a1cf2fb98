"""Policies as a picture: one column each, blocks from the bottom up, frozen or how fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go

from optuna_layerwise.visualization.look import ICE, ICE_INK, RATES, labels

SNOWFLAKE = "\u2744\ufe0e"
_WIDE_COLUMNS = 40
"""Columns that have room for gaps and for snowflakes."""


def plan_traces(
    plans: Sequence[Mapping[str, float]],
    rates: Sequence[Callable[[float], float]],
    blocks: Sequence[str],
    columns: Sequence[str],
    rate_name: str,
    hover: str,
) -> list[go.Heatmap]:
    """Two heatmaps: the rates of trained blocks, and the frozen ones.

    Args:
        plans: Block to multiplier; a block that a plan does not have stays blank.
        rates: For each plan, multiplier to what is shown.
        blocks: In forward order.
        columns: What the plans are called; text, one each.
        rate_name: What ``rates`` give.
        hover: What a column is, such as ``trial``.
    """
    trained: list[list[float | None]] = []
    frozen: list[list[int | None]] = []
    for block in blocks:
        values = [plan.get(block) for plan in plans]
        trained.append(
            [
                round(math.log10(shown), 2) if v and (shown := rate(v)) > 0 else None
                for v, rate in zip(values, rates, strict=True)
            ]
        )
        frozen.append([1 if v == 0 else None for v in values])
    logs = [value for row in trained for value in row if value is not None]
    low, high = _range(logs)
    ticks = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    shape = {
        "x": columns,
        "y": labels(blocks),
        "hoverongaps": False,
        "xgap": 1 if len(columns) <= _WIDE_COLUMNS else 0,
        "ygap": 1 if len(blocks) <= _WIDE_COLUMNS else 0,
    }
    flakes = {}
    if len(columns) <= _WIDE_COLUMNS:
        text = [[SNOWFLAKE if cell else "" for cell in row] for row in frozen]
        flakes = {"text": text, "texttemplate": "%{text}", "textfont": {"color": ICE_INK}}
    return [
        go.Heatmap(
            z=trained,
            zmin=low,
            zmax=high,
            colorscale=[[i / (len(RATES) - 1), colour] for i, colour in enumerate(RATES)],
            colorbar={
                "title": {"text": rate_name, "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": ticks,
                "ticktext": [f"{10.0**tick:g}" for tick in ticks],
            },
            hovertemplate=f"{hover} %{{x}}<br>%{{y}}: 10<sup>%{{z:.2f}}</sup><extra></extra>",
            **shape,
        ),
        go.Heatmap(
            z=frozen,
            colorscale=[[0, ICE], [1, ICE]],
            showscale=False,
            name=f"{SNOWFLAKE} frozen",
            showlegend=True,
            hovertemplate=f"{hover} %{{x}}<br>%{{y}}: frozen<extra></extra>",
            **shape,
            **flakes,
        ),
    ]


def _range(logs: Sequence[float]) -> tuple[float, float]:
    """Of the colours: whole decades, at least one."""
    if not logs:
        return -1.0, 0.0
    low, high = math.floor(min(logs) + 1e-9), math.ceil(max(logs) - 1e-9)
    return (low, high) if high > low else (low - 1, high)


def plan_height(n_blocks: int) -> int | None:
    """Pixels, so that many blocks stay apart."""
    return None if n_blocks <= 16 else min(1_600, 180 + 14 * n_blocks)
