"""Median regret over evaluations as an SVG, one panel a problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

COLOURS = {
    "Random": "#999999",
    "TPE": "#0072b2",
    "CmaEs": "#e69f00",
    "NSGA-II": "#009e73",
    "GP": "#cc79a7",
    "BioTune": "#56b4e9",
    "CatCMAwM": "#d55e00",
    "CatCMAwM, no surrogate": "#f0b090",
}
WIDTH, HEIGHT, COLUMNS = 220, 170, 4
LEFT, TOP = 36, 24
AXES = "Median regret in points (log scale) after so many evaluations, in batches of 10"
Curves = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]


def figure(curves: Curves) -> str:
    """Both axes are logarithmic; samplers without a colour are left out."""
    rows = math.ceil(len(curves) / COLUMNS)
    panels = [
        f'<g transform="translate({k % COLUMNS * WIDTH},{k // COLUMNS * HEIGHT})">'
        f"{_panel(problem, lines)}</g>"
        for k, (problem, lines) in enumerate(curves.items())
    ]
    legend = "".join(
        f'<text x="{LEFT + k * 105}" y="{rows * HEIGHT + 18}" fill="{colour}">{name}</text>'
        for k, (name, colour) in enumerate(COLOURS.items())
    )
    axes = f'<text x="{LEFT}" y="{rows * HEIGHT + 38}" fill="#666">{AXES}</text>'
    width, height = COLUMNS * WIDTH + 40, rows * HEIGHT + 48
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    style = 'font-family="sans-serif" font-size="10"'
    body = "\n".join([ground, *panels, legend, axes])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _panel(problem: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    shown = {name: points for name, points in lines.items() if name in COLOURS and points}
    values = [max(value, 0.05) for points in shown.values() for _, value in points] or [1.0]
    counts = sorted({n for points in shown.values() for n, _ in points}) or [1]
    low, high = math.log(min(values) / 1.1), math.log(max(values) * 1.1)

    def x(n: int) -> float:
        span = math.log(counts[-1] / counts[0]) or 1.0
        return LEFT + (WIDTH - LEFT - 14) * math.log(n / counts[0]) / span

    def y(value: float) -> float:
        height = HEIGHT - TOP - 28
        return TOP + height * (high - math.log(max(value, 0.05))) / (high - low)

    marks = [f'<text x="{LEFT}" y="14" font-weight="bold">{problem}</text>']
    marks += [f'<text x="{x(n):.0f}" y="{HEIGHT - 12}" fill="#666">{n}</text>' for n in counts]
    for tick in (0.5, 1, 2, 4, 8, 16):
        if low < math.log(tick) < high:
            marks.append(
                f'<path d="M{LEFT} {y(tick):.0f}H{WIDTH - 14}" stroke="#ddd"/>'
                f'<text x="14" y="{y(tick) + 3:.0f}" fill="#666">{tick}</text>'
            )
    for name, points in shown.items():
        path = " ".join(f"{x(n):.0f},{y(value):.0f}" for n, value in points)
        colour = f'fill="none" stroke="{COLOURS[name]}" stroke-width="1.5"'
        marks.append(f'<polyline points="{path}" {colour}/>')
    return "".join(marks)
