"""Text as Markdown: escaped, so that names from a database stay names; pages and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from optuna_layerwise.reporting.report_grid import Grid, clean
from optuna_layerwise.reporting.report_page import Page, PlanRow, Section

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!@])")
_BAR = 20


def escaped(text: object) -> str:
    r"""Text that Markdown shows as it is: no tags, links, emphasis, mentions or cells in it.

    Examples:
        >>> print(escaped("<b>a|b</b>"))
        \<b\>a\|b\</b\>
    """
    shown = _SPECIAL.sub(r"\\\1", clean(text))
    shown = re.sub(r"(?i)\b(https?|ftp|www)(?=[:.])", "\\1\u200b", shown)  # no bare links
    # no list, no underline of a heading
    return re.sub(r"^(\s*\d*)([-+.)=](?=\s|=|$))", r"\1\\\2", shown)


def fenced(text: str, language: str = "") -> str:
    """A block of code that its text cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def grid_as_markdown(grid: Grid) -> str:
    """A table as GitHub has it; the first column is text, the others are aligned right."""
    lines = [
        f"| {' | '.join(map(escaped, grid.header))} |",
        "|" + "|".join(["---"] + ["--:"] * (len(grid.header) - 1)) + "|",
        *(f"| {' | '.join(map(escaped, row))} |" for row in grid.rows),
    ]
    return "\n".join(lines)


def page_as_markdown(page: Page) -> str:
    """A page without its figures."""
    parts = [f"# {escaped(page.title)}"]
    if page.subtitle:
        parts.append(escaped(page.subtitle))
    for section in page.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> Iterator[str]:
    if not any(section.text_fields):
        return
    yield f"## {escaped(section.title)}"
    if section.tiles:
        yield "\n".join(
            f"- {escaped(tile.label)}: **{escaped(tile.value)}**"
            + (f" ({escaped(tile.note)})" if tile.note else "")
            for tile in section.tiles
        )
    yield from map(escaped, section.paragraphs)
    if section.plan:
        yield fenced(_plan(section.plan))
    if section.warnings:
        yield "\n".join(f"- {escaped(text)}" for text in section.warnings)
    for grid in section.grids:
        if len(section.grids) > 1:
            yield f"### {escaped(grid.title)}"
        yield grid_as_markdown(grid)
        if grid.note:
            yield escaped(grid.note)
    for code in section.code:
        if not code.folded:
            yield fenced(code.text)


def _plan(rows: Sequence[PlanRow]) -> str:
    width = max(len(row.block) for row in rows)
    return "\n".join(
        f"{row.block:<{width}}  "
        + (f"{'█' * max(1, round(row.width * _BAR)):<{_BAR}}  {row.rate}" if row.width else "❄")
        for row in rows
    )
