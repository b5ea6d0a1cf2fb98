"""The look that all figures share, and how names from a database get into them."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7F7F7F")
"""Colours that people with any colour vision tell apart (Okabe and Ito), on white and on black."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross")
"""Series differ in these, too: prints may be grey."""
GREY = "#8A8F98"
ICE = "#C9DCEE"
"""A frozen block."""
ICE_INK = "#2F5D86"
RATES = ("#FDE725", "#7AD151", "#22A884", "#2A788E", "#414487", "#440154")
"""Low to high rates: viridis, from light to dark, so that it survives a grey print."""
MAX_NAME = 32
_WRAP = 62
_SPREADS = 4


def _template(ink: str, paper: str, lines: str) -> go.layout.Template:
    axis = {
        "gridcolor": lines,
        "linecolor": lines,
        "zerolinecolor": lines,
        "automargin": True,
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": ink},
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "colorway": SERIES,
            "title": {"x": 0, "xref": "container", "font": {"size": 15}, "yanchor": "top"},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"font": {"size": 12}},
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
                "font": {"size": 11},
            },
            "margin": {"l": 10, "r": 10, "b": 10},
        }
    )


LIGHT = _template("#1F2328", "#FFFFFF", "#DDE1E6")
"""Template of every figure."""
DARK = _template("#E6EAF0", "#15181D", "#3A4048")
"""For dark pages: ``figure.update_layout(template=DARK)``."""


def new_figure(title: str, *notes: str, height: int | None = None) -> go.Figure:
    """An empty figure; ``notes`` are what a reader must know, below the title."""
    lines = [line for note in notes if note for line in textwrap.wrap(note, _WRAP)]
    subtitle = "<br>".join(escaped(line) for line in lines)
    figure = go.Figure()
    figure.update_layout(
        template=LIGHT,
        title={
            "text": f"<b>{escaped(title)}</b>",
            "subtitle": {"text": subtitle, "font": {"size": 11}},
            "y": 1,
            "yref": "container",
            "pad": {"t": 10, "l": 10},
        },
        margin_t=44 + 15 * len(lines),
        height=height,
    )
    return figure


def empty_figure(title: str, reason: str) -> go.Figure:
    """A figure that says why there is nothing to see."""
    figure = new_figure(title, height=220)
    text = "<br>".join(escaped(line) for line in textwrap.wrap(reason, 44))
    figure.add_annotation(
        text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font_size=13
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure


def escaped(text: str) -> str:
    """Text that Plotly shows as it is: it renders tags and links."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return html.escape(printable, quote=False)


def cut(name: str, limit: int = MAX_NAME) -> str:
    """A name without its middle where it is long."""
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[:half]}…{name[-half:]}"


def shown(name: str, limit: int = MAX_NAME) -> str:
    """A name as a label: escaped, and cut where it is long."""
    return escaped(cut(name, limit))


def labels(names: Sequence[str]) -> list[str]:
    """Different labels for names, also where cutting or chance has made them alike."""
    taken: dict[str, int] = {}
    found = []
    for name in names:
        label = shown(name)
        taken[label] = taken.get(label, 0) + 1
        found.append(label if taken[label] == 1 else f"{label} ({taken[label]})")
    return found


def whole_ticks(n: int) -> dict[str, object]:
    """For an axis of ``n`` whole numbers: no tick between two of them."""
    return {"tickformat": "d", "dtick": max(1, -(-n // 10))}


def short(value: float) -> float:
    """Four significant digits: what a figure can show, and no more to send."""
    return float(f"{value:.4g}")


def translucent(colour: str, alpha: float) -> str:
    """A colour of `SERIES` as the fill of a band."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def focus(values: Sequence[float], sign: int) -> tuple[list[float] | None, int]:
    """A range of values that shows the better half well, and how many lie outside of it.

    ``None`` where all values fit. Figures can be zoomed out.

    Args:
        values: Finite.
        sign: 1 if larger values are better, else -1.
    """
    if not values:
        return None, 0
    goodness = sorted(sign * value for value in values)
    best, middle = goodness[-1], goodness[len(goodness) // 2]
    edge = best - _SPREADS * (best - middle)
    outside = sum(value < edge for value in goodness)
    if best == middle or not outside or best - goodness[0] < 2 * (best - edge):
        return None, 0
    margin = 0.05 * (best - edge)
    return sorted([sign * (edge - margin), sign * (best + margin)]), outside


def thinned(n: int, limit: int) -> list[int]:
    """Up to ``limit`` of ``n`` indices, evenly spread, with the first and the last."""
    if n <= limit:
        return list(range(n))
    if limit == 1:
        return [0]
    return [round(i * (n - 1) / (limit - 1)) for i in range(limit)]
