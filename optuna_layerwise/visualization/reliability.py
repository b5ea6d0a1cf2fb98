"""Whether answers are right as often as their probabilities say, and of how many images."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from optuna_layerwise.analysis.per_class import Calibration
from optuna_layerwise.visualization.look import GREY, SERIES, new_figure, short

TITLE = "How often it is right, by the probability that it says"


def reliability(calibration: Calibration) -> go.Figure:
    """Above the share of right answers by confidence, with intervals; below the images.

    Args:
        calibration: Of the classifier on the test images.
    """
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.75, 0.25])
    base = new_figure(
        TITLE,
        "Each point is the test images of about one confidence, with a 95 % interval. Below the "
        "dotted line it is too sure of itself, above it is not sure enough.",
        height=430,
    )
    figure.update_layout(base.layout, bargap=0.05)
    bins = calibration.bins
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=[short(each.confidence) for each in bins],
        y=[short(each.right.value) for each in bins],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [short(each.right.high - each.right.value) for each in bins],
            "arrayminus": [short(each.right.value - each.right.low) for each in bins],
            "thickness": 1.5,
        },
        mode="markers",
        marker={"color": SERIES[0], "size": 9},
        customdata=[each.images for each in bins],
        hovertemplate="says %{x:.1%}, %{y:.1%} right, %{customdata} images<extra></extra>",
        showlegend=False,
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[short((each.low + each.high) / 2) for each in bins],
        y=[each.images for each in bins],
        width=[short(each.high - each.low) for each in bins],
        marker_color=SERIES[5],
        hovertemplate="%{y} images<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_xaxes(title_text="probability of its answer", row=2)
    figure.update_yaxes(title_text="right", tickformat=".0%", range=[0, 1.04], row=1)
    figure.update_yaxes(title_text="images", rangemode="tozero", nticks=3, row=2)
    return figure
