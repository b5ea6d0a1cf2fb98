"""Write the generated parts of `docs/methods-compared.md`: `python -m benchmarks.methods.page`.

The words of that page, and of the one with its tables, are written by hand. What stands between
``<!-- begin NAME -->`` and ``<!-- end NAME -->``, and the picture of the ranks, is made here from
the committed cells.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.layerbench.figure import ranks
from benchmarks.layerbench.page import made
from benchmarks.methods.claims import claim_grids, more_work_grid, share_grid
from benchmarks.protocols import TABLES, Cell, read_records
from benchmarks.protocols.comparison import compare
from benchmarks.protocols.experiments import Block, Experiment
from benchmarks.protocols.findings import budget_grids, optimism_grid, standings_grid
from benchmarks.protocols.pages import origin
from benchmarks.protocols.table import Record, grids
from optuna_layerwise.reporting.markdown import escaped, grid_as_markdown
from optuna_layerwise.reporting.report_grid import Grid

PAGES = (Path("docs/methods-compared.md"), Path("docs/methods-tables.md"))
"""The answers, and the tables behind them."""
PICTURE = Path("docs/pictures/methods-ranks.svg")
RESULTS = Path("benchmarks/methods/results")
TABLE = TABLES["methods"]
SCALE = "small"
"""Of the committed cells."""
LONG = TABLE.experiments["long"]
NOTHING = "There is no set, fraction and run yet that every method has."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=TABLE.experiments, default=SCALE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--pages", type=Path, nargs="+", default=PAGES, help="With the places to fill."
    )
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    experiment = TABLE.experiments[args.scale]
    small = TABLE.experiments[SCALE]
    found = complete(read_records(experiment.cells(), args.results), experiment)
    short, at_length = (complete(read_records(e.cells(), RESULTS), e) for e in (small, LONG))
    parts = sections(found, args.scale) | sections_at_length(short, at_length)
    texts = made([page.read_text() for page in args.pages], parts)
    for page, text in zip(args.pages, texts, strict=True):
        page.write_text(text)
    args.picture.write_text(picture(found, experiment))


def complete(found: Mapping[Cell, Record], experiment: Experiment) -> dict[Cell, Record]:
    """The cells of those sets, fractions and runs that every method has."""
    arms: dict[Block, set[str]] = {}
    for cell in found:
        arms.setdefault(cell.block, set()).add(cell.arm)
    return {
        cell: record for cell, record in found.items() if arms[cell.block] == set(experiment.arms)
    }


def sections(found: Mapping[Cell, Record], scale: str) -> dict[str, Callable[[], str]]:
    """Name to what makes the part."""
    arms = TABLE.experiments[scale].arms
    parts: dict[str, Callable[[], str]] = {
        "protocol": lambda: "\n".join(f"* {escaped(w)}" for w in TABLE.differences[scale]),
        "origin": lambda: escaped(" ".join(origin(found))),
        "standings": lambda: _shown([standings_grid(compare(found), arms)]),
        "accuracy": lambda: _shown(grids(TABLE, scale, found)),
        "budgets": lambda: _shown(budget_grids(found, arms)),
        "optimism": lambda: _shown([optimism_grid(compare(found), arms)]),
        "claims": lambda: _shown(claim_grids(found, arms)),
        "shares": lambda: _shown([share_grid(found, arms)]),
    }
    if not found:
        of_all = ("standings", "budgets", "optimism", "claims", "shares")
        parts |= dict.fromkeys(of_all, lambda: NOTHING)
    return parts


def sections_at_length(
    short: Mapping[Cell, Record], at_length: Mapping[Cell, Record]
) -> dict[str, Callable[[], str]]:
    """What more work changes on the blocks of the small scale."""
    parts = sections(at_length, "long")
    own = {f"long-{name}": parts[name] for name in ("origin", "standings", "claims")}
    return {**own, "more-work": lambda: _more_work(short, at_length)}


def _more_work(short: Mapping[Cell, Record], at_length: Mapping[Cell, Record]) -> str:
    grid = more_work_grid(short, at_length, LONG.arms)
    return _shown([grid]) if grid.rows else NOTHING


def picture(found: Mapping[Cell, Record], experiment: Experiment) -> str:
    """Mean ranks with half a critical difference to both sides; empty without ranks."""
    comparison = compare(found) if found else None
    if comparison is None or comparison.ranking is None:
        return ranks({NOTHING: ({}, 0.0)})
    mean_ranks = {
        experiment.arms[s.arm].title: s.rank for s in comparison.standings if s.rank is not None
    }
    title = f"mean rank by test accuracy, {comparison.ranking.n} blocks"
    return ranks({title: (mean_ranks, comparison.ranking.critical_difference)})


def _shown(parts: Iterable[Grid]) -> str:
    texts = []
    for grid in parts:
        texts += [f"**{escaped(grid.title)}**"] if grid.title else []
        texts.append(grid_as_markdown(grid))
        texts += [escaped(grid.note)] if grid.note else []
    return "\n\n".join(texts)


if __name__ == "__main__":
    main()
