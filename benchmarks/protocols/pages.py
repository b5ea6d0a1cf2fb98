"""A table as a page of Markdown and as LaTeX, with where its numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.protocols.comparison import REFERENCE
from benchmarks.protocols.experiments import Cell
from benchmarks.protocols.findings import comparison_grids
from benchmarks.protocols.table import Record, Table, grids
from optuna_layerwise.reporting.markdown import escaped, grid_as_markdown
from optuna_layerwise.reporting.report_grid import Grid, duration

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    "±": r"$\pm$",
}


def markdown_page(
    table: Table, scale: str, found: Mapping[Cell, Record], missing: Mapping[Cell, str]
) -> str:
    """The table, what differs from the paper, what is missing, and what made the numbers."""
    parts = [
        f"# {escaped(table.title)}",
        f"`python -m benchmarks.protocols {table.name} --scale {scale}`",
    ]
    for grid in grids(table, scale, found):
        if grid.title:
            parts.append(f"**{escaped(grid.title)}**")
        parts.append(grid_as_markdown(grid))
    words = table.differences.get(scale, ())
    if table.compares:
        parts += ["## Protocol", *_listed(words), *_compared(table, scale, found)]
    else:
        parts += [escaped(_of_the_paper(table)), "## What differs from the paper", *_listed(words)]
    parts += ["## Where the numbers come from", escaped(" ".join(origin(found)))]
    if missing:
        cells: dict[str, int] = {}
        for why in missing.values():
            cells[why] = cells.get(why, 0) + 1
        parts.append("Not run, because something is missing here:")
        parts += _listed([f"{n} cells: {why}" for why, n in cells.items()])
    return "\n\n".join(parts) + "\n"


def _listed(sentences: Sequence[str]) -> list[str]:
    return ["\n".join(f"* {escaped(sentence)}" for sentence in sentences)]


def _compared(table: Table, scale: str, found: Mapping[Cell, Record]) -> Iterator[str]:
    if not any(cell.arm == REFERENCE for cell in found):
        return
    yield "## Statistics"
    for grid in comparison_grids(found, table.experiments[scale].arms):
        if grid.title:
            yield f"**{escaped(grid.title)}**"
        yield grid_as_markdown(grid)
        if grid.note:
            yield escaped(grid.note)


def latex(table: Table, scale: str, found: Mapping[Cell, Record]) -> str:
    """One ``tabular`` for each grid, in a ``table`` with its caption; then what differs."""
    parts = [
        "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{latex_text(', '.join(filter(None, (table.title, grid.title))))}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
                r"\hline",
                *_latex_rows(grid),
                r"\hline",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )
        for grid in grids(table, scale, found)
    ]
    words = [] if table.compares else [_of_the_paper(table)]
    words += table.differences.get(scale, ())
    notes = [
        r"\begin{itemize}",
        *(rf"\item {latex_text(sentence)}" for sentence in words),
        r"\end{itemize}",
    ]
    return "\n\n".join([*parts, "\n".join(notes)]) + "\n"


def _latex_rows(grid: Grid) -> Iterator[str]:
    yield _latex_row(grid.header)
    yield r"\hline"
    yield from map(_latex_row, grid.rows)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    Example:
        >>> print(latex_text("40 % of a_b ± 1"))
        40 \% of a\_b $\pm$ 1
    """
    return "".join(_LATEX.get(character, character) for character in text)


def _of_the_paper(table: Table) -> str:
    if not table.published:
        return "The paper's numbers are not transcribed."
    return (
        "In square brackets the paper's number, where it is transcribed "
        f"({len(table.published)} of them); the others are not."
    )


def origin(found: Mapping[Cell, Record]) -> Iterator[str]:
    """Sentences on cells, machines, versions and time."""
    if not found:
        yield "No cell has been run."
        return
    records = list(found.values())
    seconds = sum(
        record["search"]["seconds"] + sum(f["seconds"] for f in record["finalists"])
        for record in records
    )
    images = sum(record["search"]["images"] for record in records)
    prints = [p for record in records for p in record["origin"]["fingerprints"]]
    devices = sorted({d for record in records for d in record["origin"]["devices"]})
    commits = sorted({p["commit"][:7] for p in prints if p["commit"]})
    versions = {
        f"{name} {p['packages'][name]}" for p in prints for name in ("optuna", "torch", "cmaes")
    }
    yield f"{len(records)} cells with {sum(r['search']['trials'] for r in records):,} trials,"
    yield f"{images:,} training images, and with the finalists {duration(seconds)} of training"
    threads = records[0]["origin"]["threads"]
    yield f"on {', '.join(devices)} (torch threads of a process: {threads});"
    yield f"commits {', '.join(commits) or 'unknown'}; {', '.join(sorted(versions))}."
