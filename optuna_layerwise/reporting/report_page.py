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

    @property
    def text_fields(self) -> list[Sequence[object]]:
        """All that it holds but its title and its figures."""
        return [
            *(self.paragraphs, self.tiles, self.plan),
            *(self.warnings, self.grids, self.code),
        ]

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the heading."""
        return not any(self.text_fields) and not self.figures


@dataclasses.dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
