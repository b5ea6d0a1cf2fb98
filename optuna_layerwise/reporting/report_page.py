"""A report before it is HTML or Markdown: sections of plain text, tables, a plan and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import plotly.graph_objects as go

from optuna_layerwise.reporting.report_grid import Grid


@dataclasses.dataclass(frozen=True)
class Tile:
    """A number that people look for first."""

    label: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """A block of a policy: its rate as text, and the width of its bar in [0, 1]; 0 is frozen."""

    block: str
    rate: str
    width: float


@dataclasses.dataclass(frozen=True)
class Code:
    """Text to copy; folded away if it is long."""

    title: str
    text: str
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """One heading and what stands below it, in this order."""

    title: str
    paragraphs: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    plan: Sequence[PlanRow] = ()
    warnings: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    figures: Sequence[go.Figure] = ()
    code: Sequence[Code] = ()


@dataclasses.dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
