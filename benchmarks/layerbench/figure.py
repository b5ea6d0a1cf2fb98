"""Lines with bands in panels, and mean ranks with bars, as SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from optuna_layerwise.visualization.look import SERIES

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 290, 210, 44, 30, 10, 40
LEGEND_ROW, DASHES = 3, ("", "6 3", "2 3")
ROW, NAMES = 18, 150
"""Of the ranks: height of a row, and least room for the names."""

Point = tuple[float, float, float, float]
"""x, y, and the ends of y's interval."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes: line to its points; ``ticks`` of x, by default where points are."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[Point]]
    ticks: Sequence[float] = ()


def panels(shown: Sequence[Panel], *, columns: int) -> str:
    """Panels in rows with one legend; the axes of x are logarithmic."""
    names = list(dict.fromkeys(name for panel in shown for name in panel.lines))
    rows = math.ceil(len(shown) / columns)
    body = [
        f'<g transform="translate({i % columns * WIDTH},{i // columns * HEIGHT})">'
        f"{_panel(panel, names)}</g>"
        for i, panel in enumerate(shown)
    ]
    room = columns * WIDTH / LEGEND_ROW
    for i, name in enumerate(names):
        x, y = LEFT + i % LEGEND_ROW * room, rows * HEIGHT + 16 + i // LEGEND_ROW * 16
        body.append(f'<path d="M{x:.0f} {y - 4}h22" {_stroke(i)}/>')
        body.append(f'<text x="{x + 28:.0f}" y="{y}">{name}</text>')
    height = rows * HEIGHT + 16 * math.ceil(len(names) / LEGEND_ROW) + 14
    return _svg(columns * WIDTH, height, body)


def ranks(shown: Mapping[str, tuple[Mapping[str, float], float]]) -> str:
    """Title to mean ranks and their critical difference, one panel each.

    Bars are half a critical difference to both sides: methods whose bars overlap are not told
    apart.
    """
    names = list(next(iter(shown.values()))[0])
    width, room = 250, max(NAMES, 6 * max(map(len, names), default=0))
    body = [
        f'<text x="{room - 6}" y="{TOP + 12 + i * ROW}" text-anchor="end">{name}</text>'
        for i, name in enumerate(names)
    ]
    for column, (title, (found, difference)) in enumerate(shown.items()):
        left = room + column * width

        def x(rank: float, left: float = left) -> float:
            return left + 12 + (rank - 1) * (width - 36) / max(len(names) - 1, 1)

        bottom = TOP + ROW * len(names)
        body.append(f'<text x="{left + 8}" y="16" font-weight="bold">{title}</text>')
        for rank in range(1, len(names) + 1):
            body.append(f'<path d="M{x(rank):.0f} {TOP}V{bottom}" stroke="#e4e4e4"/>')
            if len(names) <= 14 or rank % 2:  # else they touch
                body.append(_label(x(rank), bottom + 13, str(rank)))
        for i, name in enumerate(names):
            rank, y = found[name], TOP + 8 + i * ROW
            low = max(x(rank - difference / 2), left + 2.0)
            high = min(x(rank + difference / 2), left + width - 2.0)
            body.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="#9db8d2" stroke-width="6"/>')
            body.append(f'<circle cx="{x(rank):.1f}" cy="{y}" r="4" fill="{SERIES[0]}"/>')
    return _svg(room + width * len(shown), TOP + ROW * len(names) + 22, body)


def _panel(panel: Panel, names: Sequence[str]) -> str:
    points = [p for line in panel.lines.values() for p in line]
    xs = sorted({p[0] for p in points})
    low, high = min(p[2] for p in points), max(p[3] for p in points)
    step = _step(high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step

    def x(value: float) -> float:
        span = math.log(xs[-1] / xs[0]) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / xs[0]) / span

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    marks = [f'<text x="{LEFT}" y="16" font-weight="bold">{panel.title}</text>']
    for i in range(round((high - low) / step) + 1):
        at = low + i * step
        marks.append(f'<path d="M{LEFT} {y(at):.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        marks.append(f'<text x="{LEFT - 5}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>')
    marks += [_label(x(value), HEIGHT - BOTTOM + 14, f"{value:g}") for value in panel.ticks or xs]
    marks.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 28, panel.x))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    marks.append(f'<g transform="translate(11,{middle}) rotate(-90)">{_label(0, 0, panel.y)}</g>')
    for name, line in panel.lines.items():
        i = names.index(name)
        there = [f"{x(p[0]):.1f},{y(p[3]):.1f}" for p in line]
        back = [f"{x(p[0]):.1f},{y(p[2]):.1f}" for p in reversed(line)]
        band = f'fill="{_colour(i)}" fill-opacity="0.13"'
        marks.append(f'<polygon points="{" ".join([*there, *back])}" {band}/>')
        path = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in line)
        marks.append(f'<polyline points="{path}" {_stroke(i)}/>')
    return "".join(marks)


def _step(span: float) -> float:
    """Of ticks: 1, 2 or 5 times a power of ten, about five of them."""
    power = 10 ** math.floor(math.log10(max(span, 1e-9) / 5))
    return float(next(power * k for k in (1, 2, 5, 10) if power * k * 5 >= span))


def _colour(i: int) -> str:
    return SERIES[i % len(SERIES)]


def _stroke(i: int) -> str:
    dash = DASHES[i % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{_colour(i)}" stroke-width="2"{dashed}'


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="#555">{text}</text>'


def _svg(width: float, height: float, body: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    style = 'font-family="sans-serif" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    return "\n".join([head, ground, *body, "</svg>"]) + "\n"
